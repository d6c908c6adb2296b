"""Which job is given out: dead, paused and limited targets, order, priority, hours; the cost."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from dicom.entity import SeriesKey
from dicom.errors import Busy, Refused, StorageFault, Unreachable
from routing.breaker import State as Breaks
from routing.job import Job, Kind, NewJob, State, priority_of
from routing.terms import NONE, Terms
from storage.ledger import claims
from storage.ledger import jobs as job_table
from storage.ledger.job_rows import new_row
from storage.ledger.ledger import Ledger
from storage.ledger.pauses import Pause
from storage.ledger.schema import jobs

KINDS = {Kind.FORWARD, Kind.INFER}
GONE = Unreachable("does not answer")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger.open(tmp_path)
    yield opened
    opened.close()


def owed(series: int, target: str = "lake", **more: object) -> NewJob:
    key = SeriesKey("1.2", f"1.2.{series}")
    return NewJob(**{"kind": Kind.FORWARD, "series": key, "revision": 1, "rule": "rule",
                     "target": target, **more})  # fmt: skip


def write(ledger: Ledger, *new: NewJob, now: float = 0) -> None:
    with ledger.database.write() as db:
        job_table.insert(db, new, now)


def claim(ledger: Ledger, now: float = 1, terms: Terms = NONE, kinds: set[Kind] = KINDS) -> Job:
    job = ledger.jobs.claim("w", kinds, now, 10, terms)
    assert job is not None
    return job


def none(ledger: Ledger, now: float = 1, terms: Terms = NONE) -> bool:
    return ledger.jobs.claim("w", KINDS, now, 10, terms) is None


@pytest.mark.p3
def test_a_dead_target_burns_no_attempt_and_comes_back_by_itself(ledger: Ledger):
    """Its jobs wait in their order, others go on; once it answers all are given out, told twice."""
    write(ledger, owed(1), owed(2), owed(3), owed(4, "pacs"))
    first = claim(ledger)
    assert ledger.jobs.put_back(first, GONE, 2, 0.5)
    assert claim(ledger, 3).spec.target == "pacs"
    assert none(ledger, 3)
    (away,) = ledger.breakers.list()
    assert (away.breaker.target, away.waiting, away.breaker.since) == ("lake", 3, 2)
    assert ledger.summary()["unreachable"]["lake"]["words"] == "does not answer"
    for now in (10.0, 40.0, 70.0):
        due = ledger.breakers.take_due(now, 30)
        assert due
        assert due.target == "lake"
        assert ledger.breakers.take_due(now, 30) is None, "one asks at a time"
        assert not ledger.breakers.answered("lake", GONE, now, 0.5)
    assert none(ledger, 100)
    assert ledger.breakers.take_due(100, 30)
    assert ledger.breakers.answered("lake", None, 100, 0.5)
    found = [claim(ledger, 100) for _ in range(3)]
    assert [(job.spec, job.attempts) for job in found] == [(owed(n), 1) for n in (1, 2, 3)]
    assert ledger.breakers.list() == []
    told = [(event.type, event.subject) for event in ledger.outbox.after(0, 10)]
    assert told == [("penumbra.target.unreachable", "lake"), ("penumbra.target.back", "lake")]
    assert ledger.outbox.after(0, 10)[1].data == {"away_s": 98.0}


def test_a_question_of_a_worker_that_was_killed_is_asked_by_another(ledger: Ledger):
    """The answer that a dead worker did not note is had again when its lease is over."""
    write(ledger, owed(1))
    ledger.jobs.put_back(claim(ledger), GONE, 2, 0.5)
    assert ledger.breakers.take_due(10, 30)
    assert ledger.breakers.take_due(39, 30) is None
    assert ledger.breakers.take_due(40, 30)
    assert ledger.breakers.answered("lake", None, 41, 0.5)
    assert claim(ledger, 41)


def test_nobody_asks_in_vain(ledger: Ledger):
    """A target that is paused, or that nothing is owed to any more, is left alone."""
    write(ledger, owed(1))
    ledger.jobs.put_back(claim(ledger), GONE, 2, 0.5)
    ledger.pauses.add(Pause("lake", "me", "moved", 3))
    assert ledger.breakers.take_due(100, 30) is None
    ledger.pauses.remove("lake", "me", 100)
    assert ledger.breakers.take_due(100, 30)
    ledger.jobs.drop(1, 200)
    assert ledger.breakers.take_due(200, 30) is None
    assert ledger.breakers.list() == []


def test_a_target_that_takes_nothing_gets_one_job_at_a_time(ledger: Ledger):
    """Three jobs in a row fail though it answers: then one is the question, and frees the rest."""
    write(ledger, *(owed(n) for n in range(6)))
    for now in (1, 2, 3):
        ledger.jobs.postpone(claim(ledger, now), Busy("slow down"), now, 1000, chance=0.5)
    assert ledger.breakers.of("lake").state is Breaks.OPEN
    assert none(ledger, 4)
    assert ledger.breakers.take_due(20, 30)
    assert ledger.breakers.answered("lake", None, 20, 0.5)
    trial = claim(ledger, 20)
    assert none(ledger, 20)
    assert ledger.jobs.hold(trial, "not-clean", "an object's own fault", 21)
    trial = claim(ledger, 21)
    assert ledger.jobs.finish(trial, 22)
    # The failed ones do not wait out their time: what they failed by is over.
    assert sorted(claim(ledger, 22).id for _ in range(4)) == [1, 2, 3, 6]


@pytest.mark.parametrize("fault", [Refused("no"), None])
def test_what_one_object_is_refused_for_keeps_no_other(ledger: Ledger, fault: Refused | None):
    """However many are held, or fail without blaming the target, its jobs are given out."""
    write(ledger, *(owed(n) for n in range(10)))
    for now in range(9):
        job = claim(ledger, now + 1)
        if fault is None:
            ledger.jobs.postpone(job, Busy("the disk"), now + 1, 1000)
        else:
            ledger.jobs.hold(job, fault.code, str(fault), now + 1)
    assert claim(ledger, 20).id == 10


def test_a_job_that_did_not_ask_its_target_says_nothing_of_it(ledger: Ledger):
    """Where nothing new was to be sent, a dead target stays one."""
    write(ledger, owed(1), owed(2))
    one, two = claim(ledger), claim(ledger)
    ledger.jobs.put_back(one, GONE, 2, 0.5)
    ledger.jobs.finish(two, 3, is_answer=False)
    assert none(ledger, 4)


def test_a_limit_holds_for_all_workers(ledger: Ledger):
    """At most so many jobs of a target run at a time; another target has its own."""
    terms = Terms(limits={"lake": 2})
    write(ledger, *(owed(n) for n in range(4)), owed(9, "pacs"))
    first, second = claim(ledger, terms=terms), claim(ledger, terms=terms)
    assert {first.spec.target, second.spec.target} == {"lake"}
    assert claim(ledger, terms=terms).spec.target == "pacs"
    assert none(ledger, terms=terms)
    ledger.jobs.finish(first, 2)
    assert claim(ledger, 2, terms)
    assert none(ledger, 2, terms)


def test_eight_at_once_keep_lanes_and_limits(ledger: Ledger):
    """Claimants that do not know of each other never share a lane, nor pass a target's limit."""
    terms = Terms(limits={"lake": 3})
    write(ledger, *(owed(n % 5, revision=n) for n in range(40)))
    lock, running, most, done = threading.Lock(), list[str](), 0, list[int]()

    def work(owner: str) -> None:
        nonlocal most
        while len(done) < 40:
            job = ledger.jobs.claim(owner, KINDS, 1, 1000, terms)
            if job is None:
                continue
            with lock:
                assert job.spec.lane not in running
                running.append(job.spec.lane)
                most = max(most, len(running))
            with lock:
                running.remove(job.spec.lane)
            assert ledger.jobs.finish(job, 2)
            done.append(job.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, "abcdefgh"))
    assert sorted(done) == list(range(1, 41))
    assert most <= 3


