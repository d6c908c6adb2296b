"""A worker's loop: whose fault a failure is, what that costs the job, and when it is let go."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.load import load
from dicom.entity import SeriesKey
from dicom.errors import Fault, Refused, SpoolFull, Unreachable
from examples.peers.process import free_port, wait_until
from node.workers import loop as loop_module
from node.workers.asking import ask
from node.workers.handlers import HANDLERS
from node.workers.loop import Loop
from node.workers.timetable import Timetable
from node.workers.watch import Watch
from node.workers.workshop import Done, Workshop
from routing.breaker import State as Breaks
from routing.job import Job, Kind, NewJob, State
from routing.retry import Policy
from storage.ledger import jobs as job_table
from storage.ledger.database import Away
from storage.ledger.jobs import Jobs
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader

CONFIG = """
[node]
data_dir = "var"
[jobs]
lease_s = 0.3
[peers.PACS]
host = "127.0.0.1"
port = {port}
[destinations.shelf]
kind = "folder"
path = "shelf"
jobs = 3
[destinations.pacs]
kind = "dicom"
peer = "PACS"
timeout_s = 2
ordered = true
[models.lungs]
endpoints = ["127.0.0.1:{port}"]
model = "ct_emphysema"
timeout_s = 2
[[rules]]
name = "night"
during = "22:00-06:00"
send = ["shelf"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    """A worker's tools; nobody listens at the PACS, nor at the model's server."""
    (tmp_path / "node.toml").write_text(CONFIG.format(port=free_port()))
    settings = load(tmp_path / "node.toml")
    ledger = Ledger.open(settings.node.data_dir)
    yield Workshop(settings, ledger, SpoolReader(settings.node.data_dir / "spool"))
    ledger.close()


def owe(shop: Workshop, target: str, series: str = "1.3", kind: Kind = Kind.FORWARD) -> None:
    with shop.ledger.database.write() as db:
        new = NewJob(kind, SeriesKey("1.2", series), 1, "rule", target)
        job_table.insert(db, [new], time.time() - 1)


def failing(fault: Fault) -> Callable[[Job, Workshop], Done]:
    def handler(_job: Job, _shop: Workshop) -> Done:
        raise fault

    return handler


def step(shop: Workshop, handler: Any, policy: Policy | None = None) -> Job:
    """Do one job, and give what became of it."""
    loop = Loop(shop, {Kind.FORWARD: handler, Kind.INFER: handler}, "w", policy or Policy())
    assert loop.step()
    return shop.ledger.jobs.list(list(State))[0]


@pytest.mark.parametrize(("target", "kind"), [("pacs", Kind.FORWARD), ("lungs", Kind.INFER)])
def test_a_dead_target_costs_no_attempt(shop: Workshop, target: str, kind: Kind):
    """Where nobody answers when asked, the job goes back as it was, and no other is given out."""
    owe(shop, target, kind=kind)
    job = step(shop, failing(Unreachable("broke off")))
    assert (job.state, job.attempts, job.failing_since) == (State.WAITING, 0, None)
    assert (job.fault, job.words) == ("unreachable", "broke off")
    assert shop.ledger.breakers.of(target).state is Breaks.OPEN
    assert not Loop(shop, {kind: failing(Unreachable("x"))}, "w", Policy()).step()


def test_a_failure_at_a_target_that_answers_is_the_jobs_own(shop: Workshop):
    """It costs an attempt, and the job waits; one job alone never stops the others."""
    owe(shop, "shelf")
    job = step(shop, failing(Unreachable("this one")))
    assert (job.state, job.attempts, job.fault) == (State.WAITING, 1, "unreachable")
    assert job.failing_since is not None
    assert shop.ledger.breakers.of("shelf").state is Breaks.CLOSED
    owe(shop, "shelf", "1.4")
    assert Loop(shop, {Kind.FORWARD: lambda *_: Done("fine")}, "w", Policy()).step()
    assert shop.ledger.breakers.of("shelf").failures == 0


@pytest.mark.parametrize(
    ("fault", "give_up_h", "state"),
    [
        (SpoolFull("x"), 1, State.WAITING),
        (SpoolFull("x"), 0, State.HELD),
        (Refused("x"), 1, State.HELD),
    ],
)
def test_other_faults_are_tried_again_or_held(shop: Workshop, fault, give_up_h, state):
    """What may pass waits until its hours are over; what will not is a person's at once."""
    owe(shop, "pacs")
    job = step(shop, failing(fault), Policy(attempts=1, give_up_s=give_up_h * 3600))
    assert (job.state, job.attempts) == (state, 1)
    assert shop.ledger.breakers.of("pacs").state is Breaks.CLOSED


def test_a_worker_that_lost_its_job_lets_it_go(shop: Workshop):
    """Told at its next renewal, it ends between two objects, and changes nothing any more."""
    owe(shop, "shelf")
    later = time.time() + 3600
    heard: list[bool] = []

    def long(_job: Job, mine: Workshop) -> Done:
        assert mine.ledger.jobs.expire(later, 3) == 1
        assert mine.ledger.jobs.claim("other", {Kind.FORWARD}, later, 60)
        heard.append(mine.lost.wait(10))
        mine.check_stop()
        heard.append(False)
        return Done("went on with another's job")

    job = step(shop, long)
    assert heard == [True]
    assert (job.state, job.owner) == (State.RUNNING, "other")
    assert shop.ledger.jobs.finish(job, later)
    owe(shop, "shelf", "1.4")
    assert Loop(shop, {Kind.FORWARD: lambda *_: Done("fine")}, "w", Policy()).step()
    assert shop.ledger.jobs.counts()[State.DONE] == 2


class AwayFor:
    """A ledger's answer that comes when it was asked so often in vain."""

    def __init__(self, real: Callable[..., Any], times: int) -> None:
        self.real, self.times = real, times

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.times -= 1
        if self.times >= 0:
            raise Away("ledger: gone")
        return self.real(*arguments, **named)


def test_an_outcome_waits_for_its_ledger(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    """What was done while the ledger was away is noted once it is back, and not done again."""
    owe(shop, "shelf")
    monkeypatch.setattr(loop_module, "AWAY_WAIT_S", 0.01)
    monkeypatch.setattr(Jobs, "finish", staticmethod(AwayFor(shop.ledger.jobs.finish, 3)))
    job = step(shop, lambda *_: Done("fine"))
    assert (job.state, job.attempts, job.losses) == (State.DONE, 1, 0)


def test_a_ledger_that_is_away_costs_no_attempt(shop: Workshop):
    """Where it goes away under a job, the job is put back as it was."""
    owe(shop, "shelf")
    job = step(shop, failing(Away("ledger: gone")))
    assert (job.state, job.attempts, job.failing_since) == (State.WAITING, 0, None)


def test_a_claim_that_nobody_knows_of_is_given_back(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
):
    """Where a claim was committed and its answer lost, the worker does the job all the same."""
    owe(shop, "shelf")
    claim = shop.ledger.jobs.claim

    def lost(*arguments: Any, **named: Any) -> Job | None:
        assert claim(*arguments, **named)
        monkeypatch.undo()
        raise Away("ledger: broke off")

    monkeypatch.setattr(Jobs, "claim", staticmethod(lost))
    monkeypatch.setattr(loop_module, "IDLE_WAIT_S", 0.01)
    loop = Loop(shop, {Kind.FORWARD: lambda *_: (loop.stop(), Done("fine"))[1]}, "w", Policy())
    loop.run()
    (job,) = shop.ledger.jobs.list(list(State))
    assert (job.state, job.attempts, job.losses) == (State.DONE, 1, 0)


def test_what_follows_is_owed(shop: Workshop):
    """A handler's follow-up jobs are written with the end of its own."""
    owe(shop, "shelf")
    after = NewJob(Kind.FORWARD, SeriesKey("1.2", "1.3"), 1, "rule", "manifest")
    assert step(shop, lambda *_: Done("fine", follow_up=[after])).state is State.DONE
    (waiting,) = shop.ledger.jobs.list([State.WAITING])
    assert waiting.spec == after


def test_the_watch_asks_a_dead_target_and_frees_its_jobs(shop: Workshop):
    """Once the target answers, its jobs are given out, and the worker is woken."""
    rung: list[bool] = []
    watch = Watch(shop.settings, shop.ledger, lambda: rung.append(True))
    owe(shop, "shelf")
    job = shop.ledger.jobs.claim("w", {Kind.FORWARD}, time.time(), 60)
    assert job
    long_ago = time.time() - 20  # so that it is due
    shop.ledger.jobs.put_back(job, Unreachable("gone"), long_ago, 0.5)
    watch.step()
    wait_until(lambda: bool(rung), 10, "the bell")
    assert shop.ledger.breakers.of("shelf").state is Breaks.CLOSED
    assert shop.ledger.jobs.claim("w", {Kind.FORWARD}, time.time(), 60)


@pytest.mark.parametrize(
    ("target", "code"),
    [("pacs", "unreachable"), ("lungs", "model-unavailable"), ("shelf", ""), ("not there", "")],
)
def test_asking(shop: Workshop, target: str, code: str):
    """Each kind of target says whether it is there; what the config lost keeps no job from it."""
    fault = ask(shop.settings, target)
    assert (fault.code if fault else "") == code


def test_the_timetable_says_what_the_config_says(shop: Workshop):
    """Limits and order of targets, and until when a rule sleeps."""
    timetable = Timetable(shop.settings)
    noon = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))
    terms = timetable.terms(noon)
    assert (terms.limit("shelf"), terms.limit("pacs"), terms.limit("lungs")) == (3, 1, None)
    assert terms.asleep == {"night": noon + 10 * 3600}
    assert timetable.terms(noon + 10 * 3600).asleep == {}


