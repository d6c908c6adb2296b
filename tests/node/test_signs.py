"""The signs of life, over real HTTP on a free port."""

import socket
import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from starlette.applications import Starlette

from dicom.errors import ConfigFault, StorageFault
from node.metrics import Metrics
from node.web.server import Server
from node.web.signs import Check, signs_app

Serve = Callable[[Starlette], httpx.Client]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve an app on a free port, and give a client for it."""
    made: list[tuple[Server, httpx.Client]] = []

    def start(app: Starlette) -> httpx.Client:
        server = Server.on_port(app, "127.0.0.1", 0)
        server.start()
        client = httpx.Client(base_url=f"http://127.0.0.1:{server.port}", timeout=5)
        made.append((server, client))
        return client

    yield start
    for server, client in made:
        client.close()
        server.stop()


def test_livez_follows_the_loops(serve):
    """/livez is 200 while the loops come around, and 503 when they do not."""
    alive = [True]
    client = serve(signs_app({}, Metrics([]), lambda: alive[0]))
    assert client.get("/livez").status_code == 200
    alive[0] = False
    assert client.get("/livez").status_code == 503


def test_readyz_is_ready_when_every_check_passes(serve):
    """/readyz is 200 when each check passes, and names them."""
    client = serve(signs_app({"disk": lambda: Check(ok=True)}, Metrics([])))
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": {"disk": {"ok": True, "words": ""}}}


def _raise(fault: Exception) -> Check:
    raise fault


BAD = {
    "says no": (lambda: Check(ok=False, words="only 3 MB are free"), "only 3 MB are free"),
    "fault": (lambda: _raise(StorageFault("no disk")), "storage: no disk"),
    "bug": (lambda: _raise(KeyError("DOE^JANE")), "the check itself failed (KeyError)"),
}


@pytest.mark.parametrize(("check", "words"), BAD.values(), ids=BAD)
def test_one_failed_check_is_not_ready(serve, check, words):
    """A check that says no, or fails itself, makes 503, with the reason beside its name."""
    client = serve(signs_app({"fine": lambda: Check(ok=True), "bad": check}, Metrics([])))
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "fine": {"ok": True, "words": ""},
        "bad": {"ok": False, "words": words},
    }


def test_a_check_that_hangs_is_not_ready_and_stops_nothing_else(serve):
    """A check without an answer counts as failed after its time, and /livez answers meanwhile."""
    hang = threading.Event()
    checks = {"stuck": lambda: Check(ok=hang.wait(20)), "fine": lambda: Check(ok=True)}
    client = serve(signs_app(checks, Metrics([]), patience_s=0.2))
    try:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"]["stuck"]["words"] == "no answer within 0.2 s"
        assert answer.json()["checks"]["fine"]["ok"]
        assert client.get("/livez").status_code == 200
    finally:
        hang.set()


def test_metrics_are_openmetrics(serve):
    """/metrics serves OpenMetrics text with its content type, ended as the format asks."""
    answer = serve(signs_app({}, Metrics([]))).get("/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1")
    assert answer.text.endswith("# EOF\n")


def test_a_port_that_is_taken_is_a_fault_of_the_config():
    """A taken port is told as http.port, before anything is started."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigFault, match=r"http\.port: cannot listen on 127\.0\.0\.1"):
            Server.on_port(signs_app({}, Metrics([])), "127.0.0.1", port)


def test_a_server_gives_its_port_back():
    """After stop the port is free again; stop may come twice, and before start."""
    server = Server.on_port(signs_app({}, Metrics([])), "127.0.0.1", 0)
    port = server.port
    server.start()
    server.stop()
    server.stop()
    again = Server.on_port(signs_app({}, Metrics([])), "127.0.0.1", port)
    assert again.port == port
    again.stop()
