"""DIMSE messages out of presentation data values, without any socket: the order they may come in.

A message is a command set, then a dataset where the command says so (PS3.7 6.3.1, 9.3). Each may
be cut into fragments at any byte (PS3.8 Annex E), and a P-DATA-TF PDU holds any number of them
(PS3.8 9.3.5). TABLE below is the whole of what may follow what.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NamedTuple

from dicom.errors import ProtocolFault
from dicom.pdu import IS_COMMAND, IS_LAST, Pdv

C_STORE_RQ: Final = 0x0001
C_STORE_RSP: Final = 0x8001
C_GET_RSP: Final = 0x8010
C_FIND_RQ: Final = 0x0020
C_FIND_RSP: Final = 0x8020
C_MOVE_RSP: Final = 0x8021
C_CANCEL_RQ: Final = 0x0FFF
NO_DATASET: Final = 0x0101
COMMAND_LIMIT: Final = 1 << 16
"""Command sets take a few hundred bytes; the longest, of an N-GET, a few thousand."""
COMMENT_LIMIT: Final = 64

_ELEMENT: Final = struct.Struct("<HHL")
_US: Final = struct.Struct("<H")


@dataclass(frozen=True, slots=True)
class Command:
    """A whole command set (PS3.7 Annex E), as far as routing it needs."""

    context_id: int
    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_dataset: bool
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Behalf:
    """For whom a C-STORE is sent, where that is somebody else (PS3.7 9.1.1.1)."""

    priority: int = 0
    """0 medium, 1 high, 2 low (PS3.7 E.1)."""
    originator_ae: str = ""
    """Who asked for it by C-MOVE; "" where nobody did."""
    message_id: int = 0
    """Of that C-MOVE."""


NOBODY: Final = Behalf()
"""On the node's own behalf."""


class Fragment(NamedTuple):
    """A piece of a dataset; its data are valid until the next PDU is read."""

    context_id: int
    data: memoryview
    is_last: bool


class State(IntEnum):
    """Where the messages of an association have got to, in one direction."""

    BETWEEN = 0
    """The last message is complete, and no other has begun."""
    COMMAND = 1
    """A command set has begun."""
    DATASET = 2
    """A command set is complete and promised a dataset; the rest of that comes now."""


class Piece(IntEnum):
    """What comes next: the two bits of the message control header (PS3.8 E.2).

    The last fragment of a command set stands twice: what it means lies in (0000,0800).
    """

    DATASET = 0
    COMMAND = IS_COMMAND
    LAST_OF_DATASET = IS_LAST
    LAST_OF_COMMAND = IS_COMMAND | IS_LAST
    """A dataset follows."""
    LAST_AND_ALL = 4 | IS_COMMAND | IS_LAST
    """No dataset follows (0x0101)."""


_UNASKED: Final = "a dataset came without its command"
_EARLY: Final = "a dataset came before its command was complete"
_LATE: Final = "a command came before the dataset of the last one was complete"

TABLE: Final[Mapping[State, Mapping[int, State | str]]] = {
    State.BETWEEN: {
        Piece.COMMAND: State.COMMAND,
        Piece.LAST_OF_COMMAND: State.DATASET,
        Piece.LAST_AND_ALL: State.BETWEEN,
        Piece.DATASET: _UNASKED,
        Piece.LAST_OF_DATASET: _UNASKED,
    },
    State.COMMAND: {
        Piece.COMMAND: State.COMMAND,
        Piece.LAST_OF_COMMAND: State.DATASET,
        Piece.LAST_AND_ALL: State.BETWEEN,
        Piece.DATASET: _EARLY,
        Piece.LAST_OF_DATASET: _EARLY,
    },
    State.DATASET: {
        Piece.COMMAND: _LATE,
        Piece.LAST_OF_COMMAND: _LATE,
        Piece.LAST_AND_ALL: _LATE,
        Piece.DATASET: State.DATASET,
        Piece.LAST_OF_DATASET: State.BETWEEN,
    },
}
"""The state that a piece leads to, or the words of the ProtocolFault that it is.

Beside it stand three rules: a message stays in the presentation context that it began in; a
command set is no longer than COMMAND_LIMIT and can be read (`parse_command`); and a PDU of
another type comes in BETWEEN only (node/lane.py), but for A-ABORT, which ends all.
"""


class Assembler:
    """Fragments in, commands and dataset fragments out; keeps no dataset bytes.

    Nothing changes where a ProtocolFault is raised; the association is to be aborted.
    """

    def __init__(self) -> None:
        self._state = State.BETWEEN
        self._context_id = 0
        self._command = bytearray()

    @property
    def state(self) -> State:
        """Where the messages have got to."""
        return self._state

    @property
    def is_idle(self) -> bool:
        """Whether the last message is complete and no other has begun."""
        return self._state is _BETWEEN

    def feed(self, pdv: Pdv) -> Command | Fragment | None:
        """Take the next fragment; return what it completes, if anything.

        Raises ProtocolFault on a fragment that cannot come at this place.
        """
        context_id, control, data = pdv
        if context_id != self._context_id and self._state is not _BETWEEN:
            raise ProtocolFault(
                f"a message began in presentation context {self._context_id}"
                f" and went on in {context_id}"
            )
        after = _after(self._state, control)
        if control & IS_COMMAND:
            return self._feed_command(pdv, after)
        self._state = after
        return Fragment(context_id, data, after is _BETWEEN)

    def _feed_command(self, pdv: Pdv, after: State) -> Command | None:
        """Gather a command set, and read it once it is whole."""
        context_id, control, data = pdv
        if len(self._command) + len(data) > COMMAND_LIMIT:
            raise ProtocolFault(f"command set longer than {COMMAND_LIMIT} bytes")
        command = None
        if not control & IS_LAST:
            self._command += data
        else:
            command = parse_command(context_id, bytes(self._command) + data)
            if not command.has_dataset:
                after = _after(self._state, Piece.LAST_AND_ALL)
            self._command.clear()
        self._state, self._context_id = after, context_id
        return command


