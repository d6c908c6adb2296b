"""Let go of what may leave the spool, slowly, in a thread that is never in the way of receiving.

A pass looks at Series, the least recently asked for first, and then at segments. It rests as long
as it works, and longer while objects are being received. The more there is to look at, the more
seldom it is done, so that it takes a small share of the front's time however much the spool holds.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from config.model import Settings
from config.retention import Retention as Table
from dicom.errors import Fault
from node.proving import prove
from node.turns import Turns
from routing.retention import Policy
from storage.destinations.base import Proof
from storage.index.database import Index
from storage.leaving import Leaving
from storage.ledger.events import NewEvent
from storage.ledger.holdings import Candidate
from storage.ledger.ledger import Ledger
from storage.ledger.paid import Paid
from storage.retention import LettingGo
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool

RELEASED: Final = "penumbra.retention.released"
"""The type of the event that objects left the spool."""
MISSING: Final = "penumbra.retention.missing"
"""The type of the event that a destination no longer holds what it has a receipt for."""
MEASURE_S: Final = 600.0
"""So often it is added up what could leave, while nothing has to."""
LOOK_RESTS: Final = 20.0
"""After all Series, or all segments, were looked at, so many times as long they are not,"""
ROOM_RESTS: Final = 3.0
"""and no longer than this where room is short."""
PAGE: Final = 200
BYTES_PER_S: Final = 64 << 20
"""No more is copied per second."""
BUSY_S: Final = 0.05
"""While objects come more closely than this, retention waits,"""
PATIENCE_S: Final = 0.2
"""but before each step no longer than this."""
DAY_S: Final = 86_400.0
MB: Final = 1 << 20

log = structlog.get_logger()


class Stopped(Exception):  # noqa: N818  (no error: the node is stopping)
    """Raised inside a pass when the node stops."""


def policy_of(table: Table) -> Policy:
    """Put the [retention] table into the words of the decision."""
    return Policy(
        keep_s=None if table.keep_days is None else table.keep_days * DAY_S,
        unsent_s=None if table.unsent_days is None else table.unsent_days * DAY_S,
        proof_s=table.proof_hours * 3600 if table.prove_again else None,
        trusted=frozenset(table.take_at_word),
    )


def letting_go(ledger: Ledger, settings: Settings) -> LettingGo:
    """Make the part that lets go, asking the destinations of the config file."""

    def ask(payments: Sequence[Paid]) -> Iterator[tuple[Paid, Proof]]:
        return ((one.paid, one.proof) for one in prove(payments, settings))

    return LettingGo(ledger.holdings, ledger.payments, policy_of(settings.retention), ask)


@dataclass(slots=True)
class _Pass:
    """What one pass did."""

    series: int = 0
    instances: int = 0
    size_bytes: int = 0
    segments: int = 0
    freed_bytes: int = 0
    releasable_bytes: int = 0

    def add(self, other: "_Pass") -> None:
        """Count another pass in."""
        self.series += other.series
        self.instances += other.instances
        self.size_bytes += other.size_bytes
        self.segments += other.segments
        self.freed_bytes += other.freed_bytes


class Retention:
    """The thread, and its numbers; nothing runs while [retention] lets nothing leave."""

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        reader: SpoolReader,
        ledger: Ledger,
        index: Index,
        *,
        index_is_behind: Callable[[], bool],
    ) -> None:
        """`reader` is its own."""
        self._settings = settings
        self._table = settings.retention
        self._spool = spool
        self._ledger = ledger
        self._index_is_behind = index_is_behind
        self._letting_go = letting_go(ledger, settings)
        self._index = index
        self._leaving = Leaving(spool, reader, ledger.places, self._indexed, self._breathe)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="retention", daemon=True)
        self._looks, self._rooms = Turns(LOOK_RESTS), Turns(ROOM_RESTS)
        self._sweeps = Turns(LOOK_RESTS)
        self._done = _Pass()
        """What all passes did since the start."""
        self._releasable_bytes = 0
        self.trouble = ""

    def start(self) -> None:
        """Start the thread, if anything may leave."""
        if self._table.is_on:
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """End the thread at its next step. Safe before start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def facts(self) -> Mapping[str, object]:
        """Tell what left since the start, and what could."""
        if not self._table.is_on:
            return {"on": False}
        return {
            "on": True,
            "releasable_bytes": self._releasable_bytes,
            "released_instances": self._done.instances,
            "released_bytes": self._done.size_bytes,
            "segments_removed": self._done.segments,
            "freed_bytes": self._done.freed_bytes,
            "trouble": self.trouble,
        }

    def _run(self) -> None:
        while not self._stopping.wait(self._table.every_s):
            try:
                self.step(time.time())
            except Stopped:
                return
            except Fault as fault:
                self.trouble = f"{fault.code}: {fault}"
                log.error("retention stands", fault=fault.code, words=str(fault))
            except Exception as bug:  # the node receives and delivers without it
                self.trouble = f"bug: {type(bug).__name__}, see the node's log"
                log.error("retention stands", exc_info=bug)
            else:
                self.trouble = ""

    def step(self, now: float) -> None:
        """Do one pass. Raises a Fault when ledger, disk or config fails, Stopped."""
        if self._index_is_behind():
            return  # its rebuild reads the log
        begun = time.monotonic()
        self._leaving.go_on(now)
        done = _Pass()
        if self._sweeps.is_due():
            self._sweep(done, now)
        short_bytes = self._short_bytes()
        if self._looks.is_due() or (short_bytes > 0 and self._rooms.is_due()):
            self._look_at_series(done, now, short_bytes)
        if done.instances:
            self._sweep(done, now)
        self._tell(done, now, time.monotonic() - begun)

    def _short_bytes(self) -> int:
        """Say how much is missing to the free space that is to be kept; none: less than 0."""
        if self._table.keep_free_mb is None:
            return -1
        return self._table.keep_free_mb * MB - self._spool.free_bytes()

    def _indexed(self) -> Mapping[str, int]:
        """Say up to where of each segment the index needs the bytes no longer.

        Where room is short they do not wait for heads, which are made behind all else: an object
        that leaves without one keeps its row, and describes itself from where it is proven.
        """
        return self._index.position() if self._short_bytes() > 0 else self._index.wholly_read()

    def _look_at_series(self, done: _Pass, now: float, short_bytes: int) -> None:
        """Look at every Series; where nothing but room is due, until there is enough."""
        is_whole = self._looks.is_due()
        begun_s = time.thread_time()
        for one in self._candidates():
            if not is_whole and done.size_bytes >= short_bytes:
                self._releasable_bytes -= done.size_bytes
                break
            begun = time.monotonic()
            self._consider(one, done, now, for_room=done.size_bytes < short_bytes)
            self._rest(time.monotonic() - begun)
        else:
            self._releasable_bytes = done.releasable_bytes - done.size_bytes
        worked_s = time.thread_time() - begun_s
        self._rooms.took(worked_s)
        if is_whole:
            by_age = (self._table.keep_days, self._table.unsent_days) != (None, None)
            self._looks.took(worked_s, 0.0 if by_age else MEASURE_S)

    def _candidates(self) -> Iterator[Candidate]:
        after: Candidate | None = None
        while page := self._ledger.holdings.candidates(after, PAGE):
            yield from page
            after = page[-1]

    def _consider(self, one: Candidate, done: _Pass, now: float, *, for_room: bool) -> None:
        found = self._letting_go.consider(one.key, now, for_room=for_room)
        done.releasable_bytes += found.releasable_bytes
        done.instances += found.let_go.instances
        done.size_bytes += found.let_go.size_bytes
        done.series += bool(found.let_go.instances)
        for name in found.missing:
            uid, study = one.key.series_instance_uid, one.key.study_instance_uid
            log.error("proof lost", destination=name, series=uid, study=study)
            told = NewEvent(MISSING, uid, {"study": study, "destination": name})
            self._ledger.outbox.record([told], now)

    def _sweep(self, done: _Pass, now: float) -> None:
        """Remove and rewrite the segments of which little enough is needed."""
        begun_s = time.thread_time()
        for burden in self._leaving.burdens():
            if self._stopping.is_set():
                raise Stopped
            if not burden.can_leave:
                continue
            self._rest(0.0)
            if self._leaving.leave(burden, now):
                done.segments += 1
                done.freed_bytes += burden.gain_bytes
        self._sweeps.took(time.thread_time() - begun_s)

    def _rest(self, worked_s: float) -> None:
        """Wait as long as the last step took, and longer while objects are being received."""
        if self._stopping.wait(worked_s):
            raise Stopped
        deadline_s = time.monotonic() + PATIENCE_S
        while self._spool.quiet_s() < BUSY_S and time.monotonic() < deadline_s:
            if self._stopping.wait(BUSY_S):
                raise Stopped

    def _breathe(self, size_bytes: int) -> None:
        if self._stopping.wait(size_bytes / BYTES_PER_S):
            raise Stopped

    def _tell(self, done: _Pass, now: float, seconds: float) -> None:
        if not done.instances and not done.segments:
            return
        self._done.add(done)
        facts = {
            "series": done.series,
            "instances": done.instances,
            "bytes": done.size_bytes,
            "segments": done.segments,
            "freed_bytes": done.freed_bytes,
        }
        log.info("retention", **facts, seconds=round(seconds, 3))
        told = NewEvent(RELEASED, self._settings.node.ae_title, facts)
        self._ledger.outbox.record([told], now)
