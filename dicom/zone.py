"""Offsets from UTC as TimezoneOffsetFromUTC (0008,0201) writes them (PS3.3 C.12.1.1.8)."""

import datetime as dt
import re
from typing import Final

OFFSET_FORM: Final = r"[+-](0[0-9]|1[0-4])[0-5][0-9]"
"""The form of an offset, as RE2 and Python read it."""


def minutes(text: str) -> int | None:
    """Read an offset in minutes; None for what is none."""
    if not re.fullmatch(OFFSET_FORM, text, re.ASCII):
        return None
    size = int(text[1:3]) * 60 + int(text[3:])
    return -size if text[0] == "-" else size


def shift(asked: int | None, own: str) -> dt.timedelta:
    """Say what is taken from an entity's time to have it in the zone of who asked.

    Nothing where either zone is unknown: both are then taken for the same.
    """
    offset = minutes(own)
    if asked is None or offset is None:
        return dt.timedelta()
    return dt.timedelta(minutes=offset - asked)
