"""An HTTP proxy on loopback that writes down what passes, and does harm as it is told.

It stands in front of a real object store: requests go through as they are, signatures included,
unless a plan says that this one is answered otherwise, spoilt, cut off or left hanging.
"""

import contextlib
import http.client
import http.server
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from examples.peers.in_thread import answering

_PIECE = 1 << 16
_PER_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: its names in lower case, and its body's length."""

    method: str
    target: str
    headers: Mapping[str, str]
    size_bytes: int

    @property
    def path(self) -> str:
        """The path without its query, decoded."""
        return unquote(urlsplit(self.target).path)

    @property
    def is_object(self) -> bool:
        """Whether it is about a DICOM object."""
        return self.path.endswith(".dcm")


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer so instead of the store; the request's body is read and thrown away."""

    status: int
    code: str = ""


@dataclass(frozen=True, slots=True)
class SpoilUpload:
    """Change one byte of the request's body."""


@dataclass(frozen=True, slots=True)
class SpoilDownload:
    """Change one byte of the answer's body."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after so many bytes of the request's body."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class LoseAnswer:
    """Let the store do it, and close the connection instead of passing its answer on."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Say nothing until the proxy ends."""


Harm = Answer | SpoilUpload | SpoilDownload | Cut | LoseAnswer | Hang
Plan = Callable[[Request], Harm | None]


@dataclass(slots=True)
class FaultProxy:
    """A running proxy. `plan` may be changed at any time; `seen` grows."""

    endpoint: str
    upstream: tuple[str, int]
    plan: Plan = lambda _: None
    seen: list[Request] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    def move_to(self, endpoint: str) -> None:
        """Stand in front of another server from now on."""
        parts = urlsplit(endpoint)
        assert parts.hostname
        assert parts.port
        self.upstream = (parts.hostname, parts.port)

    def objects(self, method: str) -> list[Request]:
        """Give the requests of one method that were about DICOM objects."""
        return [one for one in list(self.seen) if one.method == method and one.is_object]


def first(count: int, harm: Harm, *, of: Callable[[Request], bool]) -> Plan:
    """Plan to do harm to the first `count` requests of a kind, and to no more."""
    left, lock = [count], threading.Lock()

    def plan(request: Request) -> Harm | None:
        with lock:
            if left[0] and of(request):
                left[0] -= 1
                return harm
            return None

    return plan


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    proxy: FaultProxy

    def setup(self) -> None:
        super().setup()
        self.up = http.client.HTTPConnection(*self.proxy.upstream, timeout=60)

    def finish(self) -> None:
        self.up.close()
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # either side may be gone: that is what this is for
            super().handle()

    def relay(self) -> None:
        """Pass one request on, or do it the harm that is planned."""
        size = int(self.headers.get("Content-Length") or 0)
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, size)
        self.proxy.seen.append(request)
        harm = self.proxy.plan(request)
        if isinstance(harm, Hang):
            self.proxy.ended.wait()
        if isinstance(harm, Hang | Cut):
            self.rfile.read(min(size, harm.after_bytes if isinstance(harm, Cut) else 0))
            self._close()
        elif isinstance(harm, Answer):
            self.rfile.read(size)
            body = f"<Error><Code>{harm.code}</Code></Error>".encode()
            self._reply(harm.status, {"Content-Type": "application/xml"}, body)
        else:
            self._pass_on(size, harm)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = relay  # noqa: N815  (http.server's names)

    def log_message(self, *_: object) -> None:
        """Stay silent: what passed is in `seen`."""

    def _pass_on(self, size: int, harm: Harm | None) -> None:
        if (self.up.host, self.up.port) != self.proxy.upstream:
            self.up.close()
            self.up = http.client.HTTPConnection(*self.proxy.upstream, timeout=60)
        self.up.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            self.up.putheader(name, value)
        self.up.endheaders()
        for number, piece in enumerate(self._body(size)):
            spoils = isinstance(harm, SpoilUpload) and not number
            self.up.send(_spoilt(piece) if spoils else piece)
        reply = self.up.getresponse()
        body = reply.read()
        if isinstance(harm, LoseAnswer):
            self._close()
            return
        if isinstance(harm, SpoilDownload):
            body = _spoilt(body)
        self.proxy.answers.append(reply.status)
        length = reply.headers.get("Content-Length", "0") if self.command == "HEAD" else None
        self._reply(reply.status, dict(reply.getheaders()), body, length)

    def _body(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self.rfile.read(min(size, _PIECE))
            if not piece:
                raise ConnectionResetError
            size -= len(piece)
            yield piece

    def _reply(
        self, status: int, headers: Mapping[str, str], body: bytes, length: str | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in _PER_HOP:
                self.send_header(name, value)
        if status not in {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}:
            self.send_header("Content-Length", length or str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _close(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """Stay silent: connections break here, on purpose."""


def _spoilt(piece: bytes) -> bytes:
    return piece[:-1] + bytes([piece[-1] ^ 1]) if piece else piece


@contextlib.contextmanager
def running(endpoint: str, *, port: int = 0) -> Iterator[FaultProxy]:
    """Stand in front of a server until the block ends; threads of this process."""
    parts = urlsplit(endpoint)
    assert parts.hostname
    assert parts.port
    server = _Server(("127.0.0.1", port), _Handler)
    own = f"http://127.0.0.1:{server.server_port}{parts.path}"
    proxy = FaultProxy(own, (parts.hostname, parts.port))
    server.RequestHandlerClass = type("Handler", (_Handler,), {"proxy": proxy})
    with answering(server, proxy.ended.set):
        yield proxy
