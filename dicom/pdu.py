"""The upper layer's framing, without any socket: PDU headers, PDVs, and the few PDUs we write.

PS3.8 9.3. Everything that a peer may lie about is judged here before a byte is buffered. What is
made for every PDU is a tuple: a frozen dataclass takes twice as long to make.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from dicom.abort import AbortReason
from dicom.errors import ProtocolFault

HEADER_BYTES: Final = 6
ASSOCIATE_LIMIT: Final = 1 << 20
"""No honest A-ASSOCIATE-RQ is longer: 128 contexts with 60 transfer syntaxes take 0.5 MiB."""
OVERHEAD_LIMIT: Final = 1024
"""Some senders count the maximum length per PDV, or leave headers out of it; that is forgiven."""

CONTEXT_LIMIT: Final = 128
"""There are no more odd numbers of one byte (PS3.8 9.3.2.2)."""
SYNTAX_LIMIT: Final = 100
"""Transfer syntaxes that one context may propose, beside its abstract syntax; the standard has some
60."""
USER_ITEM_LIMIT: Final = 4 * CONTEXT_LIMIT
"""Sub-items of the user information: some come once for each SOP class (PS3.7 D.3.3)."""
OTHER_ITEM_LIMIT: Final = 4
"""Items that are no presentation contexts; there are two (PS3.8 Table 9-11)."""

PDU_LIMIT: Final = 1 << 20
"""What we write is no longer, whatever a peer would take."""

_HEADER: Final = struct.Struct(">BxL")
_PDV: Final = struct.Struct(">LBB")
PDV_BYTES: Final = 6
_ITEM: Final = struct.Struct(">BxH")
_ITEMS_AT: Final = HEADER_BYTES + 68
"""Behind version, titles and what is reserved (PS3.8 Table 9-11)."""
_CONTEXT_ITEMS: Final = frozenset({0x20, 0x21})
_USER_ITEM: Final = 0x50

PROTOCOL_VERSION: Final = 0x0001
"""The bit of an association request that stands for version 1 (PS3.8 9.3.2)."""

IS_COMMAND: Final = 0x01
IS_LAST: Final = 0x02
_CONTROL: Final = IS_COMMAND | IS_LAST
"""The message control header (PS3.8 E.2); its other bits mean nothing and are not judged."""


class PduType(IntEnum):
    """PDU types (PS3.8 9.3.1)."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class Header(NamedTuple):
    """What the first six bytes of a PDU say."""

    pdu_type: PduType
    length: int
    """Bytes that follow the header."""


class Pdv(NamedTuple):
    """One presentation data value (PS3.8 9.3.5.1, Annex E): a fragment of command or dataset."""

    context_id: int
    control: int
    """The two bits of the message control header that mean anything (PS3.8 E.2)."""
    data: memoryview

    @property
    def is_command(self) -> bool:
        """Whether it is a fragment of a command set, not of a dataset."""
        return bool(self.control & IS_COMMAND)

    @property
    def is_last(self) -> bool:
        """Whether it is the last fragment of its command set or dataset."""
        return bool(self.control & IS_LAST)


_ANSWER_BYTES: Final = 4
_LIMITS: Final[dict[int, tuple[PduType, int | None]]] = {
    PduType.ASSOCIATE_RQ: (PduType.ASSOCIATE_RQ, ASSOCIATE_LIMIT),
    PduType.ASSOCIATE_AC: (PduType.ASSOCIATE_AC, ASSOCIATE_LIMIT),
    PduType.ASSOCIATE_RJ: (PduType.ASSOCIATE_RJ, _ANSWER_BYTES),
    PduType.P_DATA: (PduType.P_DATA, None),
    PduType.RELEASE_RQ: (PduType.RELEASE_RQ, _ANSWER_BYTES),
    PduType.RELEASE_RP: (PduType.RELEASE_RP, _ANSWER_BYTES),
    PduType.ABORT: (PduType.ABORT, _ANSWER_BYTES),
}
"""The types that there are, and how long each may be; None: as long as was negotiated."""


def read_header(header: bytes | bytearray | memoryview, max_pdu_bytes: int) -> Header:
    """Read a PDU's header and judge its length against what was negotiated.

    Raises ProtocolFault when the type is unknown or the length is more than such a PDU can have.
    """
    code, length = _HEADER.unpack_from(header)
    known = _LIMITS.get(code)
    if known is None:
        words = f"no PDU starts with 0x{code:02X}: this is not DICOM"
        raise ProtocolFault(words, AbortReason.UNRECOGNIZED_PDU)
    pdu_type, limit = known
    if limit is None:
        limit = max_pdu_bytes + OVERHEAD_LIMIT
    if length > limit:
        raise ProtocolFault(f"{pdu_type.name} of {length} bytes, where at most {limit} are allowed")
    return Header(pdu_type, length)


def judge_items(whole: bytes | bytearray) -> None:
    """Count the items of an A-ASSOCIATE-RQ or -AC, header included, before anybody decodes them.

    Decoding takes some 70 µs an item, and a megabyte holds a hundred thousand. Lengths that do
    not add up are left to the decoder. Raises ProtocolFault where there are more items than
    honest peers write.
    """
    contexts = others = 0
    for kind, start, end in _items(whole, _ITEMS_AT, len(whole)):
        if kind in _CONTEXT_ITEMS:
            contexts += 1
            syntaxes = sum(1 for _ in _items(whole, start + 4, end))
            _require(syntaxes, SYNTAX_LIMIT + 1, "syntaxes in one presentation context")
        else:
            others += 1
            if kind == _USER_ITEM:
                inside = sum(1 for _ in _items(whole, start, end))
                _require(inside, USER_ITEM_LIMIT, "items of user information")
        _require(contexts, CONTEXT_LIMIT, "presentation contexts")
        _require(others, OTHER_ITEM_LIMIT, "items that are no presentation contexts")


