"""Responses to C-MOVE and C-GET as they go over the wire (PS3.7 9.3.3.2, 9.3.4.2)."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dicom.encoding import BIG_ENDIAN, IMPLICIT
from dicom.message import COMMENT_LIMIT, NO_DATASET, command_element
from dicom.suboperations import Counts

_DATASET: Final = 1
_US: Final = struct.Struct("<H")
_AT: Final = struct.Struct("<HH")
_FAILED_LIST: Final = 0x0008, 0x0058
_SHORT_LIMIT: Final = 0xFFFE
"""The longest value whose length has two bytes in explicit VR; what is longer is of VR UN then
(PS3.5 6.2.2)."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a response says."""

    status: int
    counts: Counts
    comment: str = ""
    offending: int | None = None
    """The tag of the element that breaks a rule."""
    failed_uids: Sequence[str] = ()
    """Of a last response: the SOP Instances that were not stored."""
    with_remaining: bool = True
    """Pending and cancelled responses tell what is left, others must not (PS3.4 C.4.2.1.6)."""


def command(field: int, message_id: int, sop_class_uid: str, answer: Answer) -> bytes:
    """Write the command set of a response; `field` is C_MOVE_RSP or C_GET_RSP."""
    counts = answer.counts
    kind = _DATASET if answer.failed_uids else NO_DATASET
    tag = answer.offending
    offending = b"" if tag is None else _AT.pack(tag >> 16, tag & 0xFFFF)
    comment = answer.comment[:COMMENT_LIMIT].encode("ascii", "replace")
    body = b"".join(
        (
            command_element(0x0002, sop_class_uid.encode("ascii", "replace"), b"\0"),
            command_element(0x0100, _US.pack(field)),
            command_element(0x0120, _US.pack(message_id)),
            command_element(0x0800, _US.pack(kind)),
            command_element(0x0900, _US.pack(answer.status)),
            command_element(0x0901, offending),
            command_element(0x0902, comment, b" "),
            command_element(0x1020, _US.pack(counts.remaining) if answer.with_remaining else b""),
            command_element(0x1021, _US.pack(counts.completed)),
            command_element(0x1022, _US.pack(counts.failed)),
            command_element(0x1023, _US.pack(counts.warning)),
        )
    )
    return command_element(0x0000, struct.pack("<L", len(body))) + body


def failed_list(uids: Sequence[str], transfer_syntax_uid: str) -> bytes:
    """Write an identifier that holds FailedSOPInstanceUIDList (0008,0058) alone."""
    value = "\\".join(uids).encode("ascii", "replace")
    value += b"\0" * (len(value) % 2)
    order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
    if transfer_syntax_uid in IMPLICIT:
        return struct.pack("<HHL", *_FAILED_LIST, len(value)) + value
    if len(value) > _SHORT_LIMIT:
        return struct.pack(f"{order}HH2s2xL", *_FAILED_LIST, b"UN", len(value)) + value
    return struct.pack(f"{order}HH2sH", *_FAILED_LIST, b"UI", len(value)) + value
