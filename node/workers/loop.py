"""Claim a job, do it, note how it ended; retry, lease and fencing live here and nowhere else."""

import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping

import structlog

from dicom.errors import Fault
from node.workers.asking import ask, can_be_asked
from node.workers.timetable import Timetable
from node.workers.workshop import Done, Later, Stopping, Workshop
from routing.breaker import blames_target
from routing.job import Job, Kind
from routing.retry import Policy, tries_again, wait_s
from storage.ledger.database import Away

IDLE_WAIT_S = 1.0
"""How long an idle worker sleeps when no doorbell wakes it."""
AWAY_WAIT_S = 0.5
"""How long a worker that has an outcome to note waits for a ledger that is away."""

Handler = Callable[[Job, Workshop], Done]

log = structlog.get_logger()


class Loop:
    """One worker: one job at a time, until told to stop."""

    def __init__(
        self, workshop: Workshop, handlers: Mapping[Kind, Handler], owner: str, policy: Policy
    ) -> None:
        self._workshop = workshop
        self._handlers = handlers
        self._owner = owner
        self._policy = policy
        self._timetable = Timetable(workshop.settings)
        self._bell = threading.Event()
        self._is_busy = False
        self._unsure_since: float | None = None
        """Since when this worker may have a job of which it knows nothing: a claim broke off."""

    def ring(self) -> None:
        """Tell the worker that there may be work."""
        self._bell.set()

    def stop(self) -> None:
        """Ask the worker to end: a long job is given back at its next object."""
        self._workshop.stopping.set()
        self._bell.set()

    def run(self) -> None:
        """Work until stopped. A fault of the ledger itself is waited out."""
        is_new = True
        while not self._workshop.stopping.is_set():
            try:
                if is_new:
                    self._follow_hours()
                    is_new = False
                worked = self.step()
            except Fault as fault:
                log.error("ledger unavailable", fault=fault.code, words=str(fault))
                worked = False
            if not worked:
                self._bell.wait(IDLE_WAIT_S)
                self._bell.clear()

    def _follow_hours(self) -> None:
        """Look afresh at jobs that wait for hours that the config may have moved since."""
        ledger = self._workshop.ledger
        now = ledger.database.now()
        ledger.jobs.follow_hours(now, self._timetable.terms(now))

    def step(self) -> bool:
        """Do one job if there is one that is due."""
        ledger, lease_s = self._workshop.ledger, self._workshop.settings.jobs.lease_s
        self._workshop.kept.rest()
        now = ledger.database.now()
        job = self._claimed(now, lease_s)
        self._is_busy = job is not None
        if job is None:
            return False
        self._workshop.lost.clear()
        with _Lease(self._workshop, job, lease_s):
            self._do(job)
        self._workshop.reader.let_go()
        return True

    def _claimed(self, now: float, lease_s: float) -> Job | None:
        jobs, terms = self._workshop.ledger.jobs, self._timetable.terms(now)
        if self._unsure_since is not None:
            jobs.give_back(self._owner, self._unsure_since, now)
            self._unsure_since = None
        try:
            return jobs.claim(
                self._owner, self._handlers.keys(), now, lease_s, terms, is_busy=self._is_busy
            )
        except Fault:
            self._unsure_since = now
            raise

    def _do(self, job: Job) -> None:
        begun = time.monotonic()
        jobs, database = self._workshop.ledger.jobs, self._workshop.ledger.database
        fault, words = "", ""
        try:
            done = self._handlers[job.spec.kind](job, self._workshop)
        except Stopping:
            outcome = _if(self._noted(lambda: jobs.release(job, database.now())), "released")
        except Later as later:
            words, not_before = str(later), database.now() + later.wait_s
            kept = self._noted(
                lambda: jobs.release(job, database.now(), not_before=not_before, words=words)
            )
            outcome = _if(kept, "waits")
        except Away as away:  # the ledger's trouble, and not the job's
            fault, words = away.code, str(away)
            outcome = _if(self._noted(lambda: jobs.release(job, database.now())), "released")
        except Fault as known:
            fault, words = known.code, str(known)
            outcome = self._failed(job, known)
        except Exception as bug:  # noqa: BLE001  (not a Fault is a bug: the worker lives on)
            fault, words = "bug", _place(bug)
            outcome = self._held(job, fault, words)
        else:
            words = done.words
            outcome = self._finished(job, done)
        log.log(
            20 if outcome in {"done", "released", "waits"} else 30,
            "job",
            job=job.id,
            kind=str(job.spec.kind),
            rule=job.spec.rule,
            target=job.spec.target,
            series=job.spec.series.series_instance_uid,
            attempt=job.attempts,
            outcome=outcome,
            fault=fault,
            words=words,
            seconds=round(time.monotonic() - begun, 3),
        )

    def _noted(self, note: Callable[[], bool]) -> bool:
        """Note how a job ended, as soon as the ledger can: what was done need not be done twice.

        Raises the ledger's fault where that will not pass, or the worker shall end.
        """
        while True:
            try:
                return note()
            except Away as fault:
                log.warning("ledger away, an outcome waits", words=str(fault))
                if self._workshop.stopping.wait(AWAY_WAIT_S):
                    raise

    def _finished(self, job: Job, done: Done) -> str:
        jobs, now = self._workshop.ledger.jobs, self._workshop.ledger.database.now
        kept = self._noted(
            lambda: jobs.finish(
                job,
                now(),
                done.events,
                done.words,
                done.follow_up,
                is_answer=done.is_answer,
                paid=done.paid,
            )
        )
        return _if(kept, "done")

    def _held(self, job: Job, code: str, words: str) -> str:
        jobs, now = self._workshop.ledger.jobs, self._workshop.ledger.database.now
        return _if(self._noted(lambda: jobs.hold(job, code, words, now())), "held")

    def _failed(self, job: Job, fault: Fault) -> str:
        """Note a failure: the target's, which costs no attempt, or the job's own."""
        settings, target = self._workshop.settings, job.spec.target
        jobs, database = self._workshop.ledger.jobs, self._workshop.ledger.database
        chance = random.random()  # noqa: S311  (jitter)
        blames = blames_target(fault) and can_be_asked(settings, target)
        if blames:
            said = ask(settings, target)
            if said is not None and blames_target(said):
                kept = self._noted(lambda: jobs.put_back(job, fault, database.now(), chance))
                return _if(kept, "put back")
        now = database.now()
        failing_s = now - (now if job.failing_since is None else job.failing_since)
        if not tries_again(self._policy, fault, job.attempts, failing_s):
            return self._held(job, fault.code, str(fault))
        wait = wait_s(self._policy, job.attempts, chance)
        blame = chance if blames else None
        kept = self._noted(lambda: jobs.postpone(job, fault, database.now(), wait, chance=blame))
        return _if(kept, "postponed")


def _if(kept: bool, outcome: str) -> str:  # noqa: FBT001  (what the ledger answered)
    """Name how a job ended, unless it had been given to another."""
    return outcome if kept else "lost"


class _Lease:
    """Renews a running job's lease at a third of its time, until the block ends."""

    def __init__(self, workshop: Workshop, job: Job, lease_s: float) -> None:
        self._workshop = workshop
        self._job = job
        self._lease_s = lease_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _keep(self) -> None:
        ledger = self._workshop.ledger
        while not self._ended.wait(self._lease_s / 3):
            try:
                kept = ledger.jobs.renew(self._job, ledger.database.now(), self._lease_s)
            except Fault as fault:
                log.warning("lease not renewed", job=self._job.id, fault=fault.code)
                continue
            if not kept:
                log.warning("lease lost", job=self._job.id)
                # Another does it now, or a clock jumped: what is on its way is finished, no more.
                self._workshop.lost.set()
                return


def _place(bug: BaseException) -> str:
    """Say what a bug is and where, without its message, which may quote a patient's data."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames[-4:]))
    return f"{type(bug).__name__} at {where}"
