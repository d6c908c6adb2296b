"""Names of delivered objects: made of UIDs alone, safe in every store and file system."""

import re

from storage.destinations.base import Outgoing

_SAFE = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]*(\.[0-9A-Za-z_-]+)*")


def object_key(outgoing: Outgoing) -> str:
    """Name an object STUDY/SERIES/INSTANCE.dcm by its UIDs as they leave.

    A UID that is none becomes hexadecimal, so that it can neither climb folders nor hide.
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


def _safe(uid: str) -> str:
    return uid if _SAFE.fullmatch(uid) else "x" + uid.encode().hex()
