"""UIDs: what a valid one looks like, and how one is derived from bytes (PS3.5 Chapter 9, B.2)."""

import hashlib
import re
from typing import Final

IMPLEMENTATION_CLASS_UID: Final = "2.25.189945317771709954661285899160583886006"
"""Penumbra's own, written into file meta and associations; a fixed UUID-derived UID."""
IMPLEMENTATION_VERSION_NAME: Final = "PENUMBRA_0_1"
PATIENT_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.1.1"
STUDY_ROOT_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_STUDY_ONLY_FIND: Final = "1.2.840.10008.5.1.4.1.2.3.1"
"""The information models of C-FIND (PS3.4 C.6); the last one is retired."""
PATIENT_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.1.2"
PATIENT_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.1.3"
STUDY_ROOT_MOVE: Final = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_ROOT_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_STUDY_ONLY_MOVE: Final = "1.2.840.10008.5.1.4.1.2.3.2"
PATIENT_STUDY_ONLY_GET: Final = "1.2.840.10008.5.1.4.1.2.3.3"
"""The information models of C-MOVE and C-GET (PS3.4 C.6); the last two are retired."""
STANDARD_ROOT: Final = "1.2.840.10008."
"""UIDs under this root are registered by the standard and name no person or study."""

_UID = re.compile(r"(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))+")
_STORABLE = re.compile(r"[0-9A-Za-z._-]{1,64}")


def is_valid(uid: str) -> bool:
    """Whether the text is a UID as PS3.5 9.1 defines it: at most 64 characters, no empty parts."""
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None


def is_storable(uid: str) -> bool:
    """Whether the text can serve as an identifier here.

    Scanners send UIDs with leading zeros or other slips against PS3.5 9.1; such an object is
    still stored. Letters, digits, dots, hyphens and underscores are safe in names and keys.
    """
    return _STORABLE.fullmatch(uid) is not None


def told(uid: str) -> str:
    """Give a UID that somebody sent as it may stand in a log: what is none may be a name (P6)."""
    return uid if is_storable(uid) else "no UID"


def from_digest(digest: bytes) -> str:
    """Make a "2.25." UID of 16 bytes of digest or more: a version 8 UUID (RFC 9562 5.8)."""
    if len(digest) < 16:
        raise ValueError("a UID needs at least 16 bytes of digest")
    raw = bytearray(digest[:16])
    raw[6] = (raw[6] & 0x0F) | 0x80
    raw[8] = (raw[8] & 0x3F) | 0x80
    return f"2.25.{int.from_bytes(raw, 'big')}"


def derive(*parts: str) -> str:
    """Make the same UID of the same parts, on every machine and in every run."""
    joined = "\x1f".join(parts).encode()
    return from_digest(hashlib.sha256(joined).digest())
