"""Send C-STOREs straight to an association's socket, each dataset byte for byte.

pynetdicom keeps negotiation, release and abort. Its own C-STORE encodes a dataset anew, copies it
several times and sleeps between fragments. The way in is node/lane.py.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Final

from pynetdicom.association import Association

from dicom import message, pdu
from dicom.errors import ProtocolFault, Unreachable

BURST_BYTES: Final = 1 << 20
"""PDUs are gathered to so much before they go to the kernel,"""
BURST_PARTS: Final = 512
"""or to so many pieces, which is half of what one call takes (IOV_MAX)."""
READ_BYTES: Final = 4096
"""An answer is shorter, so that one call reads it."""
_REST_S: Final = 5.0

_ENDINGS: Final = {
    pdu.PduType.ABORT: "aborted",
    pdu.PduType.RELEASE_RQ: "released the association",
}


def bursts(
    context_id: int, command: bytes, dataset: Sequence[memoryview], peer_max_bytes: int
) -> Iterator[list[bytes | memoryview]]:
    """Cut a message into PDUs, gathered to what goes to the kernel in one call; copies nothing.

    Raises ProtocolFault when the peer's maximum leaves room for nothing.
    """
    head = pdu.command_pdus(context_id, command, peer_max_bytes)
    burst: list[bytes | memoryview] = [head]
    if len(dataset) == 1:
        pairs = pdu.whole_pdus(context_id, dataset[0], peer_max_bytes)
        if len(dataset[0]) <= BURST_BYTES and len(pairs) < BURST_PARTS:
            yield burst + pairs
        else:
            yield from _of_one(burst, pairs)
        return
    size_bytes = len(head)
    for header, parts in pdu.dataset_pdus(context_id, dataset, peer_max_bytes):
        burst.append(header)
        burst += parts
        size_bytes += len(header) + sum(map(len, parts))
        if size_bytes >= BURST_BYTES or len(burst) >= BURST_PARTS:
            yield burst
            burst, size_bytes = [], 0
    if burst:
        yield burst


def _of_one(
    burst: list[bytes | memoryview], parts: list[bytes | memoryview]
) -> Iterator[list[bytes | memoryview]]:
    """Gather headers and views in turn, all but the last pair equally long, behind a command."""
    pair_bytes = len(parts[0]) + len(parts[1]) if parts else 1
    together = 2 * max(1, min(BURST_BYTES // pair_bytes, BURST_PARTS // 2))
    for start in range(0, len(parts), together):
        burst += parts[start : start + together]
        yield burst
        burst = []
    if burst:
        yield burst


def transmit(connection: socket.socket, burst: Sequence[bytes | memoryview]) -> None:
    """Give pieces to the kernel, none of them copied here. Raises OSError."""
    sent = connection.sendmsg(burst)
    if sent == sum(map(len, burst)):
        return
    for part in burst:
        if sent >= len(part):
            sent -= len(part)
            continue
        connection.sendall(part[sent:])  # the call ended early, as it may
        sent = 0


class AssociationLost(Unreachable):
    """The peer ended the association over an object; another object may fare better."""


class Wire:
    """An established association's socket, while pynetdicom leaves it alone."""

    def __init__(
        self, connection: socket.socket, *, peer_max_bytes: int, max_bytes: int, timeout_s: float
    ) -> None:
        self._socket = connection
        self._peer_max_bytes = peer_max_bytes
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._unread = b""
        self._poll = select.poll()
        self._poll.register(connection.fileno(), select.POLLIN)

    def is_quiet(self) -> bool:
        """Whether the peer has said nothing since its last answer: no abort, release or end."""
        return not self._unread and not self._poll.poll(0)

    def store(
        self,
        context_id: int,
        dataset: Sequence[memoryview],
        *,
        message_id: int,
        sop_class_uid: str,
        sop_instance_uid: str,
        behalf: message.Behalf = message.NOBODY,
    ) -> int:
        """Send one C-STORE-RQ and wait for its answer; returns the status (PS3.7 9.3.1).

        Raises AssociationLost when the peer ends the association or breaks the protocol,
        Unreachable when it is silent for the time-out.
        """
        command = message.store_request(message_id, sop_class_uid, sop_instance_uid, behalf)
        try:
            for burst in bursts(context_id, command, dataset, self._peer_max_bytes):
                self._send(burst)
            return self._answer(context_id, message_id)
        except ProtocolFault as fault:
            raise AssociationLost(f"the peer broke the protocol: {fault}") from fault

    def cut(self) -> None:
        """Abort at once, whatever the peer does."""
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.send(pdu.abort(0, 0), socket.MSG_DONTWAIT)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _send(self, burst: Sequence[bytes | memoryview]) -> None:
        try:
            self._transmit(burst)
        except (BlockingIOError, TimeoutError) as fault:  # SO_SNDTIMEO passed, or TLS's own
            raise Unreachable(f"the peer read nothing for {self._timeout_s:g} s") from fault
        except OSError as fault:
            raise AssociationLost("the connection broke while an object was sent") from fault

    def _transmit(self, burst: Sequence[bytes | memoryview]) -> None:
        transmit(self._socket, burst)

    def _answer(self, context_id: int, message_id: int) -> int:
        deadline_s = time.monotonic() + self._timeout_s
        assembler: message.Assembler | None = None
        while True:
            header = pdu.read_header(self._read(pdu.HEADER_BYTES, deadline_s), self._max_bytes)
            body = self._read(header.length, deadline_s)
            if header.pdu_type is not pdu.PduType.P_DATA:
                words = _ENDINGS.get(header.pdu_type, f"sent {header.pdu_type.name}")
                raise AssociationLost(f"the peer {words} before an object was answered")
            if assembler is None:
                if encoded := pdu.lone_command(body, context_id):
                    return message.store_status(encoded, message_id)  # as nearly all come
                assembler = message.Assembler()
            for pdv in pdu.pdvs(memoryview(body)):
                got = assembler.feed(pdv)
                if isinstance(got, message.Command):
                    return _status(got, context_id, message_id)

    def _read(self, count: int, deadline_s: float) -> bytes:
        """Read so many bytes. What came with them, mostly the rest of an answer, is kept."""
        while len(self._unread) < count:
            try:
                # Or a peer that leaves Nagle's algorithm on (DCMTK, Orthanc) keeps the end of
                # its answer back until the kernel acknowledges by itself: 40 ms an object.
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
                came = self._socket.recv(READ_BYTES)
                if not came:
                    raise AssociationLost("the peer closed before an object was answered")
                self._unread += came
            except (BlockingIOError, TimeoutError):  # SO_RCVTIMEO passed, or TLS's own
                pass
            except OSError as fault:
                raise AssociationLost(
                    "the connection broke before an object was answered"
                ) from fault
            if len(self._unread) < count and time.monotonic() > deadline_s:
                raise Unreachable(f"the peer did not answer for {self._timeout_s:g} s")
        data, self._unread = self._unread[:count], self._unread[count:]
        return data


