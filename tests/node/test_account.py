"""The keeper of the account: what ends at the door comes into ledger and index at last."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import structlog

from dicom.entity import SeriesKey
from dicom.errors import StorageFault
from examples.peers.process import wait_until
from node import account
from node.account import AccountKeeper
from node.history import ACCEPTED, Entry, History
from routing.job import Kind, NewJob
from storage.index.database import Index
from storage.ledger import jobs as job_table
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger

ENDED = Entry("a1", 1000.0, "CT1", "ME", "127.0.0.1", ACCEPTED, outcome="released",
              statuses={"0x0000": 2}, size_bytes=5, seconds=1.5)  # fmt: skip


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index.open(tmp_path / "index.duckdb")
    yield opened
    opened.close()


@pytest.fixture
def keeper(ledger: Ledger, index: Index) -> AccountKeeper:
    """A keeper that nothing holds up."""
    return AccountKeeper(ledger, index, lambda: 1e9, every_s=0.01)


def ask(index: Index, text: str) -> list[tuple[object, ...]]:
    return list(index.sql(text, timeout_s=10, max_rows=100_000).rows)


def test_what_the_history_hears_is_kept(keeper: AccountKeeper, index: Index):
    """Each kind of end that the history is told of comes into the index."""
    history = History(lambda: 7.0)
    history.tell = keeper.note
    history.on_failed_handshake("10.0.0.1", "no common cipher")
    keeper.note(ENDED)
    keeper.round()
    found = ask(index, "SELECT verdict, address, objects FROM association ORDER BY id")
    assert found == [("no TLS", "10.0.0.1", 0), ("accepted", "127.0.0.1", 2)]


def test_a_thread_does_it_and_ends_with_what_there_is(keeper: AccountKeeper, index: Index):
    """The thread feeds by itself, and at its stop writes what has just ended."""
    keeper.start()
    keeper.note(ENDED)
    wait_until(lambda: ask(index, "FROM association SELECT count(*)") == [(1,)], 10, "the account")
    keeper.note(replace(ENDED, id="a2"))
    keeper.stop(10)
    assert ask(index, "FROM association SELECT count(*)") == [(2,)]
    assert keeper.trouble == ""


def test_the_door_goes_first(ledger: Ledger, index: Index, monkeypatch):
    """While objects follow one another the keeper waits, though not for ever."""
    monkeypatch.setattr(account, "PATIENCE_S", 0.3)
    asked = threading.Event()

    def quiet_s() -> float:
        asked.set()
        return 0.0

    keeper = AccountKeeper(ledger, index, quiet_s, every_s=0.01)
    keeper.start()
    assert asked.wait(10)
    keeper.note(ENDED)
    wait_until(lambda: ask(index, "FROM association SELECT count(*)") == [(1,)], 10, "the account")
    keeper.stop(10)


def test_a_ledger_that_is_away_costs_nothing(keeper: AccountKeeper, ledger: Ledger, monkeypatch):
    """What could not be written is written later, in order; beyond the limit the oldest go."""
    monkeypatch.setattr(account, "MOST_ENDED", 3)
    keep = ledger.associations.add
    broken = [True]

    def add(ended) -> None:
        if broken[0]:
            raise StorageFault("away")
        keep(ended)

    monkeypatch.setattr(type(ledger.associations), "add", lambda _self, ended: add(ended))
    for number in range(2):
        keeper.note(replace(ENDED, id=f"a{number}"))
    with pytest.raises(StorageFault):
        keeper.round()
    for number in range(2, 5):
        keeper.note(replace(ENDED, id=f"a{number}"))
    broken[0] = False
    keeper.round()
    (news,) = ledger.account.after({}, 10)
    assert [row["name"] for row in news.rows] == ["a2", "a3", "a4"]


def test_trouble_is_told_and_passes(keeper: AccountKeeper, ledger: Ledger, monkeypatch):
    """A fault and a bug are each told once, the thread lives on, and then all is well again."""
    monkeypatch.setattr(account, "TROUBLE_S", 0.01)
    faults: list[Exception] = [StorageFault("away"), StorageFault("away"), ValueError("bug")]
    seen: list[str] = []
    after = type(ledger.account).after

    def failing(self, known, limit):
        seen.append(keeper.trouble)
        if faults:
            raise faults.pop(0)
        return after(self, known, limit)

    monkeypatch.setattr(type(ledger.account), "after", failing)
    with structlog.testing.capture_logs() as lines:
        keeper.start()
        wait_until(lambda: len(seen) >= 5, 10, "rounds")
        keeper.stop(10)
    assert seen[1:4] == ["storage: away", "storage: away", "bug: ValueError, see the node's log"]
    assert keeper.trouble == ""
    assert [line["event"] for line in lines].count("account stands") == 2


def test_a_new_ledger_begins_the_account_again(tmp_path: Path, index: Index):
    """Where the ledger was lost and made anew, what is told is the new one's."""
    for folder, count in (("old", 5), ("new", 2)):
        ledger = Ledger.open(tmp_path / folder)
        ledger.outbox.record([NewEvent("penumbra.x", folder, {})] * count, 1.0)
        AccountKeeper(ledger, index, lambda: 1e9).round()
        ledger.close()
    assert ask(index, "SELECT subject, count(*) FROM event GROUP BY ALL") == [("new", 2)]


@pytest.mark.p5
def test_a_new_index_is_filled_from_the_ledger(ledger: Ledger, tmp_path: Path):
    """Whoever deletes the index finds all that happened in the next one."""
    told = []
    for name in ("first", "second"):
        made = Index.open(tmp_path / f"{name}.duckdb")
        keeper = AccountKeeper(ledger, made, lambda: 1e9)
        if name == "first":
            keeper.note(ENDED)
            ledger.outbox.record([NewEvent("penumbra.x", "1", {})] * 1200, 1.0)
        while keeper.round():
            pass
        told.append([ask(made, f"FROM {table} ORDER BY id") for table in ("association", "event")])
        made.close()
    assert told[0] == told[1]
    assert len(told[0][1]) == 1200


def test_many_jobs_are_looked_at_in_turn(keeper: AccountKeeper, ledger: Ledger, index: Index,
                                         monkeypatch):  # fmt: skip
    """Of more jobs than fit in a look each is looked at after some rounds."""
    monkeypatch.setattr(account, "BATCH", 10)
    with ledger.database.write() as db:
        for number in range(25):
            key = SeriesKey("1", str(number))
            job_table.insert(db, [NewJob(Kind.FORWARD, key, 1, "r", "t")], 1.0)
    while keeper.round():
        pass
    while job := ledger.jobs.claim("w", {Kind.FORWARD}, 2.0, 60):
        ledger.jobs.finish(job, 3.0)
    for _ in range(4):
        keeper.round()
    assert ask(index, "SELECT state, count(*) FROM job GROUP BY ALL") == [("done", 25)]
