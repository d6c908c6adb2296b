"""DIMSE messages out of presentation data values, without any socket: the order they may come in.

PS3.7 6.3.1, 9.3 and PS3.8 Annex E. A message is a command set, then a dataset where the command
says so; both may be cut into fragments at any byte.
"""

import struct
from dataclasses import dataclass
from typing import Final

from dicom.errors import ProtocolFault
from dicom.pdu import Pdv

C_STORE_RQ: Final = 0x0001
C_STORE_RSP: Final = 0x8001
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
class Fragment:
    """A piece of a dataset; its data are valid until the next PDU is read."""

    context_id: int
    data: memoryview
    is_last: bool


class Assembler:
    """Fragments in, commands and dataset fragments out; keeps no dataset bytes."""

    def __init__(self) -> None:
        self._command = bytearray()
        self._context_id: int | None = None
        self._in_dataset = False

    @property
    def is_idle(self) -> bool:
        """Whether the last message is complete and no other has begun."""
        return self._context_id is None

    def feed(self, pdv: Pdv) -> Command | Fragment | None:
        """Take the next fragment; return what it completes, if anything.

        Raises ProtocolFault on a fragment that cannot come at this place.
        """
        if self._context_id is not None and pdv.context_id != self._context_id:
            raise ProtocolFault(
                f"a message began in presentation context {self._context_id}"
                f" and went on in {pdv.context_id}"
            )
        if pdv.is_command:
            return self._feed_command(pdv)
        if not self._in_dataset:
            raise ProtocolFault("a dataset came without its command")
        if pdv.is_last:
            self._in_dataset, self._context_id = False, None
        return Fragment(pdv.context_id, pdv.data, pdv.is_last)

    def _feed_command(self, pdv: Pdv) -> Command | None:
        if self._in_dataset:
            raise ProtocolFault("a command came before the dataset of the last one was complete")
        if len(self._command) + len(pdv.data) > COMMAND_LIMIT:
            raise ProtocolFault(f"command set longer than {COMMAND_LIMIT} bytes")
        self._context_id = pdv.context_id
        self._command += pdv.data
        if not pdv.is_last:
            return None
        command = parse_command(pdv.context_id, bytes(self._command))
        self._command.clear()
        self._in_dataset = command.has_dataset
        if not command.has_dataset:
            self._context_id = None
        return command


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
    offset = 0
    while offset < len(encoded):
        if len(encoded) - offset < _ELEMENT.size:
            raise ProtocolFault("command set breaks off within an element")
        group, element, length = _ELEMENT.unpack_from(encoded, offset)
        offset += _ELEMENT.size
        if group != 0 or offset + length > len(encoded):
            raise ProtocolFault(f"command set cannot be read at ({group:04X},{element:04X})")
        elements[element] = encoded[offset : offset + length]
        offset += length
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


def store_request(message_id: int, sop_class_uid: str, sop_instance_uid: str) -> bytes:
    """Write the command set of a C-STORE-RQ of medium priority (PS3.7 9.3.1.1).

    Raises UnicodeEncodeError when a UID is not ASCII.
    """
    body = b"".join(
        (
            _element(0x0002, sop_class_uid.encode("ascii"), b"\0"),
            _element(0x0100, _US.pack(C_STORE_RQ)),
            _element(0x0110, _US.pack(message_id)),
            _element(0x0700, _US.pack(0)),
            _element(0x0800, _US.pack(1)),
            _element(0x1000, sop_instance_uid.encode("ascii"), b"\0"),
        )
    )
    return _element(0x0000, struct.pack("<L", len(body))) + body


def response_status(response: Command) -> int:
    """Read the status of a response (PS3.7 C). Raises ProtocolFault when it has none."""
    return _number(_elements(response.encoded), 0x0900)


def store_response(request: Command, status: int, comment: str = "") -> bytes:
    """Write the command set of a C-STORE-RSP (PS3.7 9.3.1.2); a comment goes with failures."""
    body = b"".join(
        (
            _element(0x0002, request.sop_class_uid.encode("ascii", "replace"), b"\0"),
            _element(0x0100, _US.pack(C_STORE_RSP)),
            _element(0x0120, _US.pack(request.message_id)),
            _element(0x0800, _US.pack(NO_DATASET)),
            _element(0x0900, _US.pack(status)),
            _element(0x0902, comment[:COMMENT_LIMIT].encode("ascii", "replace"), b" "),
            _element(0x1000, request.sop_instance_uid.encode("ascii", "replace"), b"\0"),
        )
    )
    return _element(0x0000, struct.pack("<L", len(body))) + body


def _element(element: int, value: bytes, pad: bytes = b"") -> bytes:
    """Encode one element; an empty optional one is left out."""
    if not value:
        return b""
    if len(value) % 2:
        value += pad
    return _ELEMENT.pack(0, element, len(value)) + value
