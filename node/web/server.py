"""Run a web app in a thread of this process, on a TCP port or on a unix socket."""

import asyncio
import socket
import threading
from functools import partial
from pathlib import Path
from typing import Any, Final, Self

import h11
import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from dicom.errors import ConfigFault, StorageFault
from node.tls import Credentials
from node.unix_socket import short_name
from node.web.https import context_of
from node.web.straight import Sent, Straight, offering

OWNER_ONLY: Final = 0o600
_BACKLOG: Final = 128
_GRACE_S: Final = 1
"""How long requests in flight may take once the server is asked to stop."""
_START_S: Final = 10.0
HEADERS_S: Final = 10.0
"""Within which a connection to a port must have asked something."""
WRITE_S: Final = 60.0
"""Within which a reader must take each piece of an answer, which is some megabytes at most."""
MOST_CONNECTIONS: Final = 200
"""To a port. More would take the files that the node needs to receive objects."""


class Server:
    """One app on one listening socket: made, started, stopped."""

    def __init__(
        self,
        app: Starlette,
        listening: socket.socket,
        path: Path | None = None,
        tls: Credentials | None = None,
    ) -> None:
        self._app = app
        self._tls = tls
        self._socket = listening
        self._path = path
        self._started = threading.Event()
        config = uvicorn.Config(
            app, loop="asyncio", http="h11" if path else _Impatient, ws="none",
            lifespan="off", log_config=None, access_log=False, server_header=False,
            proxy_headers=False, timeout_graceful_shutdown=_GRACE_S,
        )  # fmt: skip
        config.load()
        config.ssl = (
            context_of(tls) if tls else None
        )  # as its own loading would leave it, from files that we have checked
        self._server = _Told(config, self._started)
        name = "control" if path else "http"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @classmethod
    def on_port(cls, app: Starlette, host: str, port: int, tls: Credentials | None = None) -> Self:
        """Bind a TCP port, 0 for a free one; HTTPS alone with `tls`.

        Raises ConfigFault when it cannot be had.
        """
        try:
            listening = socket.create_server(
                (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET
            )
        except OSError as fault:
            words = f"cannot listen on {host}:{port} ({fault.strerror})"
            raise ConfigFault([("http.port", words)]) from fault
        # Connections inherit it. asyncio sets it only for sockets that say they are TCP, which
        # these do not: each answer would else wait 40 ms for the client's acknowledgement.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(app, listening, tls=tls)

    @classmethod
    def on_socket(cls, app: Starlette, path: Path) -> Self:
        """Bind a unix socket that only this user may connect to.

        Takes the place of a socket that a dead process left. Raises StorageFault when somebody
        answers there, or when the socket cannot be made.
        """
        listening = socket.socket(socket.AF_UNIX)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with short_name(path) as name:
                _clear(name, path)
                listening.bind(name)
            # Nobody can connect before listen(), so nobody slips in before chmod.
            path.chmod(OWNER_ONLY)
            listening.listen(_BACKLOG)
        except OSError as fault:
            listening.close()
            raise StorageFault(f"no control socket at {path} ({fault.strerror})") from fault
        except StorageFault:
            listening.close()
            raise
        return cls(app, listening, path)

    @property
    def port(self) -> int:
        """The TCP port that was bound."""
        return int(self._socket.getsockname()[1])

    def start(self) -> None:
        """Serve in a thread; returns when requests are answered."""
        self._thread.start()
        if self._tls:
            self._tls.start()
        if not self._started.wait(_START_S):
            raise StorageFault("the web server did not start")

    def stop(self, timeout_s: float = 3.0) -> None:
        """Answer what is in flight, then end. May be called twice, and before start."""
        self._app.state.stopping = True  # long polls end by it
        self._server.should_exit = True
        if self._tls:
            self._tls.stop()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


class _Impatient(H11Protocol):
    """A connection from anywhere: uvicorn alone would wait for ever for one that says nothing."""

    late: asyncio.TimerHandle | None = None
    """What ends it, unless it asks something before."""
    stuck: asyncio.TimerHandle | None = None
    """What ends it, unless it reads on before."""
    straight: Straight | None = None
    """How long bodies go out, where it is in the clear."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = _Passing(h11.SERVER)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait; where too many wait, the one that has waited longest goes."""
        super().connection_made(transport)
        # The next piece is asked for when the last has gone: none is copied behind another.
        if transport.get_extra_info("ssl_object") is None:
            transport.set_write_buffer_limits(high=0)
            self.straight = Straight(transport, WRITE_S)
            self.app = offering(self.app, self.straight)
        else:
            transport.set_write_buffer_limits(high=1, low=0)  # 0 would pause for ever
        self._mind()
        if len(self.connections) > MOST_CONNECTIONS:
            waiting = {
                one: one.late.when()
                for one in self.connections
                if isinstance(one, _Impatient) and one.late
            }
            min(waiting, key=lambda one: waiting[one]).transport.abort()

    def data_received(self, data: bytes) -> None:
        """Take what comes, a byte of a header even: that alone wins no time."""
        super().data_received(data)
        self._mind()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._mind()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self.resume_writing()
        if self.straight is not None:
            self.straight.cut()
        super().connection_lost(exc)
        self._forget()

    def pause_writing(self) -> None:
        """Wait for the reader, and not for ever."""
        super().pause_writing()
        self.stuck = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the reader has taken what there was."""
        if self.stuck is not None:
            self.stuck.cancel()
            self.stuck = None
        super().resume_writing()

    def _mind(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._forget()
        elif self.late is None:
            # Not close(), which waits until the peer has read everything.
            self.late = self.loop.call_later(HEADERS_S, self.transport.abort)

    def _forget(self) -> None:
        if self.late is not None:
            self.late.cancel()
            self.late = None


class _Passing(h11.Connection):
    """Passes a piece of a body on as it is: h11 by itself makes a copy of each."""

    def send(self, event: h11.Event) -> bytes | None:  # type: ignore[override]  # one for all events
        """Give what is to be written; a memoryview where the body is one of known length."""
        if not isinstance(event, h11.Data):
            return super().send(event)
        pieces = self.send_with_data_passthrough(event) or []
        data: object = event.data  # which h11 passes on as it is, whatever it is
        if isinstance(data, Sent):
            return b""
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Told(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._up = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell whoever waits for the start."""
        if self.config.ssl is not None:
            # uvicorn has no setting for it, and asyncio waits a minute for a handshake.
            loop = asyncio.get_running_loop()
            patient = partial(loop.create_server, ssl_handshake_timeout=HEADERS_S)
            loop.create_server = patient  # type: ignore[method-assign]  # of this thread alone
        await super().startup(sockets)
        self._up.set()


def _clear(name: str, path: Path) -> None:
    """Remove a socket on which nobody listens any more."""
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(name)
        except ConnectionRefusedError:
            path.unlink()
            return
    raise StorageFault(f"a node runs with {path.parent} already: it answers at {path}")
