"""What a worker does beside its jobs: asks dead targets, takes back what dead workers had.

Every worker does it, so that it is done as long as one of them lives, on whatever machine. The
ledger sees to it that each target is asked by one at a time.
"""

import random
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from config.model import Settings
from dicom.errors import Fault
from node.workers.asking import ask
from node.workers.stage import clear
from routing.breaker import Breaker
from routing.recurrence import due_next
from storage.ledger.ledger import Ledger

LOOK_EVERY_S: Final = 0.5
EXPIRE_EVERY_S: Final = 5.0
CLOCK_EVERY_S: Final = 60.0
STAGED_EVERY_S: Final = 3.0
LAKES_EVERY_S: Final = 5.0
TROUBLE_S: Final = 2.0

log = structlog.get_logger()


class Watch:
    """A thread beside the worker's loop; each question has a thread of its own, as it may hang."""

    def __init__(self, settings: Settings, ledger: Ledger, ring: Callable[[], None]) -> None:
        self._settings = settings
        self._ledger = ledger
        self._ring = ring
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._next: dict[str, float] = {}

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it; a question that hangs is left, and may be asked by another once it is stale."""
        self._stopping.set()
        self._thread.join()

    def step(self) -> None:
        """Do once what is due. Raises a Fault of the ledger."""
        now, lease_s = self._ledger.database.now(), self._settings.jobs.lease_s
        while (due := self._ledger.breakers.take_due(now, lease_s)) is not None:
            name = f"ask-{due.target}"
            threading.Thread(target=self._ask, args=(due,), name=name, daemon=True).start()
        if self._is_time("expire", EXPIRE_EVERY_S) and self._ledger.jobs.expire(
            now, self._settings.jobs.attempts
        ):
            self._ring()
        if self._is_time("lakes", LAKES_EVERY_S) and self._export_lakes(now):
            self._ring()
        if self._settings.staging is not None and self._is_time("staged", STAGED_EVERY_S):
            clear(self._settings, self._ledger, now)
        if self._is_time("clock", CLOCK_EVERY_S) and self._ledger.jobs.follow_clock(now, lease_s):
            log.warning("the clock was set back; waits and leases follow it")

    def _run(self) -> None:
        wait_s = LOOK_EVERY_S
        while not self._stopping.wait(wait_s):
            try:
                self.step()
                wait_s = LOOK_EVERY_S
            except Fault as fault:
                log.warning("targets not looked after", fault=fault.code, words=str(fault))
                wait_s = TROUBLE_S
            except Exception as bug:  # no dead target would ever be asked again
                log.error("targets not looked after", exc_info=bug)
                wait_s = TROUBLE_S

    def _is_time(self, what: str, every_s: float) -> bool:
        now = time.monotonic()
        if now < self._next.get(what, 0.0):
            return False
        self._next[what] = now + every_s
        return True

    def _export_lakes(self, now: float) -> bool:
        """Have the lakes exported that are due; say whether there is one."""
        made = [
            self._ledger.lakes.schedule(
                name, lake.destination, f"{lake.at} {lake.every}",
                partial(due_next, lake.at, lake.every), now,
            )
            for name, lake in self._settings.lakes.items()
            if lake.at or lake.every
        ]  # fmt: skip
        return any(made)

    def _ask(self, due: Breaker) -> None:
        begun = time.monotonic()
        fault = ask(self._settings, due.target)
        try:
            chance = random.random()  # noqa: S311  (jitter)
            now = self._ledger.database.now()
            is_back = self._ledger.breakers.answered(due.target, fault, now, chance)
        except Fault as trouble:
            log.warning("answer not noted", target=due.target, fault=trouble.code)
            return
        if is_back:
            self._ring()
        log.log(
            20,
            "target asked",
            target=due.target,
            tries=due.tries + 1,
            is_back=is_back,
            fault=fault.code if fault else "",
            words=str(fault or ""),
            seconds=round(time.monotonic() - begun, 3),
        )