def test_an_ordered_target_gets_the_oldest_alone(ledger: Ledger):
    """One at a time, whatever its priority; one that waits keeps the rest, a held one not."""
    terms = Terms(ordered=frozenset({"lake"}))
    write(ledger, owed(1), owed(2, priority=9), owed(3, kind=Kind.INFER))
    first = claim(ledger, terms=terms)
    assert first.id == 1
    assert none(ledger, terms=terms)
    ledger.jobs.postpone(first, Busy("x"), 2, 100)
    assert none(ledger, 50, terms)
    first = claim(ledger, 102, terms)
    assert first.id == 1
    ledger.jobs.hold(first, "refused", "no", 103)
    assert claim(ledger, 103, terms).id == 2


def test_priority_then_results_then_age(ledger: Ledger):
    """Of two rules the one with more priority first; of two of one, a model's report first."""
    rank = {(rule, ai): priority_of(rule, is_result=ai) for rule in (-1, 0, 1) for ai in (0, 1)}
    order = [(-1, 0), (0, 0), (0, 0), (0, 1), (-1, 1), (1, 0), (1, 1)]
    write(ledger, *(owed(n, priority=rank[key]) for n, key in enumerate(order)))
    given = [order[claim(ledger).id - 1] for _ in order]
    assert given == [(1, 1), (1, 0), (0, 1), (0, 0), (0, 0), (-1, 1), (-1, 0)]


