"""Read an association's socket: judge every PDU before it is buffered, and hand it on.

pynetdicom keeps the association whole: negotiation, release, abort, timers and every service
but C-STORE. On each connection the lane takes the place of the one method of its upper layer
that looks at the socket. An established association's P-DATA is read into one reusable buffer
and served by the exchange; every other PDU goes to pynetdicom as it came. All of this runs on
the association's own upper layer thread, so nothing else writes to the socket meanwhile.
"""

import contextlib
import select
import socket
import struct
import time
from typing import Final

import structlog
from pynetdicom.association import Association

from dicom import pdu
from dicom.errors import ProtocolFault
from node.conversation import AssociationWatcher, Conversation, Outcome
from node.exchange import Exchange
from node.services.store import StoreService

BURST_MS: Final = 20
"""After a C-STORE the next one is near: wait so long for it here, where waiting costs nothing.
pynetdicom's own loop sleeps 1 ms between looks, on two threads."""
LINGER_S: Final = 1.0
"""A peer gets so long to read our last PDU and close, so that a reset does not overtake it."""
BACKLOG: Final = 8
"""Messages read ahead of pynetdicom. An honest peer has one outstanding, and a C-CANCEL."""

_INVALID_PDU: Final = "Evt19"
_CLOSED: Final = "Evt17"
_ANSWERING: Final = "Sta3"
_ESTABLISHED: Final = "Sta6"
_CLOSING: Final = "Sta13"

log = structlog.get_logger()


class PeerGone(Exception):  # noqa: N818  (an event of the socket, caught in this file)
    """The peer closed or reset the connection, or does not read."""


