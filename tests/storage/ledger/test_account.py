"""The ledger's account, and the index's tables that are fed from it, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.entity import Arrival, Instance, Location, SeriesKey
from dicom.errors import Unreachable
from routing.job import Kind, NewJob
from routing.settle import Completion, Reason
from storage.destinations.base import Receipt
from storage.index.account import AccountTables, Batch
from storage.index.database import Index
from storage.ledger import jobs as job_table
from storage.ledger import revisions
from storage.ledger.arrived import Arrived
from storage.ledger.associations import Ended
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger

KEY = SeriesKey("1.2", "1.3")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path / "ledger")
    yield opened
    opened.close()


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    opened = Index.open(tmp_path / "index.duckdb")
    yield opened
    opened.close()


def ended(name: str, **facts) -> Ended:
    known = {
        "name": name, "began_at": 1000.0, "seconds": 2.5, "calling_ae": "CT1",
        "called_ae": "ME", "address": "127.0.0.1", "tls_name": None, "verdict": "accepted",
        "cause": "", "outcome": "released", "words": "", "accepted_contexts": 2,
        "refused_contexts": 0, "statuses": {"0x0000": 3, "0xB000": 1, "0xA700": 2},
        "size_bytes": 7_000_000_000,
    }  # fmt: skip
    return Ended(**{**known, **facts})


def arrived(uid: str, at: float) -> Arrived:
    arrival = Arrival("1.4", uid, "1.5", "CT1", "ME", "a1", "::1", at)
    instance = Instance(arrival, Location("s", 0, 1), f"{uid:0>64}")
    return Arrived(instance, KEY, {"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"})


def feed(ledger: Ledger, tables: AccountTables, limit: int = 100) -> int:
    """Feed as the front does, until there is nothing more; gives how many batches it took."""
    count = 0
    while news := ledger.account.after(tables.reached(), limit):
        batch = Batch({one.source: one.rows for one in news}, {o.source: o.reached for o in news})
        tables.add(batch)
        count += 1
    return count


def ask(index: Index, text: str) -> list[tuple[object, ...]]:
    return list(index.sql(text, timeout_s=10, max_rows=1000).rows)


def test_everything_that_happened_can_be_asked(ledger, index):
    """Associations, revisions, jobs, receipts and events stand in the index as in the ledger."""
    ledger.intake.absorb([arrived("1.9", 1001.0), arrived("1.8", 1003.0)], {"s": 2}, 1004.0)
    ledger.associations.add([ended("a1"), ended("a2", verdict="rejected", outcome="", cause="ae")])
    done = Completion(1010.0, Reason.RELEASED, "released", None, 1)
    with ledger.database.write() as db:
        revisions.record(db, KEY, revisions.Revision(1, done, 2, 1, 1010.0))
        revisions.record(db, SeriesKey("1.2", ""), revisions.Revision(1, done, 2, 0, 1020.0))
        job_table.insert(db, [NewJob(Kind.FORWARD, KEY, 1, "all", "lake")], 1010.0)
    job = ledger.jobs.claim("w", {Kind.FORWARD}, 1011.0, 60)
    receipt = Receipt("lake", "5" * 64, "1.9", "here", "d", "d", "read-back", 1012.0)
    ledger.receipts.add(job.id, "", [(arrived("1.9", 1.0).instance, receipt)], rule="all")
    ledger.outbox.record([NewEvent("penumbra.x", "1.3", {"n": "Ä"})], 1013.0)
    assert feed(ledger, AccountTables(index)) == 1
    assert ask(
        index, "SELECT association, objects, refused_objects, length_bytes, epoch(ended_at)"
        " FROM association ORDER BY id LIMIT 1",
    ) == [("a1", 4, 2, 7_000_000_000, 1002.5)]  # fmt: skip
    assert ask(index, "SELECT verdict, cause FROM association WHERE association = 'a2'") == [
        ("rejected", "ae")
    ]
    moments = "epoch(first_received_at), epoch(last_received_at), epoch(filed_at)"
    assert ask(index, f"SELECT reason, missing, {moments} FROM series_revision") == [
        ("released", 1, 1001.0, 1003.0, 1004.0)
    ]
    assert ask(index, "SELECT StudyInstanceUID, epoch(settled_at) FROM study_revision") == [
        ("1.2", 1020.0)
    ]
    assert ask(
        index, "SELECT kind, target, state, epoch(begun_at), ended_at FROM job WHERE kind != 'x'"
    ) == [("forward", "lake", "running", 1011.0, None)]
    assert ask(index, "SELECT destination, source_uid, epoch(delivered_at) FROM delivery") == [
        ("lake", "1.9", 1012.0)
    ]
    assert ("penumbra.x", "1.3", '{"n": "Ä"}') in ask(
        index, "SELECT type, subject, data FROM event"
    )


def test_what_was_fed_is_not_fed_again(ledger, index):
    """Each row comes once, in batches, also when the feeding begins anew with the same file."""
    ledger.outbox.record([NewEvent("penumbra.x", str(n), {}) for n in range(25)], 1.0)
    assert feed(ledger, AccountTables(index), limit=10) == 3
    ledger.outbox.record([NewEvent("penumbra.x", "last", {})], 1.0)
    assert feed(ledger, AccountTables(index), limit=10) == 1
    assert ask(index, "SELECT count(*), count(DISTINCT id) FROM event") == [(26, 26)]


def test_a_job_is_shown_as_it_stands_now(ledger, index):
    """A job that changed after it came is looked at again by its id, and stands there once."""
    with ledger.database.write() as db:
        job_table.insert(db, [NewJob(Kind.FORWARD, KEY, 1, "all", "lake")], 1.0)
    tables = AccountTables(index)
    feed(ledger, tables)
    job = ledger.jobs.claim("w", {Kind.FORWARD}, 2.0, 60)
    ledger.jobs.postpone(job, Unreachable("away"), 3.0, 0.0)
    job = ledger.jobs.claim("w", {Kind.FORWARD}, 4.0, 60)
    ledger.jobs.finish(job, 5.0, words="1 delivered")
    known = tables.open_jobs(0, 10)
    assert [state for state, _ in known.values()] == ["waiting"]
    tables.add(Batch({"job": ledger.account.jobs(known)}, {}))
    found = ask(index, "SELECT state, attempts, epoch(begun_at), epoch(ended_at) FROM job")
    assert found == [("done", 2, 2.0, 5.0)]
    assert tables.open_jobs(0, 10) == {}


def test_a_table_can_begin_again(ledger, index):
    """For a ledger that was made anew a table is emptied with its position, and no other."""
    ledger.associations.add([ended("a1")])
    ledger.outbox.record([NewEvent("penumbra.x", "1", {})], 1.0)
    tables = AccountTables(index)
    feed(ledger, tables)
    tables.forget("event")
    assert tables.reached() == {"association": 1}
    assert ask(
        index, "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM association)"
    ) == [(0, 1)]
    feed(ledger, tables)
    assert ask(index, "SELECT count(*) FROM event") == [(1,)]


def test_associations_are_kept_but_not_without_end(ledger):
    """The newest are kept; older ones go, some at a time."""
    ledger.associations.add([])
    ledger.associations.add([ended(f"a{number}") for number in range(30)])
    assert ledger.associations.trim(20) == 0
    ledger.associations.add([ended(f"b{number}") for number in range(15)])
    assert ledger.associations.trim(20) == 25
    (news,) = ledger.account.after({}, 100)
    assert news.rows[0]["name"] == "a25"
    assert len(news.rows) == 20
    assert ledger.account.newest()["association"] == 45
