"""Claim a job, do it, note how it ended; retry, lease and fencing live here and nowhere else."""

import random
import threading
import time
import traceback
from collections.abc import Callable, Mapping

import structlog

from dicom.errors import Fault
from node.workers.workshop import Done, Stopping, Workshop
from routing.job import Job, Kind
from routing.retry import Policy, tries_again, wait_s

IDLE_WAIT_S = 1.0
"""How long an idle worker sleeps when no doorbell wakes it."""

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
        self._bell = threading.Event()

    def ring(self) -> None:
        """Tell the worker that there may be work."""
        self._bell.set()

    def stop(self) -> None:
        """Ask the worker to end: a long job is given back at its next object."""
        self._workshop.stopping.set()
        self._bell.set()

    def run(self) -> None:
        """Work until stopped. A fault of the ledger itself is waited out."""
        while not self._workshop.stopping.is_set():
            try:
                worked = self.step()
            except Fault as fault:
                log.error("ledger unavailable", fault=fault.code, words=str(fault))
                worked = False
            if not worked:
                self._bell.wait(IDLE_WAIT_S)
                self._bell.clear()

    def step(self) -> bool:
        """Do one job if there is one that is due."""
        lease_s = self._workshop.settings.jobs.lease_s
        job = self._workshop.ledger.jobs.claim(
            self._owner, self._handlers.keys(), time.time(), lease_s
        )
        if job is None:
            return False
        with _Lease(self._workshop, job, lease_s):
            self._do(job)
        return True

    def _do(self, job: Job) -> None:
        jobs = self._workshop.ledger.jobs
        begun = time.monotonic()
        fault, words = "", ""
        try:
            done = self._handlers[job.spec.kind](job, self._workshop)
        except Stopping:
            jobs.release(job, time.time())
            outcome = "released"
        except Fault as known:
            fault, words = known.code, str(known)
            if tries_again(self._policy, known, job.attempts):
                wait = wait_s(self._policy, job.attempts, random.random())  # noqa: S311  (jitter)
                jobs.postpone(job, known, time.time(), wait)
                outcome = "postponed"
            else:
                jobs.hold(job, fault, words, time.time())
                outcome = "held"
        except Exception as bug:  # noqa: BLE001  (not a Fault is a bug: the worker lives on)
            fault, words = "bug", _place(bug)
            jobs.hold(job, fault, words, time.time())
            outcome = "held"
        else:
            words = done.words
            jobs.finish(job, time.time(), done.events, done.words)
            outcome = "done"
        log.log(
            20 if outcome in {"done", "released"} else 30,
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
        while not self._ended.wait(self._lease_s / 3):
            try:
                kept = self._workshop.ledger.jobs.renew(self._job, time.time(), self._lease_s)
            except Fault as fault:
                log.warning("lease not renewed", job=self._job.id, fault=fault.code)
                continue
            if not kept:
                log.warning("lease lost", job=self._job.id)
                return


def _place(bug: BaseException) -> str:
    """Say what a bug is and where, without its message, which may quote a patient's data."""
    frames = traceback.extract_tb(bug.__traceback__)
    where = " < ".join(f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno}" for f in reversed(frames[-4:]))
    return f"{type(bug).__name__} at {where}"
