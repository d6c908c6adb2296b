"""A storage SCP that speaks raw bytes, so that it can misbehave in any way, at any moment."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from examples.peers.raw_scu import ABORT, element, elements_of, item, p_data, pdvs

_STORE_RQ = struct.pack("<H", 0x0001)
_ECHO_RQ = struct.pack("<H", 0x0030)


@dataclass
class Behaviour:
    """What it does with associations and objects; by default all that it should."""

    accepts: Callable[[str, str], bool] = lambda _sop_class, _syntax: True
    """Which pairs of SOP class and transfer syntax it takes."""
    reject: Callable[[int], tuple[int, int, int] | None] = lambda _number: None
    """Result, source and reason (PS3.8 9.3.4) for the n-th association, counted from 1."""
    status: Callable[[int], int] = lambda _number: 0
    """What it answers to the n-th object, counted from 1 over all associations."""
    abort_at: int = 0
    """It aborts instead of an answer to this object."""
    hang_at: int = 0
    """It does not answer this object, and says nothing any more on that association."""
    cut_at: int = 0
    """It closes the connection in the middle of this object."""
    lose_answer_at: int = 0
    """It keeps this object, and closes the connection instead of an answer."""


@dataclass
class RawScp:
    """A running SCP, and what it was sent."""

    port: int
    behaviour: Behaviour
    aet: str = "RAW"
    host: str = "127.0.0.1"
    stored: list[tuple[str, str, bytes]] = field(default_factory=list)
    """SOP Instance UID, transfer syntax UID and dataset of what it kept, in order of arrival."""
    associations: int = 0
    open: int = 0
    """Associations that have not ended."""
    objects: int = 0
    proposed: list[list[tuple[str, str]]] = field(default_factory=list)
    """Of each association: the pairs of SOP class and transfer syntax that it was asked for."""
    by_association: dict[int, list[str]] = field(default_factory=dict)
    """SOP Instance UIDs in order, by the number of the association."""
    commands: list[dict[int, bytes]] = field(default_factory=list)
    """The command set of each object, by element number of group 0000."""
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: threading.Event = field(default_factory=threading.Event)

    def received(self) -> list[str]:
        """List the SOP Instance UIDs that it holds."""
        return [uid for uid, _, _ in self.stored]


@contextlib.contextmanager
def running(
    behaviour: Behaviour | None = None, port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[RawScp]:
    """Run it in threads of this process until the block ends, under TLS if asked."""
    with socket.create_server(("127.0.0.1", port)) as server:
        scp = RawScp(server.getsockname()[1], behaviour or Behaviour())
        threads: list[threading.Thread] = []

        def accept() -> None:
            while not scp.ended.is_set():
                with contextlib.suppress(TimeoutError):
                    end = server.accept()[0]
                    one = threading.Thread(target=_Association(scp, end, tls).serve)
                    one.start()
                    threads.append(one)

        server.settimeout(0.05)
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield scp
        finally:
            scp.ended.set()
            accepting.join()
            for one in threads:
                one.join()


class _Over(Exception):  # noqa: N818  (no error: the connection has ended)
    """Raised where an association ends, in whichever way."""


class _Association:
    def __init__(self, scp: RawScp, connection: socket.socket, tls: ssl.SSLContext | None) -> None:
        connection.settimeout(10 if tls else 0.1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._scp = scp
        self._socket = connection
        self._tls = tls
        self._syntaxes: dict[int, str] = {}
        self._number = 0

    def serve(self) -> None:
        with contextlib.ExitStack() as stack:
            stack.enter_context(contextlib.suppress(_Over, OSError))
            stack.enter_context(self._socket)
            if self._tls is not None:
                self._socket = self._tls.wrap_socket(self._socket, server_side=True)
                stack.enter_context(self._socket)
                self._socket.settimeout(0.1)
            with self._scp.lock:
                self._scp.associations += 1
                self._scp.open += 1
                self._number = self._scp.associations
            stack.callback(self._close)
            self._negotiate()
            while True:
                self._store()

    def _close(self) -> None:
        with self._scp.lock:
            self._scp.open -= 1

    def _read(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            if self._scp.ended.is_set():
                raise _Over
            with contextlib.suppress(TimeoutError):
                part = self._socket.recv(count - len(data))
                if not part:
                    raise _Over
                data += part
        return bytes(data)

    def _pdu(self) -> tuple[int, bytes]:
        kind, length = struct.unpack(">BxL", self._read(6))
        return kind, self._read(length)

    def _negotiate(self) -> None:
        scp = self._scp
        kind, body = self._pdu()
        if kind != 1:
            raise _Over
        if (reason := scp.behaviour.reject(self._number)) is not None:
            self._socket.sendall(struct.pack(">BxLxBBB", 3, 4, *reason))
            raise _Over
        answer = body[:68] + item(0x10, b"1.2.840.10008.3.1.1.1")
        proposed = list(_contexts(body))
        scp.proposed.append([(sop_class, syntax) for _, sop_class, syntax in proposed])
        for context_id, sop_class, syntax in proposed:
            self._syntaxes[context_id] = syntax
            result = 0 if scp.behaviour.accepts(sop_class, syntax) else 4
            answer += item(
                0x21, struct.pack(">BBBB", context_id, 0, result, 0) + item(0x40, syntax.encode())
            )
        answer += item(0x50, item(0x51, struct.pack(">L", 16_384)) + item(0x52, b"1.2.3.4"))
        self._socket.sendall(struct.pack(">BxL", 2, len(answer)) + answer)

    def _store(self) -> None:
        command, dataset, context_id = b"", b"", 0
        is_complete, cut = False, False
        while not is_complete:
            kind, body = self._pdu()
            if kind == 5:
                self._socket.sendall(struct.pack(">BxLL", 6, 4, 0))
            if kind != 4:
                raise _Over
            for context, control, data in pdvs(body):
                context_id = context
                if control & 1:
                    command += data
                    if control & 2 and elements_of(command)[0x0100] == _ECHO_RQ:
                        answer = _response(command, 0, 0x8030)
                        self._socket.sendall(p_data((context_id, 3, answer)))
                        return
                    if control & 2 and elements_of(command)[0x0100] != _STORE_RQ:
                        raise _Over
                    if control & 2:
                        cut = self._begun()
                else:
                    dataset += data
                    is_complete = bool(control & 2)
                    if cut:
                        raise _Over
        self._answer(context_id, command, dataset)

    def _begun(self) -> bool:
        """Count an object; whether the connection is to be cut within it."""
        with self._scp.lock:
            self._scp.objects += 1
            self._object = self._scp.objects
        return self._object == self._scp.behaviour.cut_at

    def _answer(self, context_id: int, command: bytes, dataset: bytes) -> None:
        scp, number = self._scp, self._object
        wish = scp.behaviour
        if number == wish.abort_at:
            self._socket.sendall(ABORT)
            raise _Over
        if number == wish.hang_at:
            while True:  # until the peer leaves
                self._read(1)
        elements = elements_of(command)
        scp.commands.append(elements)
        uid = elements[0x1000].decode().strip("\0 ")
        status = wish.status(number)
        if status == 0 or 0xB000 <= status <= 0xBFFF:
            with scp.lock:
                scp.stored.append((uid, self._syntaxes[context_id], dataset))
                scp.by_association.setdefault(self._number, []).append(uid)
        if number == wish.lose_answer_at:
            raise _Over
        self._socket.sendall(p_data((context_id, 3, _response(command, status))))


def _contexts(body: bytes) -> Iterator[tuple[int, str, str]]:
    for kind, content in _items(body[68:]):
        if kind == 0x20:
            subs = dict(_items(content[4:]))
            yield content[0], subs[0x30].decode(), subs[0x40].decode()


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 4 <= len(data):
        kind, length = struct.unpack_from(">BxH", data, at)
        yield kind, data[at + 4 : at + 4 + length]
        at += 4 + length


def _response(command: bytes, status: int, field: int = 0x8001) -> bytes:
    asked = elements_of(command)
    body = (
        element(0x0002, asked[0x0002])
        + element(0x0100, struct.pack("<H", field))
        + element(0x0120, asked[0x0110])
        + element(0x0800, struct.pack("<H", 0x0101))
        + element(0x0900, struct.pack("<H", status))
        + (element(0x1000, asked[0x1000]) if 0x1000 in asked else b"")
    )
    return element(0, struct.pack("<L", len(body))) + body
