"""Keep the index's account of what the node does: associations, jobs, deliveries, events.

A thread of its own, about once a second: what ended at the door is written to the ledger, and what
is new in the ledger is fed to the index, in small batches. Objects that come in go first.
"""

import datetime as dt
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from dicom.errors import Fault
from node.history import Entry
from storage.index.account import AccountTables, Batch, moment
from storage.index.database import Index
from storage.ledger.associations import Ended
from storage.ledger.ledger import Ledger

EVERY_S: Final = 1.0
BATCH: Final = 500
"""Rows of each table at once: a few milliseconds of the interpreter."""
BETWEEN_S: Final = 0.02
"""The rest between two batches, so that others get their turn."""
BUSY_S: Final = 0.05
"""While objects follow one another more closely, the account waits..."""
PATIENCE_S: Final = 5.0
"""...so long at most."""
TROUBLE_S: Final = 5.0
MOST_ENDED: Final = 5000
"""Associations that wait to be written; beyond it the oldest are not kept, and counted."""

log = structlog.get_logger()


class AccountKeeper:
    """The thread between door, ledger and index."""

    def __init__(
        self, ledger: Ledger, index: Index, quiet_s: Callable[[], float], every_s: float = EVERY_S
    ) -> None:
        """Make it; `quiet_s` says for how long nothing has come in."""
        self._ledger = ledger
        self._index = index
        self._quiet_s = quiet_s
        self._every_s = every_s
        self._tables: AccountTables | None = None
        self._reached: dict[str, int] = {}
        self._looked_at = 0
        self._ended: deque[Ended] = deque()
        self._lost = 0
        self._adding = threading.Lock()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="account", daemon=True)
        self.trouble = ""
        """Why the account cannot go on at the moment; "" when all is well."""

    def note(self, entry: Entry) -> None:
        """Take an association that is over; on any thread, and quick."""
        with self._adding:
            if len(self._ended) >= MOST_ENDED:
                self._ended.popleft()
                self._lost += 1
            self._ended.append(_ended(entry))

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Write what ended, then end. Safe before start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def round(self) -> int:
        """Write and feed once; returns how many rows were fed. Raises StorageFault."""
        self._write_ended()
        if self._tables is None:
            self._begin()
        fed = self._feed_new()
        return fed + self._feed_changed()

    def _run(self) -> None:
        while True:
            last_round = self._stopping.is_set()
            wait_s = self._every_s
            try:
                if self.round() >= BATCH:
                    wait_s = BETWEEN_S
                self.trouble = ""
            except Fault as fault:
                self._stand(f"{fault.code}: {fault}")
                wait_s = TROUBLE_S
            except Exception as bug:  # nothing is accounted for any more if this loop ends
                log.error("account stands", exc_info=bug)
                self.trouble = f"bug: {type(bug).__name__}, see the node's log"
                wait_s = TROUBLE_S
            if last_round:
                return
            self._stopping.wait(wait_s)
            self._let_the_door_go_first()

    def _stand(self, words: str) -> None:
        if words != self.trouble:
            log.error("account stands", words=words)
        self.trouble = words

    def _let_the_door_go_first(self) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self._quiet_s() < BUSY_S and time.monotonic() < deadline_s:
            if self._stopping.wait(BUSY_S):
                return

    def _begin(self) -> None:
        """Learn how far the index is; a ledger made anew is read from its beginning."""
        tables = AccountTables(self._index)
        reached, newest = tables.reached(), self._ledger.account.newest()
        for source in [name for name, number in reached.items() if number > newest[name]]:
            log.warning("account begun again", table=source)
            tables.forget(source)
            del reached[source]
        self._tables, self._reached = tables, reached

    def _write_ended(self) -> None:
        with self._adding:
            ended, self._ended = list(self._ended), deque()
            lost, self._lost = self._lost, 0
        if lost:
            log.warning("associations not kept", count=lost)
        try:
            self._ledger.associations.add(ended)
            self._ledger.associations.trim()
        except Fault:
            with self._adding:
                self._ended.extendleft(reversed(ended))
                while len(self._ended) > MOST_ENDED:
                    self._ended.popleft()
                    self._lost += 1
            raise

    def _feed_new(self) -> int:
        assert self._tables is not None
        news = self._ledger.account.after(self._reached, BATCH)
        if not news:
            return 0
        reached = {one.source: one.reached for one in news}
        self._tables.add(Batch({one.source: one.rows for one in news}, reached))
        self._reached.update(reached)
        return max(len(one.rows) for one in news)

    def _feed_changed(self) -> int:
        """Look again at some of the jobs that were not over, those in turn."""
        assert self._tables is not None
        known = self._tables.open_jobs(self._looked_at, BATCH)
        self._looked_at = max(known) if len(known) == BATCH else 0
        if not known:
            return 0
        now = self._ledger.account.jobs(known)
        changed = [row for row in now if _is_news(row, known)]
        if changed:
            self._tables.add(Batch({"job": changed}, {}))
        return 0


def _is_news(row: Mapping[str, object], known: Mapping[int, tuple[str, dt.datetime]]) -> bool:
    number, updated_at = row["id"], row["updated_at"]
    assert isinstance(number, int)
    assert isinstance(updated_at, float)
    return known[number] != (row["state"], moment(updated_at))


def _ended(entry: Entry) -> Ended:
    return Ended(
        name=entry.id,
        began_at=entry.at,
        seconds=entry.seconds,
        calling_ae=entry.calling_ae,
        called_ae=entry.called_ae,
        address=entry.address,
        tls_name=entry.tls_name,
        verdict=entry.verdict,
        cause=entry.cause,
        outcome=entry.outcome,
        words=entry.words,
        accepted_contexts=entry.accepted_contexts,
        refused_contexts=entry.refused_contexts,
        statuses=entry.statuses,
        size_bytes=entry.size_bytes,
    )
