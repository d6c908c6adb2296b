"""Peers on one connection, in the clear and under TLS, with the bytes on the wire in hand.

TLS records can be cut, delayed and broken, and the end comes with or without close_notify.
"""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import TypeVar

from examples.peers.process import wait_until
from node.transport import Transport

T = TypeVar("T")


class PlainPeer:
    """The other end, in the clear: what it encrypts is what it says."""

    def __init__(self, end: socket.socket) -> None:
        self.socket = end

    def encrypted(self, data: bytes) -> bytes:
        """Encrypt, but do not send."""
        return data

    def send(self, data: bytes) -> None:
        """Send all."""
        self.socket.sendall(self.encrypted(data))

    def read(self) -> bytes:
        """Read what comes; nothing at the end."""
        return self.socket.recv(1 << 16)

    def read_to_end(self) -> bytes:
        """Read everything."""
        heard = bytearray()
        while part := self.read():
            heard += part
        return bytes(heard)

    def end(self) -> None:
        """Say that nothing more comes."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Close with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class TlsPeer(PlainPeer):
    """The other end under TLS, with the records in hand."""

    def __init__(self, end: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(end)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing)
        self.heard_goodbye = False

    def greet(self) -> None:
        """Make the handshake."""
        self._done(self.tls.do_handshake)
        self.socket.sendall(self.outgoing.read())

    def greet_with(self, transport: Transport) -> None:
        """Make the handshake with a connection of the node's, in this process."""
        greeting = threading.Thread(target=self.greet)
        greeting.start()
        wait_until(transport.greet, 10, "the handshake")
        greeting.join()

    def encrypted(self, data: bytes) -> bytes:
        """Encrypt, but do not send."""
        self.tls.write(data)
        return self.outgoing.read()

    def read(self) -> bytes:
        """Read what comes; nothing at the end, and whether that was in order."""
        try:
            part = self._done(lambda: self.tls.read(1 << 16))
        except ssl.SSLEOFError:
            return b""
        self.heard_goodbye = not part
        return part

    def end(self) -> None:
        """Send close_notify, and say that nothing more comes."""
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        self.socket.sendall(self.outgoing.read())
        super().end()

    def _done(self, step: Callable[[], T]) -> T:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                part = self.socket.recv(1 << 16)
                self.incoming.write(part) if part else self.incoming.write_eof()


class TornHandshake:
    """A client whose handshake ends after so many bytes."""

    def __init__(self, context: ssl.SSLContext, port: int) -> None:
        self._context, self._port = context, port

    def send(self, kept: int) -> int:
        """Send at most so many bytes of a handshake, then close; returns how many there were."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self._context.wrap_bio(incoming, outgoing)
        sent, done = 0, False
        with socket.create_connection(("127.0.0.1", self._port), 10) as raw:
            while sent < kept and not done:
                try:
                    client.do_handshake()
                    done = True
                except ssl.SSLWantReadError:
                    pass
                part = outgoing.read()[: kept - sent]
                raw.sendall(part)
                sent += len(part)
                if sent < kept and not done:
                    incoming.write(raw.recv(1 << 16))
        return sent
