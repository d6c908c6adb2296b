"""Turn values out of a database into what JSON can say."""

import math
from collections.abc import Mapping
from datetime import date, datetime
from typing import Final

_EXACT: Final = 1 << 53
"""Whole numbers up to here survive a reader that knows only floats."""


def plain(value: object) -> object:
    """Turn a value out of a database into what JSON can say, without loss.

    Dates and times become ISO 8601 text, bytes hex, and numbers that a float cannot hold text.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each) for each in value]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if value is None or isinstance(value, bool) or _is_exact(value):
        return value
    return str(value)


def _is_exact(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) <= _EXACT
    return isinstance(value, str)