class TlsWire(Wire):
    """The same under TLS, which has its own time-outs and its own idea of what is readable."""

    def __init__(
        self, connection: socket.socket, *, peer_max_bytes: int, max_bytes: int, timeout_s: float
    ) -> None:
        assert isinstance(connection, ssl.SSLSocket)  # chosen by its kind
        super().__init__(
            connection, peer_max_bytes=peer_max_bytes, max_bytes=max_bytes, timeout_s=timeout_s
        )
        self._tls = connection

    def is_quiet(self) -> bool:
        """Whether the peer has said nothing: session tickets come unasked and are none of it."""
        if self._unread:
            return False
        if not self._tls.pending() and super().is_quiet():
            return True
        with contextlib.suppress(OSError), self._without_waiting():
            try:
                self._tls.recv(1)
            except ssl.SSLWantReadError:
                return True
        return False

    def cut(self) -> None:
        """Abort at once, whatever the peer does."""
        with contextlib.suppress(OSError), self._without_waiting():
            self._tls.send(pdu.abort(0, 0))
        with contextlib.suppress(OSError):
            self._tls.shutdown(socket.SHUT_RDWR)

    def _transmit(self, burst: Sequence[bytes | memoryview]) -> None:
        self._tls.sendall(b"".join(burst))

    @contextlib.contextmanager
    def _without_waiting(self) -> Iterator[None]:
        self._tls.setblocking(False)
        try:
            yield
        finally:
            self._tls.settimeout(self._timeout_s)


def _status(answer: message.Command, context_id: int, message_id: int) -> int:
    if answer.context_id != context_id:
        raise ProtocolFault("the answer belongs to no request of ours")
    return message.store_status(answer.encoded, message_id)


def prepare(connection: socket.socket, timeout_s: float) -> None:
    """Set a connection up: requests leave at once, and no call on it waits for ever.

    The time-outs are the kernel's, so that they hold for every thread that uses the socket.
    """
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A quarter, so that a passed deadline is noticed soon.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s / 4))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))
    if isinstance(connection, ssl.SSLSocket):
        connection.settimeout(timeout_s)  # it asks the kernel again for as long as it has none


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    # All zero would mean no time-out at all.
    return struct.pack("@ll", whole, max(int((seconds - whole) * 1_000_000), 1000))


@contextlib.contextmanager
def taken(association: Association, *, max_bytes: int, timeout_s: float) -> Iterator[Wire]:
    """Take the socket of an established association from pynetdicom until the block ends.

    `max_bytes` is the maximum PDU length that we announced. Raises Unreachable when the
    association is over.
    """
    dul, checkpoint = association.dul, association._reactor_checkpoint  # noqa: SLF001  (no public way)
    look = dul._is_transport_event  # noqa: SLF001  (the seam that node/lane.py uses too)
    resting = threading.Event()

    def rest() -> bool:
        resting.set()
        return False

    checkpoint.clear()
    dul._is_transport_event = rest  # type: ignore[method-assign]  # noqa: SLF001  (as above)
    try:
        # Its thread may still be looking; two readers of one socket would tear an answer apart.
        wrapper = dul.socket
        connection = wrapper.socket if wrapper is not None else None
        if connection is None or not resting.wait(_REST_S):
            raise AssociationLost("the association ended before anything was sent")
        kind = TlsWire if isinstance(connection, ssl.SSLSocket) else Wire
        yield kind(
            connection,
            peer_max_bytes=association.acceptor.maximum_length or 0,
            max_bytes=max_bytes,
            timeout_s=timeout_s,
        )
    finally:
        dul._is_transport_event = look  # type: ignore[method-assign]  # noqa: SLF001  (as above)
        checkpoint.set()
