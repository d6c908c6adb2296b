"""The lane's connection: what the lane asks of it, in the clear and under TLS.

Timing is the same for both: a read ends at its deadline, a write after the idle time-out. Only
`cut` is called from another thread than the association's own.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from node.handshake import Failure, explain, name_of

WAIT_S: Final = 0.02
"""So long a read waits: the next C-STORE is mostly nearer, and pynetdicom's own loop sleeps 1 ms
between looks, on two threads."""
CUT_S: Final = 0.1
"""So long a cut waits for a send under way; then the connection ends without last words."""
DRAIN_BYTES: Final = 1 << 16
GREET_MS: Final = 20
"""The wait for more of a handshake; the thread has nothing else to do than its timer."""


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
        """Send all of it; returns its length. Raises PeerGone."""

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
        self._incoming = _poll(connection, select.POLLIN)
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
            raise _broken(fault) from fault

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        """Read, in one call that waits for the last byte."""
        try:
            return self._socket.recvmsg_into((view, behind), 0, socket.MSG_WAITALL)[0]
        except BlockingIOError:  # SO_RCVTIMEO passed
            return -1
        except OSError as fault:
            raise _broken(fault) from fault

    def send(self, data: bytes) -> int:
        """Send all."""
        try:
            self._socket.sendall(data)
        except OSError as fault:
            raise PeerGone("the peer did not take its answer") from fault
        return len(data)

    def acknowledge(self) -> None:
        """Acknowledge now."""
        _acknowledge(self._socket)

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


class Secure:
    """A connection under TLS.

    The socket never blocks; waiting is done here, outside the lock that keeps a cut from
    entering OpenSSL while the association's own thread is in it.
    """

    def __init__(
        self,
        connection: ssl.SSLSocket,
        timeout_s: float,
        greet_s: float,
        on_failure: Callable[[Failure], None],
    ) -> None:
        """Take a wrapped socket before its handshake.

        That may take `greet_s`; `on_failure` hears once if it fails.
        """
        self.peer_name: str | None = None
        self._socket = connection
        self._timeout_s = timeout_s
        self._greet_until_s = time.monotonic() + greet_s
        self._on_failure = on_failure
        self._incoming = _poll(connection, select.POLLIN)
        self._outgoing = _poll(connection, select.POLLOUT)
        self._awaited = self._incoming
        self._lock = threading.Lock()
        self._ahead = memoryview(bytearray(1))
        self._is_ahead = False
        self._greeted = self._failed = self._ended = self._finished = False
        connection.settimeout(0)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def greet(self) -> bool:
        """Take the handshake as far as it goes."""
        if self._greeted or self._failed:
            return self._greeted
        if time.monotonic() > self._greet_until_s:
            raise self._fail(explain(None))
        if not self._awaited.poll(GREET_MS):
            return False
        try:
            with self._lock:
                self._socket.do_handshake()
                self.peer_name = name_of(self._socket.getpeercert() or {})
                self._greeted = True
        except ssl.SSLWantReadError:
            self._awaited = self._incoming
        except ssl.SSLWantWriteError:
            self._awaited = self._outgoing
        except OSError as fault:  # an SSLError is one
            raise self._fail(explain(fault)) from fault
        return self._greeted

    def readable(self, timeout_ms: int) -> bool:
        """Decrypt one byte ahead: that the socket has bytes does not mean that we have any."""
        if self._is_ahead or self._ended:
            return True
        with self._lock:
            pending = self._socket.pending()
        if not pending:
            if not self._incoming.poll(timeout_ms):
                return False
            self._is_ahead = self._receive(self._ahead) > 0
        return bool(pending) or self._is_ahead or self._ended

    def receive(self, view: memoryview) -> int:
        """Read what one TLS record holds (16 KiB at most)."""
        if self._is_ahead and len(view):
            view[:1] = self._ahead
            self._is_ahead = False
            return 1 + max(0, self._receive(view[1:])) if len(view) > 1 else 1
        count = self._receive(view)
        if count < 0 and self._incoming.poll(WAIT_S * 1000):
            count = self._receive(view)
        return count

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        """Read into the first view alone: OpenSSL has no call for two."""
        del behind
        return self.receive(view)

    def send(self, data: bytes) -> int:
        """Send all, a record at a time."""
        deadline_s = time.monotonic() + self._timeout_s
        rest = memoryview(data)
        with self._lock:
            while rest:
                if self._finished:
                    raise PeerGone("the connection is closing")
                waiting = self._outgoing
                try:
                    rest = rest[self._socket.send(rest) :]
                    continue
                except ssl.SSLWantWriteError:
                    pass
                except ssl.SSLWantReadError:
                    waiting = self._incoming
                except OSError as fault:
                    raise PeerGone("the peer did not take its answer") from fault
                left_s = deadline_s - time.monotonic()
                if left_s <= 0 or not waiting.poll(left_s * 1000 + 1):
                    raise PeerGone("the peer did not take its answer")
        return len(data)

    def acknowledge(self) -> None:
        """Acknowledge now."""
        _acknowledge(self._socket)

    def finish_sending(self) -> None:
        """Send close_notify, then FIN. The peer's own close_notify is not waited for."""
        with self._lock:
            if self._finished:
                return
            self._finished = self._ended = True
            with contextlib.suppress(OSError):  # gone, or in the middle of something
                if self._greeted:
                    self._socket.unwrap()
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_WR)

    def drain(self, timeout_ms: int) -> bool:
        """Read past OpenSSL, and forget."""
        if not self._incoming.poll(timeout_ms):
            return False
        try:
            return not socket.socket.recv(self._socket, DRAIN_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # reset while closing
            return True

    def cut(self, last_words: bytes) -> None:
        """Send the last words unless a send is under way, and shut down."""
        if self._lock.acquire(timeout=CUT_S):
            try:
                if self._greeted and not self._finished:
                    with contextlib.suppress(OSError):  # gone, or its buffers are full
                        self._socket.send(last_words)
            finally:
                self._lock.release()
        self._shut(socket.SHUT_RDWR)

    def shutdown(self, how: int) -> None:
        """Close cleanly, as far as the peer lets us."""
        self.finish_sending()
        self._shut(how)

    def close(self) -> None:
        """Close, cleanly where that was not done; a handshake that never ended has failed."""
        if not self._greeted and not self._failed:
            self._fail(explain(None))
        self.finish_sending()
        self._socket.close()

    def _receive(self, view: memoryview) -> int:
        """Decrypt what is there: how many bytes, 0 at the peer's end, -1 for nothing yet."""
        if self._ended:
            return 0
        try:
            with self._lock:
                # An end without close_notify is taken for an end: the upper layer's own lengths
                # tell whether something is missing.
                count = self._socket.recv_into(view)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return -1
        except OSError as fault:
            raise _broken(fault) from fault
        self._ended = not count
        return count

    def _fail(self, failure: Failure) -> HandshakeFailed:
        self._failed = True
        self._on_failure(failure)
        return HandshakeFailed(failure)

    def _shut(self, how: int) -> None:
        # Past SSLSocket, whose own shutdown would take the encryption off.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, how)


def _poll(connection: socket.socket, event: int) -> select.poll:
    poll = select.poll()  # unlike select(), it knows descriptors above 1023
    poll.register(connection.fileno(), event)
    return poll


def _broken(fault: OSError) -> PeerGone:
    reason = getattr(fault, "reason", None) or type(fault).__name__
    return PeerGone(f"the connection broke ({reason})")


def _acknowledge(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # gone; the next read says so
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _timeval(seconds: float) -> bytes:
    whole = int(seconds)
    # All zero would mean no time-out at all.
    return struct.pack("@ll", whole, max(int((seconds - whole) * 1_000_000), 1000))