def test_priority_is_asked_across_targets(ledger: Ledger):
    """An urgent job of another target goes before what has waited longer."""
    write(ledger, owed(1), owed(2))
    write(ledger, owed(3, "pacs", priority=2), now=1)
    assert claim(ledger, 2).spec.target == "pacs"


def test_outside_its_hours_a_rule_waits(ledger: Ledger):
    """Its due jobs wait for the next ones without an attempt; other rules' go on."""
    write(ledger, owed(1, rule="night"), owed(2), owed(3, rule="night", not_before=100))
    asleep = Terms(asleep={"night": 100.0})
    assert claim(ledger, 1, asleep).spec.rule == "rule"
    assert none(ledger, 1, asleep)
    assert ledger.jobs.asleep() == {"night": (2, 100.0)}
    assert none(ledger, 99)
    assert [(claim(ledger, 100).id, 1) for _ in range(2)] == [(1, 1), (3, 1)]


def test_hours_that_the_config_moved_are_followed(ledger: Ledger):
    """After a restart jobs wait for the new hours, or for none; what waits for a try still does."""
    write(ledger, owed(1, rule="night", not_before=100), owed(2, rule="gone", not_before=200))
    write(ledger, owed(3))
    ledger.jobs.postpone(claim(ledger), Busy("x"), 1, 500)
    ledger.jobs.follow_hours(5, Terms(asleep={"night": 50.0}))
    assert claim(ledger, 5).spec.rule == "gone"
    assert none(ledger, 49)
    assert claim(ledger, 50).spec.rule == "night"
    assert none(ledger, 400)


def test_the_database_itself_refuses_two_of_a_lane(ledger: Ledger):
    """Whatever the code does, one Series is on its way to one target once."""
    write(ledger, owed(1), owed(1, revision=2))
    assert claim(ledger).spec.revision == 1
    with pytest.raises(StorageFault) as fault, ledger.database.write() as db:
        db.execute(update(jobs).where(jobs.c.id == 2).values(state=State.RUNNING))
    assert isinstance(fault.value.__cause__, IntegrityError)


def test_jobs_of_no_target_are_no_rows_of_their_own(ledger: Ledger):
    """Held objects that are filed again stand in one row, whatever their UIDs."""
    intakes = [owed(n, f"1.2.3.{n}", kind=Kind.INTAKE) for n in range(3)]
    write(ledger, *intakes, owed(9))
    assert {claim(ledger, kinds={Kind.INTAKE}).spec.target for _ in range(3)} == {
        "1.2.3.0", "1.2.3.1", "1.2.3.2",
    }  # fmt: skip


@pytest.mark.sqlite_only
def test_every_step_of_a_claim_is_a_search_in_an_index(ledger: Ledger):
    """No job that waits is looked at but the first of its row: SQLite's plan scans no table."""
    statement = claims.of_targets(tuple(sorted(KINDS)), ("", "n"))
    with ledger.database.read() as db:
        compiled = statement.compile(dialect=db.dialect)
        bound = compiled.construct_params({"now": 1.0})
        values = tuple(str(bound[name]) for name in compiled.positiontup)
        plan = db.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", values).all()
    steps = [row[3] for row in plan]
    assert not [step for step in steps if step.startswith("SCAN") and "job" in step]
    assert not [step for step in steps if "TEMP B-TREE" in step]
    used = [step for step in steps if step.startswith("SEARCH")]
    assert len([step for step in used if "INDEX job_due" in step]) == 5


@pytest.mark.sqlite_only
def test_a_claim_costs_the_same_beside_many_that_wait(ledger: Ledger):
    """Twenty thousand jobs of dead, paused and sleeping kinds do not make SQLite look at more."""
    counts = []
    for more in (20, 20_000):
        some = [owed(n + more * 10, ("dead", "paused", "tired")[n % 3]) for n in range(more)]
        with ledger.database.write() as db:
            db.execute(jobs.insert(), [new_row(job, 0) for job in some])
        if more == 20:
            ledger.pauses.add(Pause("paused", "me", "upgrade", 0))
            terms = Terms(limits={"tired": 1})
            jobs_of = [claim(ledger, 1, terms) for _ in range(2)]
            dead = next(job for job in jobs_of if job.spec.target == "dead")
            ledger.jobs.put_back(dead, GONE, 1, 0.5)
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        with ledger.database.read() as db:
            db.connection.driver_connection.set_progress_handler(count, 1)
            assert list(claims._choices(db, KINDS, 2, terms)) == []
            db.connection.driver_connection.set_progress_handler(None, 1)
        counts.append(steps)
    assert counts[1] < 1.2 * counts[0]


def test_the_states_of_a_row_are_those_of_the_index(ledger: Ledger):
    """The partial index on running lanes names the state as the code does."""
    write(ledger, owed(1))
    claim(ledger)
    with ledger.database.read() as db:
        assert db.scalar(select(jobs.c.state)) == State.RUNNING == "running"