def _items(whole: bytes | bytearray, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Walk items or sub-items (PS3.8 9.3.2): type, and where the content begins and ends."""
    while at + _ITEM.size <= end:
        kind, length = _ITEM.unpack_from(whole, at)
        start = at + _ITEM.size
        at = start + length
        yield kind, start, min(at, end)


def _require(count: int, limit: int, what: str) -> None:
    if count > limit:
        raise ProtocolFault(f"{count} {what} are proposed, where at most {limit} are read")


def pdvs(body: memoryview) -> Iterator[Pdv]:
    """Walk the PDVs of a P-DATA-TF PDU; their data are views into `body`, not copies.

    Raises ProtocolFault where lengths do not add up or the PDU holds none; what came before that
    place has been given out by then.
    """
    offset, size = 0, len(body)
    if not size:
        raise ProtocolFault("P-DATA without a presentation data value")
    while offset < size:
        if size - offset < PDV_BYTES:
            raise ProtocolFault("P-DATA ends within the header of a presentation data value")
        length, context_id, control = _PDV.unpack_from(body, offset)
        end = offset + 4 + length
        if length < 2 or end > size:
            raise ProtocolFault(f"presentation data value of {length} bytes does not fit its PDU")
        yield Pdv(context_id, control & _CONTROL, body[offset + PDV_BYTES : end])
        offset = end


def lone_pdv(pdu_start: memoryview, length: int) -> Pdv | None:
    """Read the header of a PDV that fills its P-DATA-TF PDU of this length; None where it does not.

    `pdu_start` is what follows the PDU's header: six bytes are enough. The PDV's data are empty.
    """
    value_length, context_id, control = _PDV.unpack_from(pdu_start)
    if value_length + 4 != length:
        return None
    return Pdv(context_id, control & _CONTROL, pdu_start[PDV_BYTES:PDV_BYTES])


def lone_command(body: bytes, context_id: int) -> bytes:
    """Give the command set that is all of a P-DATA-TF PDU's body; b"" where it holds another."""
    expected = _PDV.pack(max(0, len(body) - 4), context_id, IS_COMMAND | IS_LAST)
    return body[PDV_BYTES:] if body.startswith(expected) else b""


def abort(source: int, reason: int) -> bytes:
    """Write an A-ABORT PDU (PS3.8 9.3.8)."""
    return struct.pack(">BxLxxBB", PduType.ABORT, 4, source, reason)


def command_pdus(context_id: int, command: bytes, peer_max_bytes: int) -> bytes:
    """Write a command set as P-DATA-TF PDUs, none longer than the peer takes (0: no limit).

    Fragments have an even length, as every encoded command set has (PS3.8 9.3.1). Raises
    ProtocolFault when the peer's maximum leaves room for nothing.
    """
    room = (peer_max_bytes or len(command) + len(command) % 2 + PDV_BYTES) - PDV_BYTES
    room -= room % 2
    if room < 2:
        raise ProtocolFault(f"a maximum length of {peer_max_bytes} leaves room for nothing")
    out = bytearray()
    for start in range(0, len(command), room):
        part = command[start : start + room]
        control = IS_COMMAND | (IS_LAST if start + room >= len(command) else 0)
        out += _HEADER.pack(PduType.P_DATA, len(part) + PDV_BYTES)
        out += _PDV.pack(len(part) + 2, context_id, control)
        out += part
    return bytes(out)


def dataset_header(context_id: int, size: int) -> bytes:
    """Write what stands before a whole dataset in one P-DATA-TF PDU of its own."""
    header = _HEADER.pack(PduType.P_DATA, size + PDV_BYTES)
    return header + _PDV.pack(size + 2, context_id, IS_LAST)


def _room(peer_max_bytes: int) -> int:
    """Say how much of a dataset a PDU holds, an even number."""
    room = (min(peer_max_bytes, PDU_LIMIT) or PDU_LIMIT) - PDV_BYTES
    room -= room % 2
    if room < 2:
        raise ProtocolFault(f"a maximum length of {peer_max_bytes} leaves room for nothing")
    return room


def _data_header(context_id: int, length: int, control: int) -> bytes:
    return _HEADER.pack(PduType.P_DATA, length + PDV_BYTES) + _PDV.pack(
        length + 2, context_id, control
    )


def whole_pdus(
    context_id: int, dataset: memoryview, peer_max_bytes: int
) -> list[bytes | memoryview]:
    """Cut a dataset that lies in one piece as `dataset_pdus` does, into headers and views in turn.

    All but the last PDU begin with the same bytes, and peers that take 16 KiB want many.
    """
    room, size = _room(peer_max_bytes), len(dataset)
    header = _data_header(context_id, room, 0)
    parts: list[bytes | memoryview] = []
    for start in range(0, size, room):
        parts += header, dataset[start : start + room]
    if parts:
        parts[-2] = _data_header(context_id, len(parts[-1]), IS_LAST)
    return parts


def dataset_pdus(
    context_id: int, dataset: Sequence[memoryview], peer_max_bytes: int
) -> Iterator[tuple[bytes, list[memoryview]]]:
    """Cut an encoded dataset into P-DATA-TF PDUs: each its header, and views of what follows it.

    Fragments have an even length, but for the last of a dataset that has not (PS3.8 9.3.1).
    Raises ProtocolFault when the peer's maximum leaves room for nothing.
    """
    room = _room(peer_max_bytes)
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
                yield _data_header(context_id, length, 0 if left else IS_LAST), parts
                parts, length = [], 0
