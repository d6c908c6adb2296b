"""Each row of the ledger is in one step of a lake, whatever is cut, repeated or asked twice."""

from functools import partial

import pytest
from sqlalchemy import update

from dicom.entity import SeriesKey
from routing.job import Kind, State
from routing.recurrence import due_next
from storage.ledger.events import NewEvent
from storage.ledger.lakes import Part, Step, Written
from storage.ledger.ledger import Ledger
from storage.ledger.schema import instances

KEY = SeriesKey("1.2", "1.3")
CLEAN = Written([], {}, [], "")


def fill(ledger, count):
    with ledger.database.write() as db:
        start = db.scalar(instances.select().with_only_columns(instances.c.id).order_by(
            instances.c.id.desc()).limit(1)) or 0  # fmt: skip
        for number in range(start + 1, start + count + 1):
            db.execute(instances.insert().values(
                sop_instance_uid=f"1.4.{number}", digest=f"{number:064x}", sop_class_uid="1.5",
                transfer_syntax_uid="1.2.840.10008.1.2.1", study_instance_uid="1.2",
                series_instance_uid="1.3", segment="s", offset=number, length=1, calling_ae="A",
                called_ae="B", association="a", address="h", received_at=float(number),
                origin="dimse", rule="", conflict=False,
            ))  # fmt: skip


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(tmp_path)
    yield made
    made.close()


def part(number=1, rows=1):
    return Part(f"p{number}", "2026-01-01", "CT", rows, 10, "d" * 64)


def test_steps_cover_each_row_once(ledger):
    """Steps follow each other without a gap, bounded, until nothing is new."""
    fill(ledger, 25)
    seen = []
    while step := ledger.lakes.begin("x", "metadata", 10):
        assert ledger.lakes.finish(step, Written([part(rows=step.last - step.first)], {}, [], ""),
                                   7, 99.0)  # fmt: skip
        seen += [one.id for one in ledger.lake_rows.instances(step)]
    assert seen == list(range(1, 26))
    (standing,) = ledger.lakes.standing("x", ["metadata"])
    assert (standing.rows, standing.files, standing.waiting, standing.exported_at) == (25, 3, 0, 99)


def test_a_step_that_was_cut_is_the_same_again(ledger):
    """What is fixed stays fixed, though more has come; noted twice, it moves once."""
    fill(ledger, 3)
    first = ledger.lakes.begin("x", "metadata", 10)
    assert first == Step("x", "metadata", "", 0, 3)
    fill(ledger, 4)
    assert ledger.lakes.begin("x", "metadata", 10) == first
    assert ledger.lakes.finish(first, CLEAN, 1, 9.0)
    assert not ledger.lakes.finish(first, CLEAN, 2, 9.0)
    assert ledger.lakes.begin("x", "metadata", 10) == Step("x", "metadata", "", 3, 7)
    assert ledger.lakes.begin("y", "metadata", 10) == Step("y", "metadata", "", 0, 7)


def test_a_repeated_step_knows_its_files(ledger):
    """Steps of a day and later are done once more, and say which files lie there from before."""
    fill(ledger, 20)
    for _ in range(2):
        step = ledger.lakes.begin("x", "metadata", 10)
        ledger.lakes.finish(step, Written([part(step.last)], {}, [], ""), 1, 5.0)
    assert ledger.lakes.repeat("x", 15.0) == 1
    again = ledger.lakes.begin("x", "metadata", 10)
    assert again == Step("x", "metadata", "", 10, 20, is_again=True, stale=("p20",))
    assert ledger.lakes.begin("x", "metadata", 10) == again
    assert ledger.lakes.finish(again, Written([part(99)], {}, [], ""), 2, 6.0)
    assert ledger.lakes.begin("x", "metadata", 10) is None
    assert [one.location for one in ledger.lakes.files("x", "metadata")] == ["p10", "p99"]


def test_what_was_withheld_or_unfiled_is_known(ledger):
    """Only the steps that lack something are done once more, and only when there is a point."""
    fill(ledger, 20)
    held = ledger.lakes.begin("x", "metadata", 10)
    ledger.lakes.finish(held, Written([], {"not-clean": 2}, [], ""), 1, 5.0)
    unfiled = ledger.lakes.begin("x", "metadata", 10)
    with ledger.database.write() as db:
        this = update(instances).where(instances.c.id == 15)
        db.execute(this.values(study_instance_uid=""))
    ledger.lakes.finish(unfiled, Written([], {}, [15], ""), 1, 5.0)
    assert ledger.lakes.repeat_filed("x") == 0
    with ledger.database.write() as db:
        db.execute(this.values(study_instance_uid="1.2"))
    assert ledger.lakes.repeat_filed("x") == 1
    assert ledger.lakes.begin("x", "metadata", 10).last == unfiled.last
    ledger.lakes.finish(ledger.lakes.begin("x", "metadata", 10), CLEAN, 1, 5.0)
    assert ledger.lakes.repeat_withheld("x") == 1
    assert ledger.lakes.begin("x", "metadata", 10).last == held.last
    assert ledger.lakes.summary() == {"x": {"rows": 0, "withheld": 2, "exported_at": 5.0}}


def test_events_and_receipts_have_steps_of_their_own(ledger):
    """Each table is exported by its own rows."""
    ledger.outbox.record([NewEvent("t", "s", {"a": 1})] * 3, 50.0)
    step = ledger.lakes.begin("x", "events", 2)
    assert [one["data"] for one in ledger.lake_rows.events(step)] == [{"a": 1}] * 2
    assert ledger.lakes.begin("x", "lineage", 2) is None
    assert ledger.lakes.begin("x", "metadata", 2) is None


def test_a_schedule_makes_one_job_when_it_is_due(ledger):
    """First it is noted, then due; no second job while one is owed; a new word means a new time."""
    hourly = partial(due_next, None, "1h")
    look = partial(ledger.lakes.schedule, "x", "out")
    assert not look("1h", hourly, 1000.0)
    assert ledger.lakes.due_at("x") == 3600.0
    assert not look("1h", hourly, 3599.0)
    assert look("1h", hourly, 3600.0)
    assert not look("1h", hourly, 3600.0)
    assert not look("1h", hourly, 7200.0)  # the job of before still waits
    (job,) = ledger.jobs.list([State.WAITING])
    assert (job.spec.kind, job.spec.rule, job.spec.target) == (Kind.EXPORT, "x", "out")
    running = ledger.jobs.claim("w", {Kind.EXPORT}, 1e10, 60)
    assert not look("1h", hourly, 10_800.0)
    ledger.jobs.finish(running, 1e10)
    assert look("1h", hourly, 14_400.0)
    assert not look("6h", partial(due_next, None, "6h"), 14_500.0)
    assert ledger.lakes.due_at("x") == 21_600.0


def test_a_clock_that_was_set_back_does_not_stop_a_schedule(ledger):
    """What was due in a far future is due at the next moment of the schedule."""
    hourly = partial(due_next, None, "1h")
    ledger.lakes.schedule("x", "out", "1h", hourly, 1e9)
    assert not ledger.lakes.schedule("x", "out", "1h", hourly, 1000.0)
    assert ledger.lakes.due_at("x") == 3600.0
    assert ledger.lakes.schedule("x", "out", "1h", hourly, 3601.0)
