"""A second reading of a stream of PDUs, written from the standard and sharing no code of ours.

It says which C-STOREs a stream holds whole, and whether the stream keeps to PS3.8 9.3, Annex E and
PS3.7 6.3.1; the fuzzer and the tests of every byte compare the node with it. It is slow and plain.
"""

from dataclasses import dataclass, field

COMMAND_LIMIT = 1 << 16
IDENTIFIER_LIMIT = 1 << 20
ALLOWED = {1: 1 << 20, 2: 1 << 20, 3: 4, 5: 4, 6: 4, 7: 4}
"""PDU types but P-DATA-TF, and how long the node lets each be."""


@dataclass(frozen=True)
class Stored:
    """A C-STORE-RQ that came whole."""

    context_id: int
    message_id: int
    sop_class: str
    sop_instance: str
    dataset: bytes | None
    """None where the command promised none."""


@dataclass
class Reading:
    """What a stream of PDUs says after its association request was accepted."""

    messages: list[Stored | None] = field(default_factory=list)
    """C-STORE-RQs in order, and None for every message of another kind."""
    end: str = "open"
    """open (more may come), broken (breaks the protocol), cut (breaks off), or other: a PDU that
    ends what a reader of P-DATA can judge (release, abort, association PDUs)."""
    is_between: bool = True
    """Whether no message is half read at the end."""


class Broken(Exception):  # noqa: N818  (what the stream is)
    """The stream breaks the protocol here."""


def read(stream: bytes, accepted: set[int], max_pdu: int) -> Reading:
    """Read PDUs that follow the association's negotiation."""
    reading = Reading()
    try:
        Reader(reading, accepted, max_pdu).read(stream)
    except Broken:
        reading.end = "broken"
    return reading


class Reader:
    def __init__(self, reading: Reading, accepted: set[int], max_pdu: int) -> None:
        self.reading = reading
        self.accepted = accepted
        self.max_pdu = max_pdu
        self.context: int | None = None
        self.command = b""
        self.promised: dict[int, bytes] | None = None
        self.dataset = b""

    def read(self, stream: bytes) -> None:
        at = 0
        while at < len(stream):
            if len(stream) - at < 6:
                self.reading.end = "cut"
                return
            kind, length = stream[at], int.from_bytes(stream[at + 2 : at + 6], "big")
            if kind not in {*ALLOWED, 4} or length > ALLOWED.get(kind, self.max_pdu + 1024):
                raise Broken
            body = stream[at + 6 : at + 6 + length]
            if len(body) < length:
                self.reading.end = "cut"
                return
            at += 6 + length
            if kind != 4:
                if kind != 7 and self.context is not None:
                    raise Broken
                self.reading.end = "other"
                return
            self.p_data(body)

    def p_data(self, body: bytes) -> None:
        if not body:
            raise Broken
        while body:
            length = int.from_bytes(body[:4], "big")
            if len(body) < 6 or length < 2 or len(body) < 4 + length:
                raise Broken
            self.pdv(body[4], body[5], body[6 : 4 + length])
            body = body[4 + length :]
            self.reading.is_between = self.context is None

    def pdv(self, context: int, control: int, data: bytes) -> None:
        if self.context not in {None, context}:
            raise Broken
        if control & 1:
            if self.promised is not None:
                raise Broken
            self.context = context
            self.command += data
            if len(self.command) > COMMAND_LIMIT:
                raise Broken
            if control & 2:
                self.whole_command(context)
        else:
            if self.promised is None:
                raise Broken
            self.dataset += data
            if len(self.dataset) > IDENTIFIER_LIMIT and field_of(self.promised) != 1:
                raise Broken
            if control & 2:
                self.finish(self.promised, self.dataset)

    def whole_command(self, context: int) -> None:
        elements = elements_of(self.command)
        self.command = b""
        kind = number(elements, 0x0800)
        if kind is None or field_of(elements) is None or context not in self.accepted:
            raise Broken
        if kind == 0x0101:
            self.finish(elements, None)
        else:
            self.promised = elements

    def finish(self, elements: dict[int, bytes], dataset: bytes | None) -> None:
        one = None
        if field_of(elements) == 1:
            message_id = number(elements, 0x0110)
            if message_id is None:
                message_id = number(elements, 0x0120) or 0
            names = [
                elements.get(place, b"").decode("ascii", "replace").strip("\0 ")
                for place in (0x0002, 0x1000)
            ]
            one = Stored(self.context or 0, message_id, names[0], names[1], dataset)
        self.reading.messages.append(one)
        self.context, self.promised, self.dataset = None, None, b""


def elements_of(command: bytes) -> dict[int, bytes]:
    found = {}
    while command:
        length = int.from_bytes(command[4:8], "little")
        if len(command) < 8 + length or command[:2] != b"\0\0":
            raise Broken
        found[int.from_bytes(command[2:4], "little")] = command[8 : 8 + length]
        command = command[8 + length :]
    return found


def number(elements: dict[int, bytes], place: int) -> int | None:
    value = elements.get(place, b"")
    return int.from_bytes(value, "little") if len(value) == 2 else None


def field_of(elements: dict[int, bytes]) -> int | None:
    return number(elements, 0x0100)
