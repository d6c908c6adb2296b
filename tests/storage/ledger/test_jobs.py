"""The work table: leases, fences, lanes and ends."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from dicom.entity import Arrival, Instance, Location, SeriesKey
from dicom.errors import Unreachable
from routing.job import TRANSITIONS, Job, Kind, Move, NewJob, State
from storage.destinations.base import Receipt
from storage.ledger import jobs as job_table
from storage.ledger.ledger import Ledger
from storage.ledger.proven import Proven

KINDS = {Kind.FORWARD, Kind.INFER}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def owed(series: str, target: str = "lake", revision: int = 1) -> NewJob:
    return NewJob(Kind.FORWARD, SeriesKey("1.2", series), revision, "rule", target)


def proven(uid: str, digest: str) -> tuple[Instance, Receipt]:
    arrival = Arrival("1.4", uid, "1.5", "CT", "ME", "a", "::1", 1.0)
    receipt = Receipt("lake", digest, uid, "here", digest, digest, "read-back", 2.0)
    return Instance(arrival, Location("s", 0, 1), digest), receipt


def write(ledger: Ledger, *new: NewJob, now: float = 0) -> None:
    with ledger.database.write() as db:
        job_table.insert(db, new, now)


def claim(ledger: Ledger, owner: str = "w", now: float = 1, lease_s: float = 10) -> Job | None:
    return ledger.jobs.claim(owner, KINDS, now, lease_s)


def test_the_same_debt_is_written_once(ledger: Ledger):
    """Planning twice owes once."""
    write(ledger, owed("1"), owed("1"))
    write(ledger, owed("1"))
    assert ledger.jobs.counts()[State.WAITING] == 1


def test_one_lane_runs_one_job(ledger: Ledger):
    """Two revisions of a Series to one target never run side by side."""
    write(ledger, owed("1"), owed("1", revision=2), owed("2"))
    first, second = claim(ledger), claim(ledger)
    assert first
    assert second
    assert (first.spec.series, second.spec.series) == (owed("1").series, owed("2").series)
    assert claim(ledger) is None
    assert ledger.jobs.finish(first, 2)
    third = claim(ledger)
    assert third
    assert third.spec.revision == 2


def test_two_workers_never_get_the_same_job(ledger: Ledger):
    """Eight claimants at once share forty jobs without an overlap."""
    write(ledger, *(owed(str(n)) for n in range(40)))

    def work(owner: str) -> list[int]:
        mine = []
        while job := claim(ledger, owner):
            mine.append(job.id)
        return mine

    with ThreadPoolExecutor(8) as pool:
        taken = [job for mine in pool.map(work, "abcdefgh") for job in mine]
    assert sorted(taken) == sorted(set(taken))
    assert len(taken) == 40


def test_a_worker_that_lost_its_lease_changes_nothing(ledger: Ledger):
    """The fence refuses the outcome of a claim that was given to another."""
    write(ledger, owed("1"))
    slow = claim(ledger, "slow", now=1, lease_s=5)
    assert slow
    assert ledger.jobs.expire(7, attempts=3) == 1
    quick = claim(ledger, "quick", now=8)
    assert quick
    assert not ledger.jobs.finish(slow, 9)
    assert not ledger.jobs.renew(slow, 9, 10)
    assert not ledger.jobs.hold(slow, "x", "y", 9)
    assert ledger.jobs.finish(quick, 9)


def test_receipts_come_with_the_end(ledger: Ledger):
    """What was delivered is written with the job's end, also of a worker that lost its lease."""
    write(ledger, owed("1"))
    paid = Proven(1, "", [proven("1.2.3", "aa")], attempt=1, rule="rule")
    slow = claim(ledger, now=1, lease_s=5)
    assert slow
    assert ledger.jobs.expire(7, attempts=3) == 1
    assert not ledger.jobs.finish(slow, 8, paid=paid)
    quick = claim(ledger, now=9)
    assert quick
    assert ledger.jobs.finish(quick, 10, paid=paid)
    assert [each["source_uid"] for each in ledger.receipts.list()] == ["1.2.3"]


def test_a_claim_whose_answer_was_lost_is_given_back(ledger: Ledger):
    """A worker that may have a job of which it knows nothing puts it back at no cost."""
    write(ledger, owed("1"), owed("2"))
    mine, other = claim(ledger, "me"), claim(ledger, "other")
    assert mine
    assert other
    assert ledger.jobs.give_back("me", 1.5, 2) == 0, "not what it had before"
    assert ledger.jobs.give_back("me", 1, 2) == 1
    assert not ledger.jobs.finish(mine, 3)
    again = claim(ledger, "me", now=4)
    assert again
    assert (again.id, again.attempts, again.losses) == (mine.id, 1, 0)
    assert ledger.jobs.finish(other, 5)


def test_a_lease_that_is_renewed_does_not_expire(ledger: Ledger):
    """A long job keeps its lease as long as its worker says so."""
    write(ledger, owed("1"))
    job = claim(ledger, now=1, lease_s=5)
    assert job
    assert ledger.jobs.renew(job, 5, 5)
    assert ledger.jobs.expire(9, attempts=3) == 0


@pytest.mark.p3
def test_a_job_that_kills_its_workers_is_held(ledger: Ledger):
    """After as many dead workers as attempts, a job waits for a person and says why."""
    write(ledger, owed("1"))
    for now in (1, 2, 3):
        assert claim(ledger, "w", now)
        ledger.jobs.expire(now + 0.5, attempts=3, owner="w")
    (job,) = ledger.jobs.list([State.HELD])
    assert job.fault == "worker-lost"
    assert [event.type for event in ledger.outbox.after(0, 10)][-1] == "penumbra.job.held"


