"""Follow the log: read each new record's head once, file it in the ledger, then in the index.

The ledger's position moves with its rows. The index keeps a position of its own; where it lags
behind (a crash between the two, a deleted file, a fault of its own) it is caught up from the log
batch by batch, while the ledger goes on: deliveries do not wait for an index. A batch costs it as
much as hundreds of rows, so what is new is gathered until there is enough or the log ends.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import structlog

from dicom.errors import Fault
from storage.index.database import Entry, Index
from storage.ledger.arrived import Readings
from storage.ledger.indexing import Indexing, ends, entries_of
from storage.ledger.intake import Conflict, Intake, Tally
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.spool import Spool

BATCH = 1000
HEAD_BATCH = 200
"""Heads are made in so many at once: whoever stores something waits for a batch of them."""
MOST_LAG = 10_000
"""Counting goes no further: so many unfiled records are alarming enough, and every look at the
metrics counts anew."""

log = structlog.get_logger()


class Follower:
    """Moves ledger and index along the log. One thread drives it."""

    def __init__(
        self,
        spool: Spool,
        reader: SpoolReader,
        intake: Intake,
        index: Index,
        readings: Readings,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._reader = reader
        self._intake = intake
        self._index = index
        self._indexing = Indexing(spool, index, readings)
        self._readings = readings
        self._ahead: list[Record] = []
        """The batch that is being read."""
        self._unindexed: list[Entry] = []
        self._unindexed_to: dict[str, int] = {}
        self._clock = clock
        self._position: dict[str, int] | None = None
        """None until the ledger could be asked: its server may be away when the node starts."""
        self._behind = True

    def index_is_behind(self) -> bool:
        """Whether the index may lack records that the ledger has; true at the start."""
        return self._behind

    def catch_up_index(self) -> int:
        """Bring the index one batch nearer to the log's end; returns the records read.

        With an empty index this is the rebuild from the spool. Raises StorageFault.
        """
        assert not self._ahead  # `step` came to the log's end before
        count = self._indexing.catch_up(BATCH)
        self._behind = count > 0
        return count

    def fill_heads(self) -> int:
        """Give the next objects in the index their heads; returns the records looked at.

        0 when every row that has one to have has it. Raises StorageFault; the same batch is then
        tried again.
        """
        assert not self._ahead
        return self._indexing.fill_heads(HEAD_BATCH)

    def renew_index(self) -> int | None:
        """Read the next records once more for a renewal of the index; see `Index.renew`.

        Returns how many, 0 when that was the end of it, None when no renewal goes on. Raises
        StorageFault.
        """
        assert not self._ahead
        return self._indexing.renew(BATCH)

    def step(self) -> Tally | None:
        """Absorb one batch of new records; None when there is nothing new.

        The next batch is being read meanwhile.
        """
        batch = self._ahead or self._begin(self._reached())
        if not batch:
            self._add()
            return None
        try:
            return self._absorb(batch)
        except BaseException:
            self._ahead = []  # it comes after what was not absorbed
            self._readings.forget()
            # It may have been absorbed all the same, and is no news then when it comes again.
            self._behind = True
            raise

    def _absorb(self, batch: Sequence[Record]) -> Tally:
        arrived = self._readings.collect()
        reached = ends(batch)
        position = self._reached()
        self._ahead = self._begin({**position, **reached})
        tally = self._intake.absorb(arrived, reached, self._clock())
        position.update(reached)
        self._spool.followed(reached)
        if not self._behind:
            self._unindexed += entries_of(tally.new)
            self._unindexed_to.update(reached)
            if len(self._unindexed) >= BATCH:
                self._add()
        if tally.unfiled or tally.conflicts:
            log.warning("objects held", unfiled=tally.unfiled, conflicts=tally.conflicts)
        return tally

    def _begin(self, after: Mapping[str, int]) -> list[Record]:
        batch = self._indexing.take(after, BATCH)
        if batch:
            self._readings.submit(batch)
        return batch

    def _add(self) -> None:
        """Index what was gathered."""
        if not self._unindexed_to:
            return
        entries, self._unindexed = self._unindexed, []
        reached, self._unindexed_to = self._unindexed_to, {}
        try:
            self._indexing.add(entries, reached)
        except Fault as fault:
            self._behind = True  # from its own position it is caught up later
            log.error("index behind", fault=fault.code, words=str(fault))

    def _reached(self) -> dict[str, int]:
        """Give how far the ledger has followed each segment, asked once. Raises StorageFault."""
        if self._position is None:
            self._position = self._intake.positions()
        return self._position

    def lag_records(self) -> int:
        """Count the committed records that are not filed yet, up to a bound; from any thread.

        Until the ledger could be asked how far it has come, that is all of them.
        """
        return self._spool.count(dict(self._position or {}), MOST_LAG)

    def file_again(self, sop_instance_uid: str, digest: str) -> None:
        """Try once more to file an object that was held. Raises the Fault that still holds it."""
        instance, conflict = self._intake.find(sop_instance_uid, digest)
        if conflict:
            raise Conflict
        # Not here: what broke the process that reads would break whoever delivers.
        self._readings.submit([self._reader.record_at(instance.location)])
        (arrived,) = self._readings.collect()
        if arrived.fault is not None:
            raise arrived.fault
        self._intake.refile(arrived, instance.digest)
        # Its record lies behind the index's position: nothing but another try brings it in.
        self._index.add(entries_of([arrived]), {})
