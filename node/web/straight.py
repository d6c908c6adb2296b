"""Write a long body straight to its connection, from a thread, while the event loop only reads.

The loop would copy what the connection does not take at once, and take several turns for each
piece. It is an ASGI extension that our own server offers on a port in the clear
(node/web/server.py); under TLS, and by any other server, a body goes the ordinary way.
"""

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Generator, Sequence
from typing import Final, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dicom.native import Piece
from dicom.wire import transmit

EXTENSION: Final = "penumbra.straight"

Burst = Sequence[Piece]
"""Pieces that go to the kernel in one call."""
Bursts = Generator[Burst]


class Gone(Exception):  # noqa: N818  (no error: nobody reads any more)
    """The client has closed its connection, or does not read."""


class Sent:
    """Stands for bytes of a body that have gone out already: h11 counts them, nobody else."""

    __slots__ = ("_size_bytes",)

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        """Say how many."""
        return self._size_bytes


class Straight:
    """A connection, as one thread writes to it. All but `write` belongs to the event loop."""

    def __init__(self, transport: asyncio.Transport, within_s: float) -> None:
        """`within_s`: in which the client must take each piece."""
        self._transport = transport
        self._within_s = within_s
        self._socket: socket.socket | None = None
        self._is_cut = False

    def write(self, bursts: Bursts) -> int:
        """Write all, and say how many bytes that was. Raises Gone, and what the bursts raise."""
        with contextlib.closing(bursts):  # what is read ahead for them ends here, come what may
            return self._write(bursts)

    def _write(self, bursts: Bursts) -> int:
        size_bytes = 0
        try:
            # One of its own: the loop may close the connection's at any moment.
            self._socket = self._transport.get_extra_info("socket").dup()
        except OSError as fault:
            raise Gone from fault
        with self._socket as connection:
            connection.settimeout(self._within_s)
            for burst in bursts:
                if self._is_cut:
                    raise Gone
                try:
                    transmit(connection, burst)
                except OSError as fault:
                    raise Gone from fault
                size_bytes += sum(map(len, burst))
        return size_bytes

    def cut(self) -> None:
        """End the connection; a thread that writes to it wakes."""
        self._is_cut = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the thread has ended
                self._socket.shutdown(socket.SHUT_RDWR)

    async def end(self, receive: Receive) -> None:
        """End the connection, and wait until the server has noticed."""
        self._transport.abort()
        while (await receive())["type"] != "http.disconnect":
            pass


class Long(Response):
    """A body of known length, written by a thread where the server lends it the connection."""

    def __init__(
        self,
        ordinary: Response,
        bursts: Bursts,
        run: Callable[[Callable[[Bursts], int], Bursts], Awaitable[int]],
    ) -> None:
        """`ordinary` answers where it does not; `run` does something in a thread."""
        self._ordinary = ordinary
        self._bursts = bursts
        self._run = run
        self.status_code = ordinary.status_code
        self.raw_headers = ordinary.raw_headers  # one list: what is added here goes out there
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. What goes wrong now can only break it off, which its reader notices."""
        straight: Straight | None = scope.get("extensions", {}).get(EXTENSION)
        if straight is None:
            await self._ordinary(scope, receive, send)
            return
        headers = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **headers})
        # Returns when the headers have gone: the server waits for each message before the next.
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        try:
            size_bytes = await self._run(straight.write, self._bursts)
        except Gone:
            await straight.end(receive)
            return
        await send({"type": "http.response.body", "body": Sent(size_bytes), "more_body": False})


class Offering(Protocol):
    """An ASGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""


def offering(app: Offering, straight: Straight) -> Offering:
    """Give an app that finds the extension in its scope."""

    async def offered(scope: Scope, receive: Receive, send: Send) -> None:
        await app({**scope, "extensions": {EXTENSION: straight}}, receive, send)

    return offered
