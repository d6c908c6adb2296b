"""Two workers, a target that comes and goes, deaths and late words, against a model of it all."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dicom.entity import SeriesKey
from dicom.errors import Refused, Unreachable
from routing.breaker import State as Breaks
from routing.job import Job, Kind, NewJob, State
from routing.terms import Terms
from storage.ledger import jobs as job_table
from storage.ledger.ledger import Ledger

WORKERS = ("one", "two")
TARGETS = ("lake", "pacs")
LEASE_S = 30.0
TERMS = Terms(limits={"pacs": 1})


class TwoWorkers(RuleBasedStateMachine):
    """Each worker has at most one job in hand; it may be late, and it may die."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = Ledger.open(Path(self.folder.name))
        self.now = 1000.0
        self.jobs = 0
        self.hands: dict[str, Job] = {}
        self.late: list[Job] = []
        """Claims whose lease ran out: whatever they say now counts for nothing."""
        self.is_there = dict.fromkeys(TARGETS, True)
        self.failures: dict[int, int] = {}
        """How often each job failed by itself, since it was last put back by hand."""
        self.owe(1, "lake")
        self.owe(2, "pacs")

    @rule(series=st.integers(1, 3), place=st.sampled_from(TARGETS))
    def owe(self, series: int, place: str) -> None:
        self.jobs += 1
        key = SeriesKey("1.2", f"1.{series}")
        new = NewJob(Kind.FORWARD, key, self.jobs, "rule", place)
        with self.ledger.database.write() as db:
            job_table.insert(db, [new], self.now)

    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        if worker in self.hands:
            return
        job = self.ledger.jobs.claim(worker, {Kind.FORWARD}, self.now, LEASE_S, TERMS)
        if job is None:
            return
        state = self.ledger.breakers.of(job.spec.target).state
        assert state in {Breaks.CLOSED, Breaks.TRIAL}, "nothing is given out to a dead target"
        self.hands[worker] = job

    @rule(worker=st.sampled_from(WORKERS), is_refused=st.booleans())
    def do(self, worker: str, is_refused: bool) -> None:
        job = self.hands.pop(worker, None)
        if job is None:
            return
        table, target = self.ledger.jobs, job.spec.target
        gone = Unreachable("gone")
        if not self.is_there[target]:
            assert table.put_back(job, gone, self.now, 0.5)
        elif is_refused:
            assert table.hold(job, Refused.code, "no", self.now)
        else:
            assert table.finish(job, self.now)

    @rule(worker=st.sampled_from(WORKERS))
    def fail_alone(self, worker: str) -> None:
        job = self.hands.get(worker)
        if job is None or not self.is_there[job.spec.target]:
            return
        del self.hands[worker]
        fault = Unreachable("this one alone")
        assert self.ledger.jobs.postpone(job, fault, self.now, 2, chance=0.5)
        self.failures[job.id] = self.failures.get(job.id, 0) + 1

    @rule(place=st.sampled_from(TARGETS))
    def come_or_go(self, place: str) -> None:
        self.is_there[place] = not self.is_there[place]

    @rule(is_noted=st.booleans())
    def ask(self, is_noted: bool) -> None:
        due = self.ledger.breakers.take_due(self.now, LEASE_S)
        if due is None or not is_noted:  # whoever asked died before it noted the answer
            return
        fault = None if self.is_there[due.target] else Unreachable("gone")
        self.ledger.breakers.answered(due.target, fault, self.now, 0.5)

    @rule(later_s=st.sampled_from([0.5, 5.0, 20.0]))
    def wait(self, later_s: float) -> None:
        self.now += later_s
        for job in self.hands.values():
            assert self.ledger.jobs.renew(job, self.now, LEASE_S)

    @rule(worker=st.sampled_from(WORKERS))
    def die(self, worker: str) -> None:
        """A worker falls silent; what it had goes back, and what it says later is not heard."""
        if worker not in self.hands:
            return
        job = self.hands.pop(worker)
        self.failures[job.id] = self.failures.get(job.id, 0) + 1
        self.late.append(job)
        for other in self.hands.values():
            assert self.ledger.jobs.renew(other, self.now + LEASE_S, LEASE_S)
        self.now += LEASE_S + 1
        self.ledger.jobs.expire(self.now, attempts=1000)

    @precondition(lambda self: self.late)
    @rule()
    def speak_late(self) -> None:
        job = self.late.pop()
        assert not self.ledger.jobs.finish(job, self.now)
        assert not self.ledger.jobs.put_back(job, Unreachable("late"), self.now, 0.5)
        assert not self.ledger.jobs.renew(job, self.now, LEASE_S)

    @rule()
    def retry_by_hand(self) -> None:
        for job in self.ledger.jobs.list([State.HELD]):
            assert self.ledger.jobs.retry(job.id, self.now)
            self.failures.pop(job.id, None)

    @invariant()
    def no_job_is_lost(self) -> None:
        if hasattr(self, "ledger"):
            assert sum(self.ledger.jobs.counts().values()) == self.jobs

    @invariant()
    def no_lane_runs_twice(self) -> None:
        if hasattr(self, "ledger"):
            running = self.ledger.jobs.list([State.RUNNING])
            assert {job.id for job in running} == {job.id for job in self.hands.values()}
            assert len({job.spec.lane for job in running}) == len(running)
            assert sum(job.spec.target == "pacs" for job in running) <= 1

    @invariant()
    def a_dead_target_burns_no_attempt(self) -> None:
        if hasattr(self, "ledger"):
            for job in self.ledger.jobs.list([State.WAITING]):
                assert job.attempts == self.failures.get(job.id, 0)

    def teardown(self) -> None:
        """Whatever happened: once all is well, everything is done."""
        if not hasattr(self, "ledger"):
            return
        self.is_there = dict.fromkeys(TARGETS, True)
        for _ in range(40 + 4 * self.jobs):
            if self.ledger.jobs.counts()[State.DONE] == self.jobs:
                break
            self.retry_by_hand()
            for worker in WORKERS:
                self.claim(worker)
            for worker in WORKERS:
                self.do(worker, is_refused=False)
            self.ask(is_noted=True)
            self.wait(20.0)
        assert self.ledger.jobs.counts()[State.DONE] == self.jobs
        self.ledger.close()
        self.folder.cleanup()


TwoWorkers.TestCase.settings = settings(max_examples=10, stateful_step_count=40, deadline=None)


@pytest.mark.p3
class TestTwoWorkers(TwoWorkers.TestCase):
    """Never two in a lane, none lost, no attempt burnt, and in the end all is done."""