@pytest.mark.p3
@pytest.mark.parametrize("gone", ["destinations.out", "profiles.plain"])
def test_what_the_config_lost_is_held_and_paid_once_it_is_back(lab, site, gone: str):
    """A job whose destination or profile is gone is held with its name, and done after a retry."""
    site.receive([lab.image(number) for number in (1, 2, 3)])
    site.owe("plain")
    whole = (site.folder / "node.toml").read_text()
    rules = whole.index("[[rules]]")
    start = whole.index(f"[{gone}]")
    end = {"destinations.out": "[profiles.linked]", "profiles.plain": "[vault]"}[gone]
    cut = whole[:start] + whole[whole.index(end) : rules]
    for text, state in ((cut, State.HELD), (whole, State.DONE)):
        (site.folder / "node.toml").write_text(text)
        with closing(site.workshop()) as shop:
            assert Loop(shop, HANDLERS, "w", Policy()).step()
            (job,) = shop.ledger.jobs.list([state])
            if state is State.HELD:
                assert gone in job.words
                assert "config" in job.words
                assert shop.ledger.jobs.retry(job.id, time.time() - 1)
    assert len(site.out) == 3


def test_a_worker_follows_new_hours_from_its_start(shop: Workshop):
    """Jobs that were planned for hours that the config no longer has are done at once."""
    with shop.ledger.database.write() as db:
        key, later = SeriesKey("1.2", "1.3"), time.time() + 3600
        new = NewJob(Kind.FORWARD, key, 1, "was at night", "shelf", not_before=later)
        job_table.insert(db, [new], time.time())
    loop = Loop(shop, {Kind.FORWARD: lambda *_: (loop.stop(), Done("fine"))[1]}, "w", Policy())
    loop.run()
    assert shop.ledger.jobs.counts()[State.DONE] == 1
