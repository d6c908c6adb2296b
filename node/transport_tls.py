"""The lane's connection under TLS; node/transport.py says what is asked of it."""

import contextlib
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable

from node.handshake import Failure, explain, name_of
from node.transport import (
    CUT_S,
    DRAIN_BYTES,
    GREET_MS,
    UNREAD,
    WAIT_S,
    Burst,
    HandshakeFailed,
    PeerGone,
    acknowledge,
    broken,
    poll_for,
)


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
        self._incoming = poll_for(connection, select.POLLIN)
        self._outgoing = poll_for(connection, select.POLLOUT)
        self._awaited = self._incoming
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        """Held for all of what one thread sends, the other one for each step of it."""
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
        with self._sending:
            self._send_all(data)
        return len(data)

    def send_bursts(self, bursts: Iterable[Burst]) -> None:
        """Send them joined: OpenSSL takes one piece at a time, and makes a record of each."""
        with self._sending:
            for burst in bursts:
                self._send_all(b"".join(burst))

    def acknowledge(self) -> None:
        """Acknowledge now."""
        acknowledge(self._socket)

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
            raise broken(fault) from fault
        self._ended = not count
        return count

    def _send_all(self, data: bytes) -> None:
        deadline_s = time.monotonic() + self._timeout_s
        rest = memoryview(data)
        while rest:
            waiting = self._outgoing
            try:
                rest = rest[self._send(rest) :]
                continue
            except ssl.SSLWantWriteError:
                pass
            except ssl.SSLWantReadError:
                waiting = self._incoming
            except OSError as fault:
                raise PeerGone(UNREAD) from fault
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not waiting.poll(left_s * 1000 + 1):
                raise PeerGone(UNREAD)

    def _send(self, rest: memoryview) -> int:
        """Encrypt and send what the kernel takes now; what comes in is read between two steps."""
        with self._lock:
            if self._finished:
                raise PeerGone("the connection is closing")
            return self._socket.send(rest)

    def _fail(self, failure: Failure) -> HandshakeFailed:
        self._failed = True
        self._on_failure(failure)
        return HandshakeFailed(failure)

    def _shut(self, how: int) -> None:
        # Past SSLSocket, whose own shutdown would take the encryption off.
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, how)