class Lane:
    """Serves one connection; pynetdicom calls `step` where it would look at the socket."""

    def __init__(
        self,
        association: Association,
        connection: socket.socket,
        conversation: Conversation,
        store: StoreService,
        watcher: AssociationWatcher,
        *,
        max_pdu_bytes: int,
        timeout_s: float,
    ) -> None:
        self._association = association
        assert association.dul.socket is not None  # an acceptor is made with its socket
        self._dul = association.dul
        self._wrapper = association.dul.socket
        self._socket = connection
        self._conversation = conversation
        self._max_pdu_bytes = max_pdu_bytes
        self._timeout_s = timeout_s
        self._exchange = Exchange(association, conversation, store, watcher, self._send)
        self._header = memoryview(bytearray(pdu.HEADER_BYTES))
        self._buffer: memoryview | None = None
        self._poll = select.poll()  # unlike select(), it knows descriptors above 1023
        self._poll.register(connection.fileno(), select.POLLIN)
        self._lingering_until_s: float | None = None
        _prepare(connection, timeout_s)

    def step(self) -> bool:
        """Serve what the socket holds; returns whether there was anything.

        Returns soon when there is nothing, so that pynetdicom's timers and queues move on.
        """
        if not self._dul.event_queue.empty():  # the state machine has not caught up with the last
            return False
        state = self._dul.state_machine.current_state
        if state == _CLOSING:
            return self._linger()
        if state == _ANSWERING:  # what comes before our answer waits in the socket
            return False
        if self._association.dimse.msg_queue.qsize() > BACKLOG or not self._readable(0):
            return False
        try:
            self._serve()
        except ProtocolFault as fault:
            self._conversation.end(Outcome.ABORTED, str(fault))
            self._give_up(_INVALID_PDU)
        except PeerGone as gone:
            self._conversation.end(Outcome.LOST, str(gone))
            self._give_up(_CLOSED)
        return True

    def close(self) -> None:
        """Drop what was not committed, and the connection. For when the threads have ended."""
        self._exchange.drop()
        self._socket.close()

    def cut(self) -> None:
        """Abort at once, from another thread: whatever the lane waits for, it wakes."""
        try:
            self._socket.send(pdu.abort(0, 0), socket.MSG_DONTWAIT)
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it is gone already

    def _give_up(self, event: str) -> None:
        self._exchange.drop()
        self._dul.event_queue.put(event)

    def _serve(self) -> None:
        """Read PDUs for as long as C-STOREs follow one another closely."""
        # receive.md: the association's other thread polls every millisecond, and takes a long
        # commit or burst for idleness. It rests meanwhile, and wakes to a fresh idle timer.
        checkpoint = self._association._reactor_checkpoint  # noqa: SLF001
        checkpoint.clear()
        try:
            while self._read_pdu():
                self._acknowledge()
                if not self._readable(BURST_MS):
                    return
        finally:
            self._dul._idle_timer.restart()  # noqa: SLF001
            checkpoint.set()

    def _read_pdu(self) -> bool:
        """Read one PDU and act on it; returns whether it belonged to a C-STORE."""
        deadline_s = time.monotonic() + self._timeout_s
        self._fill(self._header, deadline_s)
        header = pdu.read_header(self._header, self._max_pdu_bytes)
        if header.pdu_type is not pdu.PduType.P_DATA:
            self._hand_over(header, deadline_s)
            return False
        if self._dul.state_machine.current_state != _ESTABLISHED:
            raise ProtocolFault("P-DATA outside an established association")
        if self._buffer is None:  # a connection that says nothing costs no buffer
            self._buffer = memoryview(bytearray(self._max_pdu_bytes + pdu.OVERHEAD_LIMIT))
        body = self._buffer[: header.length]
        self._fill(body, deadline_s)
        return self._exchange.take(body)

    def _hand_over(self, header: pdu.Header, deadline_s: float) -> None:
        """Let pynetdicom decode a PDU and drive its state machine with it."""
        whole = bytearray(pdu.HEADER_BYTES + header.length)
        view = memoryview(whole)
        view[: pdu.HEADER_BYTES] = self._header
        self._fill(view[pdu.HEADER_BYTES :], deadline_s)
        view.release()
        if header.pdu_type is pdu.PduType.ABORT:
            self._exchange.drop()
            self._conversation.end(Outcome.ABORTED, "the peer aborted")
        elif not self._exchange.is_idle:
            raise ProtocolFault(f"{header.pdu_type.name} in the middle of a message")
        try:
            decoded, event = self._dul._decode_pdu(whole)  # noqa: SLF001  (the seam of receive.md)
        except Exception as fault:  # pynetdicom raises many kinds on hostile bytes
            raise ProtocolFault(
                f"{header.pdu_type.name} cannot be decoded ({type(fault).__name__})"
            ) from fault
        self._dul._recv_pdu.put(decoded)  # noqa: SLF001  (as above)
        self._dul.event_queue.put(event)

    def _fill(self, view: memoryview, deadline_s: float) -> None:
        """Read until the view is full.

        Raises PeerGone on end of file and reset, ProtocolFault when the deadline passes.
        """
        got = 0
        while got < len(view):
            try:
                count = self._socket.recv_into(view[got:], 0, socket.MSG_WAITALL)
            except BlockingIOError:  # SO_RCVTIMEO passed
                count = -1
            except OSError as fault:
                raise PeerGone(f"the connection broke ({type(fault).__name__})") from fault
            if count == 0:
                between = view is self._header and not got and self._exchange.is_idle
                where = "without a release" if between else "in the middle of a message"
                raise PeerGone(f"the peer closed {where}")
            got += max(count, 0)
            if got < len(view) and time.monotonic() > deadline_s:
                raise ProtocolFault(f"a PDU took longer than {self._timeout_s:g} s to arrive")

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as fault:
            raise PeerGone("the peer did not take its answer") from fault

    def _acknowledge(self) -> None:
        """Have the kernel acknowledge now what was read.

        A peer that leaves Nagle's algorithm on (most do) holds the end of its message back until
        then; the kernel's own delay would cost 40 ms an object.
        """
        with contextlib.suppress(OSError):  # gone; the next read says so
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _readable(self, timeout_ms: int) -> bool:
        return bool(self._poll.poll(timeout_ms))

    def _linger(self) -> bool:
        """Wait for the peer to close, dropping what it still sends (PS3.8 9.2, Sta13)."""
        now_s = time.monotonic()
        if self._lingering_until_s is None:
            self._lingering_until_s = now_s + LINGER_S
            self._finish_sending()
        if now_s < self._lingering_until_s:
            if not self._readable(10):
                return False
            try:
                if self._socket.recv(1 << 16, socket.MSG_DONTWAIT):
                    return False
            except OSError:
                log.debug("connection reset while closing")
        self._wrapper.close()
        return True

    def _finish_sending(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            log.debug("connection reset before its end")


def _prepare(connection: socket.socket, timeout_s: float) -> None:
    """Set a connection up: answers leave at once, and no call on it waits for ever.

    The time-outs are the kernel's: one call then reads a whole PDU, without a poll before each.
    """
    connection.settimeout(None)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # A quarter, so that a PDU's deadline is noticed soon after it passed.
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout_s / 4))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    # All zero would mean no time-out at all.
    return struct.pack("@ll", whole, max(int((seconds - whole) * 1_000_000), 1000))


def install(lane: Lane, association: Association) -> None:
    """Put the lane in the place of the association's own look at its socket."""
    dul = association.dul
    dul._is_transport_event = lane.step  # type: ignore[method-assign]  # noqa: SLF001  (receive.md)
    dul.daemon = True  # a stuck connection shall not keep the process from ending
    run = dul.run

    def run_to_the_end() -> None:
        try:
            run()
        except Exception as fault:  # noqa: BLE001  (pynetdicom's state machine raises on some
            # orders of events; that ends this connection and nothing else)
            log.warning("association broke", fault=type(fault).__name__)
            lane.cut()
            association._kill = True  # noqa: SLF001  (as pynetdicom's own loop does)
        finally:
            # The association's own thread may wait for a request that cannot come any more.
            dul.to_user_queue.put(None)

    dul.run = run_to_the_end  # type: ignore[method-assign]  # the end is certain here
