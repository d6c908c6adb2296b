"""The control socket: a real server and a real client, and a socket for its owner alone."""

import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from dicom.errors import (
    CannotUnderstand,
    OutOfResources,
    ServiceFault,
    StorageFault,
    Unreachable,
)
from node.control_client import SOCKET_NAME, ControlClient
from node.plain import plain
from node.web.control import control_app
from node.web.server import Server
from storage.index.database import Index
from storage.index.reports import Table


@dataclass
class Node:
    """What the control app asks, to be set by a test."""

    asked: list[tuple[str, float, int]] = field(default_factory=list)
    table: Table = field(default_factory=lambda: Table(("a",), ((1,),)))
    fault: Exception | None = None
    happened: list[dict[str, object]] = field(default_factory=list)
    recalled: list[dict[str, object]] = field(default_factory=list)
    polled: threading.Event = field(default_factory=threading.Event)

    def status(self) -> Mapping[str, object]:
        if self.fault:
            raise self.fault
        return {"node": {"running": True}}

    def sql(self, text: str, *, timeout_s: float, max_rows: int) -> Table:
        if self.fault:
            raise self.fault
        self.asked.append((text, timeout_s, max_rows))
        return self.table

    def events(self, after: int, limit: int) -> Sequence[Mapping[str, object]]:
        self.polled.set()
        return [each for each in self.happened if int(str(each["id"])) > after][:limit]

    def associations(self, **asked: object) -> Sequence[Mapping[str, object]]:
        self.recalled.append(asked)
        return [{"id": "a1", "at": 0.5, "refused": ({"why": "not permitted"},)}]


def _app(node: Node) -> Starlette:
    return control_app(
        status=node.status, sql=node.sql, events=node.events, associations=node.associations
    )


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Path]]:
    """One node behind one socket, for the tests that leave it running."""
    node, path = Node(), tmp_path_factory.mktemp("control") / SOCKET_NAME
    server = Server.on_socket(_app(node), path)
    server.start()
    yield node, path
    server.stop()


@pytest.fixture
def node(shared: tuple[Node, Path]) -> Iterator[Node]:
    node, _ = shared
    yield node
    vars(node).update(vars(Node()))


@pytest.fixture
def path(shared: tuple[Node, Path]) -> Path:
    return shared[1]


@pytest.fixture
def client(path: Path) -> ControlClient:
    return ControlClient(path)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a test puts a socket of its own; its folder is not there yet."""
    return tmp_path / "var" / SOCKET_NAME


def _raw(path: Path, method: str, url: str, **content: Any) -> httpx.Response:
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), base_url="http://n") as raw:
        return raw.request(method, url, **content)


@pytest.mark.p6
def test_the_socket_is_its_owners_alone(path):
    """Nobody but the node's user may connect: the socket's mode is 0600."""
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_status_is_what_the_node_says(client):
    """GET /api/status gives the node's own facts."""
    assert client.status() == {"node": {"running": True}}


def test_sql_carries_values_of_every_kind(client, node):
    """Rows come with their values: dates as ISO 8601, decimals exact, bytes as hex."""
    node.table = Table(
        ("a", "b"),
        ((date(2026, 1, 2), Decimal("1.10")), (None, "Jürg"), (1 << 60, [b"\xff", float("nan")])),
        truncated=True,
    )
    answer = client.sql("SELECT 1", timeout_s=5, max_rows=3)
    assert answer.columns == ("a", "b")
    assert answer.rows == (
        ("2026-01-02", "1.10"),
        (None, "Jürg"),
        (str(1 << 60), ["ff", "nan"]),
    )
    assert answer.truncated
    assert node.asked == [("SELECT 1", 5.0, 3)]


