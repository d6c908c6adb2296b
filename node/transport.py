"""The lane's connection: what the lane asks of it, and one in the clear.

Timing is the same for both: a read ends at its deadline, a write after the idle time-out. The upper
layer's thread reads, either thread of the association sends, and any may cut. TLS is in
node/transport_tls.py.
"""

import contextlib
import select
import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from typing import Final, Protocol

from dicom.wire import transmit
from node.handshake import Failure

WAIT_S: Final = 0.02
"""So long a read waits: the next C-STORE is mostly nearer, and pynetdicom's own loop sleeps 1 ms
between looks, on two threads."""
CUT_S: Final = 0.1
"""So long a cut waits for a send under way; then the connection ends without last words."""
DRAIN_BYTES: Final = 1 << 16
UNREAD: Final = "the peer did not take its answer"
GREET_MS: Final = 20
"""The wait for more of a handshake; the thread has nothing else to do than its timer."""


Burst = Sequence[bytes | memoryview]
"""Pieces that go to the kernel in one call."""


class PeerGone(Exception):  # noqa: N818  (an event of the connection, caught in node/lane.py)
    """The peer closed or reset the connection, broke its encryption, or does not read."""


class HandshakeFailed(Exception):  # noqa: N818  (as PeerGone)
    """No TLS came about; `failure` says why and what mends it."""

    def __init__(self, failure: Failure) -> None:
        self.failure = failure
        super().__init__(failure.words)


class Transport(Protocol):
    """A connection. pynetdicom sends, shuts down and closes by it too, as if it were a socket."""

    @property
    def peer_name(self) -> str | None:
        """The client's name, from a certificate that was verified; None without one."""

    def greet(self) -> bool:
        """Go on with what comes before the first PDU; returns whether it is done.

        Waits for GREET_MS at most. Raises HandshakeFailed.
        """

    def readable(self, timeout_ms: int) -> bool:
        """Whether a byte, or the peer's end, can be read; waits for so long at most.

        Raises PeerGone where that shows already here.
        """

    def receive(self, view: memoryview) -> int:
        """Read what is there: how many bytes, 0 at the peer's end, -1 for nothing yet.

        Waits for WAIT_S at most. Raises PeerGone.
        """

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        """Read as `receive` does, where more than fills the view is sure to come.

        What comes after the end of the first view goes into the second.
        """

    def send(self, data: bytes) -> int:
        """Send all of it; returns its length. Raises PeerGone. Any thread may."""

    def send_bursts(self, bursts: Iterable[Burst]) -> None:
        """Send pieces as `send` does, copying none where that can be; a message whole, or nothing.

        No other thread's PDU comes in between. Raises PeerGone, and what the iterable raises.
        """

    def acknowledge(self) -> None:
        """Have the kernel acknowledge now what was read.

        A peer that leaves Nagle's algorithm on (most do) holds the end of its message back until
        then; the kernel's own delay would cost 40 ms an object.
        """

    def finish_sending(self) -> None:
        """Tell the peer that nothing more comes, and read nothing more."""

    def drain(self, timeout_ms: int) -> bool:
        """Drop what the peer still sends; returns whether it ended."""

    def cut(self, last_words: bytes) -> None:
        """End the connection at once, from another thread; whoever waits on it wakes.

        The last words are sent if that takes no waiting.
        """

    def shutdown(self, how: int) -> None:
        """Shut down as a socket does (socket.SHUT_RDWR)."""

    def close(self) -> None:
        """Give the descriptor back. May be called twice."""


class Plain:
    """A connection in the clear.

    Its time-outs are the kernel's: one call then reads a whole PDU, without a poll before each.
    """

    peer_name: str | None = None

    def __init__(self, connection: socket.socket, timeout_s: float) -> None:
        self._socket = connection
        self._incoming = poll_for(connection, select.POLLIN)
        self._sending = threading.Lock()
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(WAIT_S))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(timeout_s))

    def greet(self) -> bool:
        """Nothing comes before the first PDU."""
        return True

    def readable(self, timeout_ms: int) -> bool:
        """Ask the kernel."""
        return bool(self._incoming.poll(timeout_ms))

    def receive(self, view: memoryview) -> int:
        """Read, in one call that waits for the first byte."""
        try:
            return self._socket.recv_into(view)
        except BlockingIOError:  # SO_RCVTIMEO passed
            return -1
        except OSError as fault:
            raise broken(fault) from fault

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        """Read, in one call that waits for the last byte."""
        try:
            return self._socket.recvmsg_into((view, behind), 0, socket.MSG_WAITALL)[0]
        except BlockingIOError:  # SO_RCVTIMEO passed
            return -1
        except OSError as fault:
            raise broken(fault) from fault

    def send(self, data: bytes) -> int:
        """Send all."""
        try:
            with self._sending:
                self._socket.sendall(data)
        except OSError as fault:
            raise PeerGone(UNREAD) from fault
        return len(data)

    def send_bursts(self, bursts: Iterable[Burst]) -> None:
        """Give them to the kernel where they lie."""
        with self._sending:
            for burst in bursts:
                try:
                    transmit(self._socket, burst)
                except OSError as fault:
                    raise PeerGone(UNREAD) from fault

    def acknowledge(self) -> None:
        """Acknowledge now."""
        acknowledge(self._socket)

    def finish_sending(self) -> None:
        """Send FIN."""
        with contextlib.suppress(OSError):  # reset before its end
            self._socket.shutdown(socket.SHUT_WR)

    def drain(self, timeout_ms: int) -> bool:
        """Read and forget."""
        if not self._incoming.poll(timeout_ms):
            return False
        try:
            return not self._socket.recv(DRAIN_BYTES, socket.MSG_DONTWAIT)
        except OSError:  # reset while closing
            return True

    def cut(self, last_words: bytes) -> None:
        """Send what the kernel takes, and shut down."""
        with contextlib.suppress(OSError):  # it is gone already
            self._socket.send(last_words, socket.MSG_DONTWAIT)
            self._socket.shutdown(socket.SHUT_RDWR)

    def shutdown(self, how: int) -> None:
        """Shut down."""
        self._socket.shutdown(how)

    def close(self) -> None:
        """Close."""
        self._socket.close()


def poll_for(connection: socket.socket, event: int) -> select.poll:
    """Watch a connection for one event (select.POLLIN, select.POLLOUT)."""
    poll = select.poll()  # unlike select(), it knows descriptors above 1023
    poll.register(connection.fileno(), event)
    return poll


def broken(fault: OSError) -> PeerGone:
    """Say that the connection broke, and how."""
    reason = getattr(fault, "reason", None) or type(fault).__name__
    return PeerGone(f"the connection broke ({reason})")


def acknowledge(connection: socket.socket) -> None:
    """Have the kernel acknowledge now what was read."""
    with contextlib.suppress(OSError):  # gone; the next read says so
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    # All zero would mean no time-out at all.
    return struct.pack("@ll", whole, max(int((seconds - whole) * 1_000_000), 1000))
