"""Names of delivered objects: made of UIDs alone, safe in every store and file system."""

import hashlib
import re
from typing import Final

from storage.destinations.base import Outgoing

_LONGEST: Final = 64
_NUMBERS: Final = re.compile(r"[0-9]+(\.[0-9]+)+")
"""A UID, or one that only breaks PS3.5 9.1 by leading zeros, as some scanners' do."""


def object_key(outgoing: Outgoing) -> str:
    """Name an object STUDY/SERIES/INSTANCE.dcm by its UIDs as they leave.

    What is no UID becomes a digest: it can then neither climb folders nor hide, is
    never too long for a file name, and tells nobody whose name a scanner put there.
    """
    parts = (
        outgoing.study_instance_uid,
        outgoing.series_instance_uid,
        outgoing.sop_instance_uid,
    )
    return "/".join(_safe(part) for part in parts) + ".dcm"


def conflict_key(key: str, digest: str) -> str:
    """Name another object that came under the same key, so that neither replaces the other."""
    return f"{key.removesuffix('.dcm')}-{digest[:12]}.dcm"


def _safe(text: str) -> str:
    if len(text) <= _LONGEST and _NUMBERS.fullmatch(text):
        return text
    return "x" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
