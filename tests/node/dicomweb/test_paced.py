"""Answers go out as they are read, whole, and only to who reads them."""

import socket
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from examples.peers.process import wait_until
from node.web.dicomweb import paced
from node.web.dicomweb.paced import STEP_BYTES, Paced
from node.web.server import Server


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Serve bodies of any size."""

    async def answer(request):
        return Paced(bytes(int(request.path_params["size"])))

    server = Server.on_port(Starlette(routes=[Route("/{size}", answer)]), "127.0.0.1", 0)
    server.start()
    yield server.port
    server.stop()


@pytest.mark.parametrize("size", [0, 1, STEP_BYTES, STEP_BYTES + 1, 9 * STEP_BYTES])
def test_a_body_comes_whole(port, size):
    """Bodies of any size come whole, and HEAD tells of them without."""
    url = f"http://127.0.0.1:{port}/{size}"
    assert len(httpx.get(url, trust_env=False).content) == size
    head = httpx.head(url, trust_env=False)
    assert (head.headers["content-length"], head.content) == (str(size), b"")


def test_who_does_not_read_is_not_waited_for(port, monkeypatch):
    """A client that reads nothing loses its connection; others are answered meanwhile."""
    monkeypatch.setattr(paced, "STEP_S", 0.3)
    lines = list[str]()
    monkeypatch.setattr(paced.log, "warning", lambda event, **_: lines.append(event), raising=False)
    size = 200 << 20
    with socket.create_connection(("127.0.0.1", port), 20) as stuck:
        stuck.sendall(f"GET /{size} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert httpx.get(f"http://127.0.0.1:{port}/5", trust_env=False).status_code == 200
        wait_until(lambda: "answer not read" in lines, 20, "the end")
        assert sum(map(len, iter(partial(_read, stuck), b""))) < size


def _read(stuck: socket.socket) -> bytes:
    try:
        return stuck.recv(1 << 20)
    except ConnectionError:
        return b""
