"""Held jobs are counted, listed and moved, however many there are."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.entity import SeriesKey
from dicom.errors import Unreachable
from routing.job import Kind, Move, NewJob, State
from storage.ledger import held as module
from storage.ledger import jobs as job_table
from storage.ledger.held import ALL, Group, Which
from storage.ledger.ledger import Ledger

SPREAD = [("lake", "refused"), ("pacs", "refused"), ("lake", "not-clean"), ("lake", "refused")]


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """A ledger with 40 held jobs, 20 of them refused by the lake, and one that waits."""
    monkeypatch.setattr(module, "_AT_ONCE", 7)
    monkeypatch.setattr(module, "_PAGE", 3)
    opened = Ledger.open(tmp_path)
    with opened.database.write() as db:
        for n in range(40):
            target, fault = SPREAD[n % 4]
            new = NewJob(Kind.FORWARD, SeriesKey("1.2", f"1.{n}"), 1, "r", target)
            job_table.insert(db, [new], n + 1, state=State.HELD, fault=fault, words="no")
        waiting = NewJob(Kind.FORWARD, SeriesKey("1.2", "2"), 1, "r", "lake")
        job_table.insert(db, [waiting], 99)
    yield opened
    opened.close()


def test_a_summary_by_target_and_fault(ledger: Ledger):
    """The most first, each with the time since when the first is held; what waits is not held."""
    assert ledger.held.groups() == [
        Group("lake", "refused", 20, 1),
        Group("lake", "not-clean", 10, 3),
        Group("pacs", "refused", 10, 2),
    ]
    assert ledger.held.groups(Which("pacs")) == [Group("pacs", "refused", 10, 2)]


@pytest.mark.parametrize(
    ("which", "count"),
    [(ALL, 40), (Which("lake"), 30), (Which(fault="refused"), 30), (Which("lake", "refused"), 20),
     (Which("nowhere"), 0)],
)  # fmt: skip
def test_rows_of_some(ledger: Ledger, which: Which, count: int):
    """Target and fault choose; rows come by target, the oldest first, or as many as wanted."""
    rows = list(ledger.held.rows(which))
    assert len(rows) == count
    assert [(row[3], row[0]) for row in rows] == sorted((row[3], row[0]) for row in rows)
    assert list(ledger.held.rows(which, 2)) == rows[:2]


@pytest.mark.p3
@pytest.mark.parametrize("move", [Move.RETRY, Move.DROP])
def test_many_are_moved_and_each_is_told(ledger: Ledger, move: Move):
    """Those that are chosen and no others go back with fresh attempts, or are given up."""
    assert ledger.held.move(move, Which("lake", "refused"), 100) == 20
    assert ledger.jobs.counts()[State.HELD] == 20
    end = {Move.RETRY: State.WAITING, Move.DROP: State.DROPPED}[move]
    assert ledger.jobs.counts()[end] == 20 + (move is Move.RETRY)
    past = {Move.RETRY: "penumbra.job.retried", Move.DROP: "penumbra.job.dropped"}[move]
    assert [event.type for event in ledger.outbox.after(0, 100)] == [past] * 20
    assert ledger.held.move(move, Which("nowhere"), 100) == 0


def test_retry_has_a_dead_target_asked_at_once(ledger: Ledger):
    """Who says retry believes that it is back: nobody waits for the next question."""
    job = ledger.jobs.claim("w", {Kind.FORWARD}, 100, 10)
    assert job
    ledger.jobs.put_back(job, Unreachable("x"), 100, 0.5)
    assert ledger.breakers.take_due(100, 10) is None
    ledger.held.move(Move.RETRY, Which("lake"), 100)
    assert ledger.breakers.take_due(100, 10)
