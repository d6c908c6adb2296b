"""Read the SOP UIDs at the head of an encoded dataset without decoding the rest of it.

The door compares them with those of the command (PS3.4 B.2.3). What cannot be read here is no
fault: the object is stored, and judged later by whoever parses it.
"""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dicom.encoding import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
)

HEAD_BYTES: Final = 4096
"""Enough of a dataset's beginning: group 0008 comes first, and these elements early in it."""

_CLASS: Final = (0x0008, 0x0016)
_INSTANCE: Final = (0x0008, 0x0018)


@dataclass(frozen=True, slots=True)
class SopUids:
    """What the dataset calls itself; "" where that is absent or cannot be told."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""


_EXPLICIT: Final = struct.Struct("<HH2sH")
_IMPLICIT: Final = struct.Struct("<HHL")


def names(head: bytes, transfer_syntax_uid: str, expected: SopUids) -> bool:
    """Whether these two UIDs stand in the first bytes of a dataset, one behind the other.

    Nearly every object has them so. True is found twenty times as fast as by `sop_uids`, which
    has the word where this says False. Who hides the pair in another value gains nothing: the
    object is read again when it is filed (storage/ledger/arriving.py).
    """
    if transfer_syntax_uid == BIG_ENDIAN:
        return False
    element = _implicit if transfer_syntax_uid in IMPLICIT else _explicit
    pair = element(0x0016, expected.sop_class_uid) + element(0x0018, expected.sop_instance_uid)
    return pair in head


def _explicit(number: int, uid: str) -> bytes:
    value = _padded(uid)
    return _EXPLICIT.pack(8, number, b"UI", len(value)) + value


def _implicit(number: int, uid: str) -> bytes:
    value = _padded(uid)
    return _IMPLICIT.pack(8, number, len(value)) + value


def _padded(uid: str) -> bytes:
    value = uid.encode("ascii", "replace")
    return value + b"\0" if len(value) % 2 else value


def sop_uids(head: bytes, transfer_syntax_uid: str) -> SopUids:
    """Read SOP Class UID and SOP Instance UID from the first bytes of a dataset.

    `head` may end anywhere. Never raises: what does not read as a dataset in this transfer
    syntax gives empty UIDs.
    """
    if transfer_syntax_uid in DEFLATED:
        try:
            head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(head, HEAD_BYTES)
        except zlib.error:
            return SopUids()
    found: dict[tuple[int, int], str] = {}
    for tag, value in _elements(head, transfer_syntax_uid):
        if tag > _INSTANCE:
            break
        if tag in {_CLASS, _INSTANCE}:
            found[tag] = value.decode("ascii", "replace").strip("\0 ")
    return SopUids(found.get(_CLASS, ""), found.get(_INSTANCE, ""))


def _elements(head: bytes, syntax: str) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Walk whole elements until the head ends or stops making sense."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    tag_of, short_of, long_of = (struct.Struct(order + code) for code in ("HH", "H", "L"))
    implicit = syntax in IMPLICIT
    offset = 0
    while offset + 8 <= len(head):
        tag = tag_of.unpack_from(head, offset)
        vr = head[offset + 4 : offset + 6]
        if implicit:
            start, length = offset + 8, long_of.unpack_from(head, offset + 4)[0]
        elif vr in LONG_VRS and offset + 12 <= len(head):
            start, length = offset + 12, long_of.unpack_from(head, offset + 8)[0]
        elif vr in SHORT_VRS:
            start, length = offset + 8, short_of.unpack_from(head, offset + 6)[0]
        else:
            return
        if length == UNDEFINED_LENGTH or start + length > len(head):
            return
        yield tag, head[start : start + length]
        offset = start + length
