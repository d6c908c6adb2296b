"""Run a web app in a thread of this process, on a TCP port or on a unix socket."""

import socket
import ssl
import threading
from pathlib import Path
from typing import Final, Self

import uvicorn
from starlette.applications import Starlette

from dicom.errors import ConfigFault, StorageFault
from node.unix_socket import short_name

OWNER_ONLY: Final = 0o600
_BACKLOG: Final = 128
_GRACE_S: Final = 1
"""How long requests in flight may take once the server is asked to stop."""
_START_S: Final = 10.0


class Server:
    """One app on one listening socket: made, started, stopped."""

    def __init__(
        self,
        app: Starlette,
        listening: socket.socket,
        path: Path | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._app = app
        self._socket = listening
        self._path = path
        self._started = threading.Event()
        config = uvicorn.Config(
            app, loop="asyncio", http="h11", ws="none", lifespan="off", log_config=None,
            access_log=False, server_header=False, proxy_headers=False,
            timeout_graceful_shutdown=_GRACE_S,
        )  # fmt: skip
        config.load()
        config.ssl = tls  # as its own loading would leave it, from files that we have checked
        self._server = _Told(config, self._started)
        name = "control" if path else "http"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @classmethod
    def on_port(
        cls, app: Starlette, host: str, port: int, tls: ssl.SSLContext | None = None
    ) -> Self:
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
        if not self._started.wait(_START_S):
            raise StorageFault("the web server did not start")

    def stop(self, timeout_s: float = 3.0) -> None:
        """Answer what is in flight, then end. May be called twice, and before start."""
        self._app.state.stopping = True  # long polls end by it
        self._server.should_exit = True
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._socket.close()

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])


class _Told(uvicorn.Server):
    """Says when it is up."""

    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._up = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Tell whoever waits for the start."""
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
