"""Retrieve with raw bytes: every response and every C-STORE of a C-MOVE or C-GET, one by one."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from examples.peers.raw_scu import (
    ABORT,
    IMPLICIT,
    RawPeer,
    element,
    elements_of,
    item,
    p_data,
    padded,
    pdvs,
)

STUDY_MOVE = "1.2.840.10008.5.1.4.1.2.2.2"
STUDY_GET = "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
PENDING, CANCELLED = 0xFF00, 0xFE00
C_GET, C_MOVE, C_CANCEL = 0x0010, 0x0021, 0x0FFF
_STORE_RQ, _STORE_RSP = 0x0001, 0x8001
_TAGS = {
    "level": (0x0008, 0x0052),
    "patient": (0x0010, 0x0020),
    "study": (0x0020, 0x000D),
    "series": (0x0020, 0x000E),
    "image": (0x0008, 0x0018),
}


@dataclass(frozen=True, slots=True)
class Response:
    """One response: its status, counts (None where it has none), comment and failed UIDs."""

    status: int
    remaining: int | None
    completed: int | None
    failed: int | None
    warning: int | None
    comment: str
    offending: int | None
    failed_uids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """One C-STORE that came over the association of a C-GET."""

    context_id: int
    sop_instance_uid: str
    message_id: int
    dataset: bytes


@dataclass(slots=True)
class Heard:
    """All that came until the last response."""

    responses: list[Response] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)

    @property
    def last(self) -> Response:
        """The last response."""
        return self.responses[-1]


def identifier(**keys: str) -> bytes:
    """Encode an identifier in implicit VR; keys are level, patient, study, series and image."""
    encoded = b""
    for group, number, text in sorted((*_TAGS[name], text) for name, text in keys.items()):
        pad = b" " if (group, number) in {_TAGS["level"], _TAGS["patient"]} else b"\0"
        value = text.encode() + pad * (len(text) % 2)
        encoded += struct.pack("<HHL", group, number, len(value)) + value
    return encoded


class Retriever(RawPeer):
    """An SCU of C-MOVE and C-GET; of C-GET the SCP of storage as well."""

    roles: dict[str, tuple[int, int]]
    """What `open` was answered about roles."""

    def open(
        self,
        model: str,
        *receives: tuple[str, Sequence[str]],
        calling: str = "SCU",
        role: tuple[int, int] = (0, 1),
        relational: bytes = b"",
    ) -> dict[int, tuple[int, str]]:
        """Associate; gives result and transfer syntax by context id.

        `receives` names SOP classes with the transfer syntaxes of one context each; `role` is
        proposed for them. `relational` is sent as the model's extended negotiation.
        """
        contexts = [(model, [IMPLICIT]), *receives]
        body = struct.pack(">HH16s16s32x", 1, 0, b"PENUMBRA".ljust(16), calling.ljust(16).encode())
        body += item(0x10, b"1.2.840.10008.3.1.1.1")
        for place, (abstract, syntaxes) in enumerate(contexts):
            subs = item(0x30, abstract.encode())
            subs += b"".join(item(0x40, syntax.encode()) for syntax in syntaxes)
            body += item(0x20, struct.pack(">BBBB", 2 * place + 1, 0, 0, 0) + subs)
        info = item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.3.4")
        for uid in dict.fromkeys(abstract for abstract, _ in receives):
            info += item(0x54, struct.pack(">H", len(uid)) + uid.encode() + bytes(role))
        if relational:
            info += item(0x56, struct.pack(">H", len(model)) + model.encode() + relational)
        body += item(0x50, info)
        self.send(struct.pack(">BxL", 1, len(body)) + body)
        kind, answer = self.read_pdu()
        assert kind == 2, f"PDU type {kind}: {answer.hex()}"
        self.roles = _roles(answer)
        return _accepted(answer)

    def ask(
        self,
        command_field: int,
        model: str,
        asked: bytes,
        *,
        destination: str = "",
        message_id: int = 7,
        priority: int = 0,
    ) -> None:
        """Send a request in context 1."""
        title = destination.encode() + b" " * (len(destination) % 2)
        body = (
            element(0x0002, padded(model))
            + element(0x0100, struct.pack("<H", command_field))
            + element(0x0110, struct.pack("<H", message_id))
            + (element(0x0600, title) if title else b"")
            + element(0x0700, struct.pack("<H", priority))
            + element(0x0800, struct.pack("<H", 1))
        )
        self.send(p_data((1, 3, element(0, struct.pack("<L", len(body))) + body), (1, 2, asked)))

    def cancel(self, message_id: int = 7) -> None:
        """Send C-CANCEL."""
        body = (
            element(0x0100, struct.pack("<H", C_CANCEL))
            + element(0x0120, struct.pack("<H", message_id))
            + element(0x0800, struct.pack("<H", 0x0101))
        )
        self.send(p_data((1, 3, element(0, struct.pack("<L", len(body))) + body)))

    def hear(
        self,
        status: Callable[[int], int] = lambda _number: 0,
        each: Callable[[Response | Stored], object] = lambda _one: None,
    ) -> Heard:
        """Take all until the last response; the n-th C-STORE, from 1, is answered `status(n)`."""
        heard = Heard()
        while True:
            one = self.next()
            if isinstance(one, Response):
                heard.responses.append(one)
                each(one)
                if one.status != PENDING:
                    return heard
                continue
            heard.stored.append(one)
            each(one)
            self.answer(one, status(len(heard.stored)))

    def next(self) -> Response | Stored:
        """Take one message."""
        command, dataset, context_id, is_whole = b"", b"", 0, False
        while not is_whole:
            kind, body = self.read_pdu()
            assert kind == 4, f"PDU type {kind}: {body.hex()}"
            for context_id, control, data in pdvs(body):  # noqa: B007  (the last one's)
                if control & 1:
                    command += data
                    has_dataset = control & 2 and elements_of(command)[0x0800] != b"\1\1"
                    is_whole = bool(control & 2) and not has_dataset
                else:
                    dataset += data
                    is_whole = bool(control & 2)
        found = elements_of(command)
        if _number(found, 0x0100) == _STORE_RQ:
            uid = found[0x1000].decode().strip("\0")
            return Stored(context_id, uid, _number(found, 0x0110) or 0, dataset)
        return _response(found, dataset)

    def answer(self, one: Stored, status: int) -> None:
        """Answer a C-STORE."""
        body = (
            element(0x0100, struct.pack("<H", _STORE_RSP))
            + element(0x0120, struct.pack("<H", one.message_id))
            + element(0x0800, struct.pack("<H", 0x0101))
            + element(0x0900, struct.pack("<H", status))
        )
        whole = element(0, struct.pack("<L", len(body))) + body
        self.send(p_data((one.context_id, 3, whole)))

    def abort(self) -> None:
        """Send A-ABORT and close."""
        self.send(ABORT)
        self.close()


def _accepted(body: bytes) -> dict[int, tuple[int, str]]:
    found, at = {}, 68
    while at < len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        if kind == 0x21:
            found[body[at + 4]] = body[at + 6], body[at + 12 : at + 4 + length].decode()
        at += 4 + length
    return found


def _roles(body: bytes) -> dict[str, tuple[int, int]]:
    """Read the roles that were answered: SCU and SCP by SOP class."""
    found, at = {}, 68
    while at < len(body):
        kind, length = struct.unpack_from(">BxH", body, at)
        if kind == 0x50:
            length = 0  # its sub-items are walked as if they were items
        if kind == 0x54:
            uid_bytes = struct.unpack_from(">H", body, at + 4)[0]
            uid = body[at + 6 : at + 6 + uid_bytes].decode()
            found[uid] = body[at + 6 + uid_bytes], body[at + 7 + uid_bytes]
        at += 4 + length
    return found


def _response(found: dict[int, bytes], dataset: bytes) -> Response:
    status = _number(found, 0x0900)
    assert status is not None
    offending = found.get(0x0901)
    group, number = struct.unpack("<HH", offending) if offending else (0, 0)
    uids = dataset[8:].decode().strip("\0").split("\\") if dataset else []
    return Response(
        status,
        *(_number(found, each) for each in (0x1020, 0x1021, 0x1022, 0x1023)),
        found.get(0x0902, b"").decode().strip(),
        group << 16 | number if offending else None,
        tuple(uids),
    )


def _number(found: dict[int, bytes], number: int) -> int | None:
    return struct.unpack("<H", found[number])[0] if number in found else None