_BETWEEN: Final = State.BETWEEN


def _after(state: State, piece: int) -> State:
    after = TABLE[state][piece]
    if isinstance(after, str):
        raise ProtocolFault(after)
    return after


def parse_command(context_id: int, encoded: bytes) -> Command:
    """Read a command set: implicit VR little endian, whatever was negotiated (PS3.7 6.3.1).

    Raises ProtocolFault when it breaks off or lacks its command field.
    """
    elements = _elements(encoded)
    return Command(
        context_id,
        _number(elements, 0x0100),
        _number(elements, 0x0110, _number(elements, 0x0120, 0)),
        _uid(elements, 0x0002),
        _uid(elements, 0x1000),
        _number(elements, 0x0800) != NO_DATASET,
        encoded,
    )


def _elements(encoded: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    offset, size = 0, len(encoded)
    while offset < size:
        if size - offset < _ELEMENT.size:
            raise ProtocolFault("command set breaks off within an element")
        group, element, length = _ELEMENT.unpack_from(encoded, offset)
        start = offset + _ELEMENT.size
        offset = start + length
        if group != 0 or offset > size:
            raise ProtocolFault(f"command set cannot be read at ({group:04X},{element:04X})")
        elements[element] = encoded[start:offset]
    return elements


def _number(elements: dict[int, bytes], element: int, default: int | None = None) -> int:
    value = elements.get(element, b"")
    if len(value) == _US.size:
        return int(_US.unpack(value)[0])
    if default is None:
        raise ProtocolFault(f"command set without a usable (0000,{element:04X})")
    return default


def _uid(elements: dict[int, bytes], element: int) -> str:
    return elements.get(element, b"").decode("ascii", "replace").strip("\0 ")


def store_request(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, behalf: Behalf = NOBODY
) -> bytes:
    """Write the command set of a C-STORE-RQ (PS3.7 9.3.1.1).

    Raises UnicodeEncodeError when a UID or a title is not ASCII.
    """
    originator = behalf.originator_ae.encode("ascii")
    body = b"".join(
        (
            command_element(0x0002, sop_class_uid.encode("ascii"), b"\0"),
            _STORE,
            command_element(0x0110, _US.pack(message_id)),
            command_element(0x0700, _US.pack(behalf.priority)),
            _WITH_DATASET,
            command_element(0x1000, sop_instance_uid.encode("ascii"), b"\0"),
            command_element(0x1030, originator, b" "),
            command_element(0x1031, _US.pack(behalf.message_id) if originator else b""),
        )
    )
    return command_element(0x0000, struct.pack("<L", len(body))) + body


def response_status(response: Command) -> int:
    """Read the status of a response (PS3.7 C). Raises ProtocolFault when it has none."""
    return _number(_elements(response.encoded), 0x0900)


def store_status(encoded: bytes, message_id: int) -> int:
    """Read the status of the answer to a C-STORE (PS3.7 9.3.1.2).

    Raises ProtocolFault where it answers another request, or has none.
    """
    elements = _elements(encoded)
    if (_number(elements, 0x0100), _number(elements, 0x0120, 0)) != (C_STORE_RSP, message_id):
        raise ProtocolFault("the answer belongs to no request of ours")
    return _number(elements, 0x0900)


def store_response(request: Command, status: int, comment: str = "") -> bytes:
    """Write the command set of a C-STORE-RSP (PS3.7 9.3.1.2); a comment goes with failures."""
    body = b"".join(
        (
            command_element(0x0002, request.sop_class_uid.encode("ascii", "replace"), b"\0"),
            _STORED,
            command_element(0x0120, _US.pack(request.message_id)),
            _WITHOUT_DATASET,
            command_element(0x0900, _US.pack(status)),
            command_element(0x0902, comment[:COMMENT_LIMIT].encode("ascii", "replace"), b" "),
            command_element(0x1000, request.sop_instance_uid.encode("ascii", "replace"), b"\0"),
        )
    )
    return command_element(0x0000, struct.pack("<L", len(body))) + body


def command_element(element: int, value: bytes, pad: bytes = b"") -> bytes:
    """Encode one element; an empty optional one is left out."""
    if not value:
        return b""
    if len(value) % 2:
        value += pad
    return _ELEMENT.pack(0, element, len(value)) + value


_STORE: Final = command_element(0x0100, _US.pack(C_STORE_RQ))
_WITH_DATASET: Final = command_element(0x0800, _US.pack(1))
_STORED: Final = command_element(0x0100, _US.pack(C_STORE_RSP))
_WITHOUT_DATASET: Final = command_element(0x0800, _US.pack(NO_DATASET))
