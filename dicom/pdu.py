"""The upper layer's framing, without any socket: PDU headers, PDVs, and the few PDUs we write.

PS3.8 9.3. Everything that a peer may lie about is judged here before a byte is buffered.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dicom.errors import ProtocolFault

HEADER_BYTES: Final = 6
ASSOCIATE_LIMIT: Final = 1 << 20
"""No honest A-ASSOCIATE-RQ is longer: 128 contexts with 60 transfer syntaxes take 0.5 MiB."""
OVERHEAD_LIMIT: Final = 1024
"""Some senders count the maximum length per PDV, or leave headers out of it; that is forgiven."""

PDU_LIMIT: Final = 1 << 20
"""What we write is no longer, whatever a peer would take."""

_HEADER: Final = struct.Struct(">BxL")
_PDV: Final = struct.Struct(">LBB")


class PduType(IntEnum):
    """PDU types (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


@dataclass(frozen=True, slots=True)
class Header:
    """What the first six bytes of a PDU say."""

    pdu_type: PduType
    length: int
    """Bytes that follow the header."""


@dataclass(frozen=True, slots=True)
class Pdv:
    """One presentation data value (PS3.8 9.3.5.1, Annex E): a fragment of command or dataset."""

    context_id: int
    is_command: bool
    is_last: bool
    data: memoryview


def read_header(header: bytes | bytearray | memoryview, max_pdu_bytes: int) -> Header:
    """Read a PDU's header and judge its length against what was negotiated.

    Raises ProtocolFault when the type is unknown or the length is more than such a PDU can have.
    """
    code, length = _HEADER.unpack_from(header)
    try:
        pdu_type = PduType(code)
    except ValueError:
        raise ProtocolFault(f"no PDU starts with 0x{code:02X}: this is not DICOM") from None
    limit = _limit(pdu_type, max_pdu_bytes)
    if length > limit:
        raise ProtocolFault(f"{pdu_type.name} of {length} bytes, where at most {limit} are allowed")
    return Header(pdu_type, length)


def _limit(pdu_type: PduType, max_pdu_bytes: int) -> int:
    if pdu_type is PduType.P_DATA:
        return max_pdu_bytes + OVERHEAD_LIMIT
    if pdu_type in {PduType.ASSOCIATE_RQ, PduType.ASSOCIATE_AC}:
        return ASSOCIATE_LIMIT
    return 4


def pdvs(body: memoryview) -> Iterator[Pdv]:
    """Walk the PDVs of a P-DATA-TF PDU; their data are views into `body`, not copies.

    Raises ProtocolFault where lengths do not add up or the PDU holds none.
    """
    offset = 0
    if not body:
        raise ProtocolFault("P-DATA without a presentation data value")
    while offset < len(body):
        if len(body) - offset < _PDV.size:
            raise ProtocolFault("P-DATA ends within the header of a presentation data value")
        length, context_id, control = _PDV.unpack_from(body, offset)
        end = offset + 4 + length
        if length < 2 or end > len(body):
            raise ProtocolFault(f"presentation data value of {length} bytes does not fit its PDU")
        data = body[offset + _PDV.size : end]
        # Only the two lowest bits of the control header mean anything (PS3.8 E.2).
        yield Pdv(context_id, bool(control & 1), bool(control & 2), data)
        offset = end


def abort(source: int, reason: int) -> bytes:
    """Write an A-ABORT PDU (PS3.8 9.3.8)."""
    return struct.pack(">BxLxxBB", PduType.ABORT, 4, source, reason)


def command_pdus(context_id: int, command: bytes, peer_max_bytes: int) -> bytes:
    """Write a command set as P-DATA-TF PDUs, none longer than the peer takes (0: no limit)."""
    room = (peer_max_bytes or len(command) + _PDV.size) - _PDV.size
    if room < 1:
        raise ProtocolFault(f"a maximum length of {peer_max_bytes} leaves room for nothing")
    out = bytearray()
    for start in range(0, len(command), room):
        part = command[start : start + room]
        control = 0x03 if start + room >= len(command) else 0x01
        out += _HEADER.pack(PduType.P_DATA, len(part) + _PDV.size)
        out += _PDV.pack(len(part) + 2, context_id, control)
        out += part
    return bytes(out)


def dataset_pdus(
    context_id: int, dataset: Sequence[memoryview], peer_max_bytes: int
) -> Iterator[tuple[bytes, list[memoryview]]]:
    """Cut an encoded dataset into P-DATA-TF PDUs: each its header, and views of what follows it.

    Fragments have an even length, but for the last of a dataset that has not (PS3.8 9.3.1).
    Raises ProtocolFault when the peer's maximum leaves room for nothing.
    """
    room = (min(peer_max_bytes, PDU_LIMIT) or PDU_LIMIT) - _PDV.size
    room -= room % 2
    if room < 2:
        raise ProtocolFault(f"a maximum length of {peer_max_bytes} leaves room for nothing")
    left = sum(len(view) for view in dataset)
    parts: list[memoryview] = []
    length = 0
    for chunk in dataset:
        start = 0
        while start < len(chunk):
            part = chunk[start : start + room - length]
            parts.append(part)
            start, length, left = start + len(part), length + len(part), left - len(part)
            if length == room or not left:
                header = _HEADER.pack(PduType.P_DATA, length + _PDV.size)
                yield header + _PDV.pack(length + 2, context_id, 0 if left else 0x02), parts
                parts, length = [], 0