def test_the_real_index_answers(tmp_path, place):
    """A real index behind the socket answers, and refuses what is no SELECT, in its words."""
    index = Index.open(tmp_path / "index.duckdb")
    nothing = Node()
    app = control_app(status=nothing.status, sql=index.sql, events=nothing.events)
    server = Server.on_socket(app, place)
    server.start()
    try:
        client = ControlClient(place)
        assert client.sql("SELECT 42 AS n, DATE '2026-01-02' AS d").rows == ((42, "2026-01-02"),)
        with pytest.raises(CannotUnderstand, match="one SELECT"):
            client.sql("DROP TABLE about")
        with pytest.raises(OutOfResources, match=r"no answer within 0\.1 s"):
            client.sql("SELECT count(*) FROM range(1000000000) a, range(1000000) b", timeout_s=0.1)
    finally:
        server.stop()
        index.close()


FAULTS = [CannotUnderstand("no such column"), OutOfResources("too long"), StorageFault("disk")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_a_fault_arrives_as_itself(client, node, path, fault):
    """A Fault is answered with 400 and a problem body, and raised again by the client."""
    node.fault = fault
    answer = _raw(path, "POST", "/api/sql", json={"sql": "SELECT 1"})
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "title": fault.code, "status": 400, "code": fault.code, "detail": str(fault),
    }  # fmt: skip
    with pytest.raises(type(fault), match=str(fault)):
        client.sql("SELECT 1")


@pytest.mark.p6
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_is_told_without_its_words(client, node):
    """What is no Fault is answered as a bug by its kind, and the node goes on."""
    node.fault = KeyError("DOE^JANE")
    with pytest.raises(ServiceFault) as caught:
        client.status()
    assert "KeyError" in str(caught.value)
    assert "DOE" not in str(caught.value)
    node.fault = None
    assert client.status()


NONSENSE = [
    ("POST", "/api/sql", {"content": b"{"}, 422),
    ("POST", "/api/sql", {"json": {}}, 422),
    ("POST", "/api/sql", {"json": {"sql": ""}}, 422),
    ("POST", "/api/sql", {"json": {"sql": "x", "max_rows": 0}}, 422),
    ("POST", "/api/sql", {"json": {"sql": "x", "unknown": 0}}, 422),
    ("GET", "/api/sql", {}, 405),
    ("GET", "/api/nothing", {}, 404),
    ("GET", "/api/events?after=x", {}, 422),
    ("GET", "/api/events?after=-1", {}, 422),
    ("GET", "/api/events?wait_s=nan", {}, 422),
    ("GET", "/api/associations?limit=x", {}, 422),
    ("GET", "/api/associations?bad=yes", {}, 422),
    ("POST", "/api/associations", {}, 405),
]


@pytest.mark.parametrize(("method", "url", "content", "status"), NONSENSE)
def test_a_question_that_makes_no_sense_is_a_problem(path, method, url, content, status):
    """Bad requests are answered with a problem body that says what is wrong."""
    answer = _raw(path, method, url, **content)
    assert answer.status_code == status
    assert answer.json()["status"] == status
    assert answer.json()["detail"]


def _event(number: int) -> dict[str, object]:
    return {"id": number, "type": "penumbra.x", "subject": "1.2", "data": {}, "at": 0.5}


def test_events_come_in_order_after_an_id(client, node):
    """GET /api/events gives what is after an id, at most so many, at once."""
    node.happened = [_event(n) for n in range(1, 6)]
    assert [each["id"] for each in client.events(2, limit=2)] == [3, 4]
    assert client.events(5) == []


def test_associations_are_asked_for_as_the_client_says(client, node):
    """GET /api/associations passes on what is wanted, and gives plain facts."""
    assert client.associations() == [{"id": "a1", "at": 0.5, "refused": [{"why": "not permitted"}]}]
    client.associations(limit=5, caller="CT 1", only_bad=True, prefix="a&b")
    assert node.recalled == [
        {"limit": 20, "caller": "", "only_bad": False, "prefix": ""},
        {"limit": 5, "caller": "CT 1", "only_bad": True, "prefix": "a&b"},
    ]