def test_a_postponed_job_waits_its_time(ledger: Ledger):
    """A job that failed is not due before its wait is over, and says why it waits."""
    write(ledger, owed("1"))
    job = claim(ledger, now=1)
    assert job
    assert ledger.jobs.postpone(job, Unreachable("nobody answers"), 1, 4)
    assert claim(ledger, now=4.9) is None
    again = claim(ledger, now=5)
    assert again
    assert (again.attempts, again.fault, again.words) == (2, "unreachable", "nobody answers")


def test_a_released_job_keeps_its_attempts(ledger: Ledger):
    """A worker that is asked to stop does not use up the job's attempts."""
    write(ledger, owed("1"))
    job = claim(ledger)
    assert job
    assert ledger.jobs.release(job, 2)
    again = claim(ledger, now=2)
    assert again
    assert again.attempts == 1


@pytest.mark.p3
def test_retry_and_drop_by_hand(ledger: Ledger):
    """A held job goes back with fresh attempts or is given up; an ended one stays ended."""
    write(ledger, owed("1"), owed("2"))
    for _ in range(2):
        job = claim(ledger)
        assert job
        ledger.jobs.hold(job, "refused", "no", 2)
    first, second = ledger.jobs.list([State.HELD])
    assert ledger.jobs.retry(first.id, 3)
    again = claim(ledger, now=3)
    assert again
    assert again.attempts == 1
    assert ledger.jobs.drop(second.id, 3)
    assert ledger.jobs.retry(second.id, 4) is None
    assert ledger.jobs.drop(999, 4) is None


@pytest.mark.p3
def test_what_follows_a_job_is_owed_with_its_end(ledger: Ledger):
    """A follow-up is written together with the end, once; who lost the lease writes none."""
    write(ledger, owed("1"), owed("2"))
    slow, job = claim(ledger, "slow", lease_s=5), claim(ledger, lease_s=100)
    assert slow
    assert job
    ledger.jobs.expire(7, attempts=3)
    assert not ledger.jobs.finish(slow, 8, follow_up=[owed("1", "manifest")])
    assert ledger.jobs.finish(job, 8, follow_up=[owed("2", "manifest"), owed("2", "manifest")])
    waiting = ledger.jobs.list([State.WAITING])
    assert [(one.spec.series.series_instance_uid, one.spec.target) for one in waiting] == [
        ("1", "lake"),
        ("2", "manifest"),
    ]


@pytest.mark.p3
def test_deaths_of_workers_and_failures_are_counted_apart(ledger: Ledger):
    """A job that was tried fifty times in a long outage survives the death of a worker."""
    write(ledger, owed("1"))
    for now in range(1, 51):
        job = claim(ledger, now=now)
        assert job
        ledger.jobs.postpone(job, Unreachable("x"), now, 0)
    assert claim(ledger, now=60)
    ledger.jobs.expire(100, attempts=3)
    (job,) = ledger.jobs.list([State.WAITING])
    assert (job.attempts, job.losses, job.failing_since) == (51, 1, 1.0)
    assert job.words == "the worker died or fell silent, 1 of 3 times"


class JobLife(RuleBasedStateMachine):
    """Random moves of a few jobs agree with the transition table at every step."""

    @initialize()
    def open(self) -> None:
        import tempfile

        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger.open(Path(self.folder.name))
        write(self.ledger, owed("1"), owed("2"), owed("3"))
        self.expected = dict.fromkeys((1, 2, 3), State.WAITING)
        self.claims: dict[int, Job] = {}
        self.now = 1.0

    def _moved(self, job_id: int, move: Move, happened: bool) -> None:
        state = self.expected[job_id]
        assert happened == ((state, move) in TRANSITIONS)
        if happened:
            self.expected[job_id] = TRANSITIONS[state, move]

    @rule()
    def claim(self) -> None:
        self.now += 1
        job = claim(self.ledger, now=self.now, lease_s=1e9)
        if job is None:
            assert State.WAITING not in self.expected.values()
            return
        self._moved(job.id, Move.CLAIM, happened=True)
        self.claims[job.id] = job

    @rule(job_id=st.integers(1, 3), move=st.sampled_from([Move.FINISH, Move.HOLD, Move.POSTPONE]))
    def end(self, job_id: int, move: Move) -> None:
        job = self.claims.get(job_id)
        if job is None:
            return
        table = self.ledger.jobs
        happened = {
            Move.FINISH: lambda: table.finish(job, self.now),
            Move.HOLD: lambda: table.hold(job, "x", "y", self.now),
            Move.POSTPONE: lambda: table.postpone(job, Unreachable("z"), self.now, 0),
        }[move]()
        self._moved(job_id, move, happened)

    @rule(job_id=st.integers(1, 3), move=st.sampled_from([Move.RETRY, Move.DROP]))
    def by_hand(self, job_id: int, move: Move) -> None:
        act = {Move.RETRY: self.ledger.jobs.retry, Move.DROP: self.ledger.jobs.drop}[move]
        self._moved(job_id, move, act(job_id, self.now) is not None)

    @invariant()
    def states_agree(self) -> None:
        if hasattr(self, "ledger"):
            found = {job.id: job.state for job in self.ledger.jobs.list(list(State))}
            assert found == self.expected

    def teardown(self) -> None:
        if hasattr(self, "ledger"):
            self.ledger.close()
            self.folder.cleanup()


JobLife.TestCase.settings = hypothesis_settings(
    max_examples=15, stateful_step_count=20, deadline=None
)
TestJobLife = JobLife.TestCase
