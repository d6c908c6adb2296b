"""How a query goes on and ends: cancelled, too much, too long, abandoned, broken, repeated."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import structlog
from pynetdicom import AE

from dicom.errors import StorageFault
from dicom.query import Query
from examples.peers.find_scu import STUDY_ROOT, ask, identifier
from examples.peers.raw_finder import RawFinder
from storage.index.database import Index

Serving = Callable[..., AbstractContextManager[int]]
PATIENCE = 3
"""A loaded machine's threads wait for their turn."""


class Endless:
    """An index whose matches never end, until it is told that nobody asks any more."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.interrupted = threading.Event()

    @contextlib.contextmanager
    def finding(self, query: Query, limit: int) -> Iterator["Endless"]:
        try:
            yield self
        finally:
            self.closed.set()

    def page(self, size: int) -> list[tuple[str, ...]]:
        return [("P1",)] * size

    def interrupt(self) -> None:
        self.interrupted.set()

    def let_go(self) -> None:
        self.interrupted.set()


class Deaf(Endless):
    """An index that searches for ever, and stops only when it is interrupted."""

    def page(self, size: int) -> list[tuple[str, ...]]:
        assert self.interrupted.wait(30)
        raise StorageFault("interrupted")


@pytest.mark.parametrize("kind", [Endless, Deaf])
def test_a_cancelled_query_stops_within_100_ms(kind: type[Endless], serving: Serving) -> None:
    """C-CANCEL is answered 0xFE00 at once, in the middle of answers as of a long search."""
    endless = kind()
    with serving(endless, max_matches=10_000_000) as port:
        peer = RawFinder(port, max_pdu=16384)
        peer.ask(identifier(PatientID=""), 7)
        if kind is Endless:
            assert peer.response()["status"] == 0xFF00
        asked_at = time.monotonic()
        peer.cancel(7)
        status = 0xFF00
        while status == 0xFF00:
            status = peer.response()["status"]
        took_s = time.monotonic() - asked_at
        peer.release()
    assert status == 0xFE00
    assert endless.closed.wait(5)
    assert took_s < 0.1 * PATIENCE


def test_a_vanished_requester_ends_the_search(serving: Serving) -> None:
    """When the requester aborts in the middle, the search behind the answers is closed."""
    endless = Endless()
    with serving(endless, max_matches=10_000_000) as port:
        ae = AE("SCANNER")
        ae.add_requested_context(STUDY_ROOT)
        association = ae.associate("127.0.0.1", port, ae_title="PENUMBRA")
        responses = association.send_c_find(identifier(PatientID=""), STUDY_ROOT)
        next(responses)
        association.abort()
        assert endless.closed.wait(20)


def test_a_requester_that_never_reads_costs_nobody_else(index: Index, serving: Serving) -> None:
    """Many who ask for much and read nothing hold no seat: others are answered meanwhile."""
    endless = Endless()
    with serving(endless, max_matches=10_000_000, at_once=1) as port:
        peers = [RawFinder(port) for _ in range(8)]
        for peer in peers:
            peer.ask(identifier(PatientID=""), 1)
        last = RawFinder(port)
        last.ask(identifier(PatientID=""), 1)
        assert last.response()["status"] == 0xFF00
        for peer in [*peers, last]:
            peer.abort()


def test_too_many_matches_are_refused_at_the_end(index: Index, serving: Serving) -> None:
    """Past the limit the answer ends with 0xA700 and words, not with a silent Success."""
    with serving(index, max_matches=50) as port:
        status, matches = ask(port, identifier(PatientID="crowd"))
        assert (status.Status, len(matches)) == (0xA700, 50)
        assert "50" in status.ErrorComment
        assert ask(port, identifier(PatientID="latin1"))[0].Status == 0x0000


def test_a_search_that_takes_too_long_is_refused(serving: Serving) -> None:
    """Past the time-out the search is interrupted, and the requester hears 0xA700 and why."""
    with serving(Deaf(), timeout_s=0.2) as port:
        status, matches = ask(port, identifier(PatientID="crowd"))
    assert (status.Status, matches) == (0xA700, [])
    assert "0.2 s" in status.ErrorComment


class Held(Endless):
    """An index whose matches end when it is to let go."""

    def page(self, size: int) -> list[tuple[str, ...]]:
        if self.interrupted.is_set():
            raise StorageFault("let go")
        return super().page(size)


def test_an_unread_answer_lets_go_of_the_index(serving: Serving) -> None:
    """Past the time-out the index is held no longer, also where the requester reads nothing."""
    held = Held()
    with serving(held, max_matches=10_000_000, timeout_s=0.3) as port:
        peer = RawFinder(port)
        peer.ask(identifier(PatientID=""), 1)
        assert held.interrupted.wait(10)
        assert not held.closed.is_set()  # it still waits for the requester
        last = peer.responses()[-1]
        peer.release()
    assert last["status"] == 0xA700


class Failing:
    """An index that fails: by a Fault, or by a bug whose words name a patient."""

    def __init__(self, fault: Exception) -> None:
        self._fault = fault

    def finding(self, query: Query, limit: int) -> Any:
        raise self._fault


@pytest.mark.p6
@pytest.mark.parametrize(
    ("fault", "heard"),
    [(StorageFault("the disk is gone"), 0xA700), (ValueError("Doe^John"), 0x0110)],
)
def test_a_failing_index_is_a_status_and_no_leak(
    caplog: pytest.LogCaptureFixture, fault: Exception, heard: int, serving: Serving
) -> None:
    """A Fault becomes its status, a bug "unable to process"; neither leaks words of a patient."""
    with serving(Failing(fault)) as port:
        with structlog.testing.capture_logs() as lines:
            status, matches = ask(port, identifier(PatientID="P1"))
        assert (status.Status, matches) == (heard, [])
    assert "Doe" not in caplog.text + str(lines) + str(status.get("ErrorComment"))


@pytest.mark.p6
def test_one_line_tells_of_a_query_without_its_values(port: int) -> None:
    """The log names level, keys, matches and time, and none of the values."""
    with structlog.testing.capture_logs() as lines:
        ask(port, identifier(PatientID="latin1", PatientName="M*", StudyDate=""))
    (line,) = [one for one in lines if one["event"] == "query"]
    assert line["ms"] >= 0
    del line["ms"]
    assert line == {
        "event": "query",
        "log_level": "info",
        "calling_ae": "SCANNER",
        "root": "study",
        "level": "STUDY",
        "keys": ["PatientName", "PatientID"],
        "matches": 1,
        "status": "0x0000",
        "words": "",
    }


def test_answers_fit_the_requesters_pdu(port: int) -> None:
    """No PDU is longer than the requester takes, and what is cut comes whole."""
    peer = RawFinder(port, max_pdu=64)
    peer.ask(identifier(PatientID="crowd", PatientName="", StudyInstanceUID=""))
    found = peer.responses()
    peer.release()
    assert [len(one["identifier"]) for one in found[:-1]] == [len(found[0]["identifier"])] * 300
    assert (found[-1]["status"], peer.longest_pdu_bytes <= 64) == (0x0000, True)


def test_one_association_asks_again_and_again(port: int) -> None:
    """Questions follow one another on an association, each answered under its own message ID."""
    peer = RawFinder(port)
    for number in range(1, 30):
        peer.ask(identifier(PatientID="latin1"), number)
        first, last = peer.responses()
        assert (first["message_id"], last["message_id"]) == (number, number)
        assert (first["status"], last["status"]) == (0xFF00, 0x0000)
    peer.release()


def test_several_clients_ask_at_once(port: int) -> None:
    """Eight clients at the same time each get all of their answers."""
    counts: list[int] = []

    def client() -> None:
        _, matches = ask(port, identifier(PatientID="crowd"))
        counts.append(len(matches))

    clients = [threading.Thread(target=client) for _ in range(8)]
    for one in clients:
        one.start()
    for one in clients:
        one.join(60)
    assert counts == [300] * 8
