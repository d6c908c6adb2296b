"""The HTTP port and those who would keep it busy: they lose their connection, others do not."""

import contextlib
import socket
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from config.model import Http
from examples.peers.certificates import Pki
from examples.peers.process import wait_until
from node.web import server as module
from node.web.https import credentials_of
from node.web.server import Server

PATIENCE_S = 0.3


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    """A port that waits a third of a second for headers, and for three connections."""

    async def answer(request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def at_once(_request: Request) -> Response:
        return PlainTextResponse("no")

    monkeypatch.setattr(module, "HEADERS_S", PATIENCE_S)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 3)
    routes = [Route("/", answer, methods=["GET", "POST"])]
    routes.append(Route("/at-once", at_once, methods=["POST"]))
    made = Server.on_port(Starlette(routes=routes), "127.0.0.1", 0)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def connect(server) -> Iterator:
    """Connect to the port, and say something."""
    with contextlib.ExitStack() as held:

        def open_(said: bytes = b"") -> socket.socket:
            made = held.enter_context(socket.create_connection(("127.0.0.1", server.port), 10))
            made.sendall(said)
            return made

        yield open_


def is_ended(connection: socket.socket) -> bool:
    """Whether the other side has closed a connection; waits until it speaks or does."""
    try:
        while connection.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize("said", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_who_does_not_ask_is_sent_away(connect, said):
    """A connection without a whole request ends after a while."""
    assert is_ended(connect(said))


def test_who_does_not_shake_hands_is_sent_away(monkeypatch, tmp_path):
    """Under TLS too: a connection without a handshake ends after a while."""
    monkeypatch.setattr(module, "HEADERS_S", PATIENCE_S)
    files = Pki(tmp_path).node
    tls = credentials_of(Http(certificate=files.certificate, key=files.key))
    made = Server.on_port(Starlette(), "127.0.0.1", 0, tls)
    made.start()
    try:
        with socket.create_connection(("127.0.0.1", made.port), 10) as silent:
            assert is_ended(silent)
    finally:
        made.stop()


def test_dripping_wins_no_time(connect):
    """A header that comes byte by byte is waited for no longer than one that does not come."""
    slow = connect(b"GET / HTTP/1.1\r\n")

    def drip() -> bool:
        try:
            return slow.send(b"a") == 0
        except OSError:
            return True

    wait_until(drip, 10, "the end of the connection")


def test_a_body_that_nobody_reads_does_not_go_on(connect):
    """Who was answered before the end of his body cannot send it for ever."""
    sent = connect(b"POST /at-once HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\nx")
    assert is_ended(sent)


def test_others_are_answered_while_many_wait(server, connect):
    """When there are too many, who waited longest goes, and a request is answered."""
    waiting = [connect() for _ in range(9)]
    answer = httpx.get(f"http://127.0.0.1:{server.port}/", trust_env=False, timeout=10)
    assert (answer.status_code, answer.text) == (200, "0")
    assert all(map(is_ended, waiting))


def test_who_is_being_answered_is_not_sent_away(connect):
    """A request that is whole has all the time that its answer takes."""
    asked = connect(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
    asked.settimeout(PATIENCE_S * 2)
    with pytest.raises(TimeoutError):
        asked.recv(1)
    asked.settimeout(10)
    asked.sendall(b"y")
    assert asked.recv(4096).startswith(b"HTTP/1.1 200")
