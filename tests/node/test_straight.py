"""Long bodies go straight from a thread to their connection, as whole as by the event loop."""

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from config.model import Http
from dicom.errors import Corrupt
from examples.peers.certificates import Pki
from examples.peers.process import wait_until
from node.web import server as module
from node.web import straight
from node.web.dicomweb.turns import Turns
from node.web.https import credentials_of
from node.web.server import Server

PIECE = bytes(range(256)) * 4096
PIECES = 24


class Site:
    """A port that answers with a long body, and what became of its writers."""

    def __init__(self) -> None:
        self.turns: Turns | None = None
        self.begun = self.ended = self.straight = 0
        self.breaks_at = PIECES
        self.threads: set[str] = set()

    def bursts(self) -> Iterator[list[bytes]]:
        self.begun += 1
        try:
            for number in range(PIECES):
                if number == self.breaks_at:
                    raise Corrupt("damaged")
                self.threads.add(threading.current_thread().name)
                yield [b"%04d" % number, PIECE]
        finally:
            self.ended += 1

    async def answer(self, request: Request) -> Response:
        self.turns = self.turns or Turns()
        self.straight += straight.EXTENSION in request.scope.get("extensions", {})
        bursts = self.bursts()
        ordinary = StreamingResponse(
            (piece for burst in bursts for piece in burst),
            headers={"Content-Length": str(PIECES * (len(PIECE) + 4))},
        )

        async def answered(_request: Request) -> Response:
            return straight.Long(ordinary, bursts, self.turns.write)

        return await self.turns.taken(answered, whole=True)(request, None)


BODY = b"".join(b"%04d" % number + PIECE for number in range(PIECES))


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def server(site, monkeypatch) -> Iterator[Server]:
    """A port in the clear that waits half a second for who does not read."""
    monkeypatch.setattr(module, "WRITE_S", 0.5)
    made = Server.on_port(Starlette(routes=[Route("/", site.answer)]), "127.0.0.1", 0)
    made.start()
    yield made
    made.stop()


def ask(server: Server) -> socket.socket:
    """Send a request with a small window, and read nothing."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    made.settimeout(20)
    made.connect(("127.0.0.1", server.port))
    made.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    return made


def test_a_connection_goes_on_after_a_long_body(server, site):
    """One connection gives several long bodies, each whole, and HEAD between them."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, 20)) as client:
        for method in ("GET", "HEAD", "GET"):
            client.request(method, "/")
            answer = client.getresponse()
            assert answer.read() == (BODY if method == "GET" else b"")
            first = client.sock
        assert client.sock is first
    assert site.straight == 3
    assert not site.threads & {"http"}


def test_requests_that_come_together_are_answered_one_after_the_other(server):
    """What a client asks while a long body is on its way waits for its end."""
    with ask(server) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = bytearray()
        while piece := client.recv(1 << 20):
            got += piece
    assert got.count(b"HTTP/1.1 200") == 2
    assert got.count(BODY) == 2


def test_who_never_reads_is_cut(server, site):
    """A client that reads nothing loses its connection after the time-out, and its turn is free."""
    with ask(server) as client:
        wait_until(lambda: site.ended, 10, "the end of the writer")
        wait_until(lambda: not server._server.server_state.connections, 5, "the connection's end")
        with contextlib.suppress(ConnectionResetError):
            while client.recv(1 << 20):
                pass
    assert site.turns is not None
    wait_until(lambda: site.turns._writers.borrowed_tokens == 0, 5, "its thread")


def test_who_leaves_midway_ends_the_writer(server, site, monkeypatch):
    """A client that closes in the middle ends its thread at once, long before the time-out."""
    monkeypatch.setattr(module, "WRITE_S", 60.0)
    with ask(server) as client:
        wait_until(lambda: site.threads, 5, "the writer")
        assert client.recv(1000)
    wait_until(lambda: site.ended, 5, "the end of the writer")
    wait_until(lambda: not server._server.server_state.connections, 5, "the connection's end")


def test_what_fails_midway_breaks_the_answer_off(server, site):
    """A fault in the middle ends the connection; nothing that comes after it goes out."""
    site.breaks_at = 3
    client = http.client.HTTPConnection("127.0.0.1", server.port, 20)
    with contextlib.closing(client):
        client.request("GET", "/")
        with pytest.raises(http.client.IncompleteRead) as broken:
            client.getresponse().read()
    assert broken.value.partial == BODY[: 3 * (len(PIECE) + 4)]


def test_a_server_that_stops_ends_its_writers(server, site, monkeypatch):
    """Stopping waits for nobody who does not read."""
    monkeypatch.setattr(module, "WRITE_S", 60.0)
    with ask(server):
        wait_until(lambda: site.threads, 5, "the writer")
        server.stop()
        wait_until(lambda: site.ended, 5, "the end of the writer")


def test_under_tls_a_long_body_goes_the_ordinary_way(site, tmp_path):
    """Nothing is written past the encryption."""
    files = Pki(tmp_path).node
    tls = credentials_of(Http(certificate=files.certificate, key=files.key))
    server = Server.on_port(Starlette(routes=[Route("/", site.answer)]), "127.0.0.1", 0, tls)
    server.start()
    try:
        anybody = ssl.create_default_context()
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection(("127.0.0.1", server.port), 20)
        with anybody.wrap_socket(plain) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            answer = http.client.HTTPResponse(client)
            answer.begin()
            assert answer.read() == BODY
    finally:
        server.stop()
    assert site.straight == 0
