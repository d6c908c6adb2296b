"""A clock that jumps loses no job, and lets no two workers have one lane for good."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from dicom.entity import SeriesKey
from dicom.errors import Unreachable
from routing.job import Job, Kind, NewJob, State
from storage.ledger import jobs as job_table
from storage.ledger.ledger import Ledger

NOON = 1_700_000_000.0
HOUR = 3600.0
LEASE_S = 30.0


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with one Series in one lane: two revisions, owed since noon."""
    opened = Ledger.open(tmp_path)
    with opened.database.write() as db:
        for revision in (1, 2):
            new = NewJob(Kind.FORWARD, SeriesKey("1.2", "1.3"), revision, "rule", "lake")
            job_table.insert(db, [new], NOON)
    yield opened
    opened.close()


def claim(ledger: Ledger, now: float, owner: str = "w") -> Job | None:
    return ledger.jobs.claim(owner, {Kind.FORWARD}, now, LEASE_S)


def running(ledger: Ledger) -> list[str]:
    return [job.owner for job in ledger.jobs.list([State.RUNNING])]


def test_forward_a_living_worker_loses_its_job_and_hears_it(ledger: Ledger):
    """The lease seems over, another takes the lane; the first can neither renew nor end its job."""
    first = claim(ledger, NOON, "first")
    assert first
    ledger.jobs.expire(NOON + HOUR, attempts=3)
    second = claim(ledger, NOON + HOUR, "second")
    assert second
    assert second.spec.lane == first.spec.lane
    assert running(ledger) == ["second"]
    assert not ledger.jobs.renew(first, NOON + HOUR + 1, LEASE_S)
    assert not ledger.jobs.finish(first, NOON + HOUR + 1)
    assert ledger.jobs.finish(second, NOON + HOUR + 2)


def test_back_a_dead_workers_job_is_taken_after_one_lease(ledger: Ledger):
    """A lease from the future ends in the time that it was given for, and not an hour later."""
    assert claim(ledger, NOON + HOUR, "dead")
    now = NOON
    assert ledger.jobs.expire(now, attempts=3) == 0
    assert claim(ledger, now + 1) is None, "the lane is not free"
    assert ledger.jobs.follow_clock(now + 1, LEASE_S) == 1
    assert ledger.jobs.expire(now + 2 + LEASE_S, attempts=3) == 1
    assert claim(ledger, now + 3 + LEASE_S)


def test_back_a_living_worker_keeps_its_job(ledger: Ledger):
    """It renews by the new clock before its lease, cut to its length, is over."""
    job = claim(ledger, NOON + HOUR, "alive")
    assert job
    ledger.jobs.follow_clock(NOON, LEASE_S)
    assert ledger.jobs.renew(job, NOON + LEASE_S / 3, LEASE_S)
    assert ledger.jobs.expire(NOON + LEASE_S, attempts=3) == 0
    assert running(ledger) == ["alive"]


def test_back_a_wait_is_as_long_as_it_was_to_be(ledger: Ledger):
    """A job that was to wait 20 s does so by the new clock, and not an hour and 20 s."""
    job = claim(ledger, NOON + HOUR)
    assert job
    ledger.jobs.postpone(job, Unreachable("x"), NOON + HOUR, 20)
    ledger.jobs.drop(2, NOON + HOUR)
    assert ledger.jobs.follow_clock(NOON, LEASE_S) == 1
    assert claim(ledger, NOON + 19) is None
    assert claim(ledger, NOON + 20)


def test_back_the_hours_of_a_rule_stay_hours_on_the_wall(ledger: Ledger):
    """What waits for ten o'clock waits for ten o'clock."""
    new = NewJob(
        Kind.FORWARD, SeriesKey("1.2", "9"), 1, "night", "pacs", not_before=NOON + 2 * HOUR
    )
    with ledger.database.write() as db:
        job_table.insert(db, [new], NOON + HOUR)
    ledger.jobs.follow_clock(NOON, LEASE_S)
    (job,) = (job for job in ledger.jobs.list([State.WAITING]) if job.spec.rule == "night")
    assert job.not_before == NOON + 2 * HOUR


@pytest.mark.parametrize("skew_s", [0, 5, 59])
def test_machines_that_differ_by_seconds_mend_nothing(ledger: Ledger, skew_s: float):
    """What another machine wrote a little in the future is left as it is."""
    assert claim(ledger, NOON + skew_s)
    assert ledger.jobs.follow_clock(NOON, LEASE_S) == 0


def test_the_ledger_says_what_time_it_is(ledger: Ledger):
    """One clock for all who share it, near to this machine's."""
    first = ledger.database.now()
    assert first <= ledger.database.now() < first + 60