def test_a_long_poll_ends_with_the_first_event(client, node):
    """A long poll answers soon after something happens, long before its time is up."""
    timer = threading.Timer(0.2, lambda: node.happened.append(_event(1)))
    timer.start()
    began = time.monotonic()
    assert client.events(0, wait_s=20) == [_event(1)]
    assert time.monotonic() - began < 5
    timer.join()


def test_a_long_poll_ends_when_its_time_is_up(client):
    """Without news a long poll answers nothing after its time."""
    assert client.events(0, wait_s=0.2) == []


def test_many_long_polls_leave_room_for_a_question(client, node):
    """More waiting clients than there are threads do not keep others from an answer."""
    ended: list[int] = []

    def poll() -> None:
        client.events(0, wait_s=20)
        ended.append(1)

    waiting = [threading.Thread(target=poll) for _ in range(60)]
    for each in waiting:
        each.start()
    began = time.monotonic()
    assert client.status()
    assert time.monotonic() - began < 5
    assert not ended
    node.happened.append(_event(1))
    for each in waiting:
        each.join(10)
    assert len(ended) == 60


def test_stop_ends_long_polls(place):
    """A node that stops answers those who wait, ends within seconds, and removes its socket."""
    answers: list[object] = []
    node = Node()
    server, client = Server.on_socket(_app(node), place), ControlClient(place)
    server.start()

    def poll() -> None:
        answers.append(client.events(0, wait_s=60))

    waiting = threading.Thread(target=poll)
    waiting.start()
    assert node.polled.wait(5)
    began = time.monotonic()
    server.stop()
    waiting.join(5)
    assert time.monotonic() - began < 3
    assert answers == [[]]
    assert not place.exists()


@pytest.mark.parametrize("left", ["nothing", "folder", "socket"])
def test_a_node_that_does_not_run_is_told_as_such(place, left):
    """Without a node the client says so, also where a dead one left its socket."""
    if left != "nothing":
        place.parent.mkdir()
    if left == "socket":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(place))
    with pytest.raises(Unreachable, match="no node runs with"):
        ControlClient(place).status()


def test_a_dead_nodes_socket_is_replaced(place):
    """A node starts although a killed one left its socket behind."""
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))
    made = Server.on_socket(_app(Node()), place)
    made.start()
    assert ControlClient(place).status()
    made.stop()


def test_a_second_node_is_refused(node, path):
    """A node does not take the socket of one that runs."""
    with pytest.raises(StorageFault, match="a node runs with"):
        Server.on_socket(_app(node), path)
    assert ControlClient(path).status()


def test_a_deep_folder_is_no_obstacle(tmp_path):
    """A data directory whose name is longer than a socket's may be works all the same."""
    place = tmp_path / ("d" * 120) / SOCKET_NAME
    made = Server.on_socket(_app(Node()), place)
    made.start()
    assert ControlClient(place).status()
    made.stop()


def test_a_node_that_does_not_answer_is_told(place):
    """A socket on which nobody speaks HTTP is unreachable, not a stack of exceptions."""
    place.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as rude:
        rude.bind(str(place))
        rude.listen()

        def hang_up() -> None:
            for _ in range(2):
                rude.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Unreachable, match="broke off"):
            ControlClient(place).status()
        thread.join()


PLAIN: list[tuple[Callable[[], object], object]] = [
    (lambda: datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001  (as databases say it)
    (lambda: {"a": {1}, 2: (True, None)}, {"a": [1], "2": [True, None]}),
    (lambda: float("inf"), "inf"),
    (lambda: -(1 << 53), -(1 << 53)),
    (lambda: memoryview(b"\x01"), "01"),
]


@pytest.mark.parametrize(("make", "said"), PLAIN)
def test_values_become_what_json_can_say(make, said):
    """Each kind of value has one way to be told."""
    assert plain(make()) == said
