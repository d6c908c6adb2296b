"""Read the log for the index alone: catch it up, give its rows their heads, read it all again.

Each of the three has a position of its own in the index, stored with what it brought.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import structlog

from storage.index.database import Entry, Index
from storage.ledger.arrived import Arrived, Readings
from storage.spool.record import Record
from storage.spool.spool import Spool

BATCH_BYTES = 256 << 20
"""A batch of large objects ends earlier: its facts wait until the last of it is read."""

log = structlog.get_logger()


class Indexing:
    """Fills an index from the log, batch by batch. One thread drives it."""

    def __init__(self, spool: Spool, index: Index, readings: Readings) -> None:
        self._spool = spool
        self._index = index
        self._readings = readings
        self._head_position: dict[str, int] | None = None
        """As the index has it; None where it must be asked, as after a fault."""
        self._position: dict[str, int] | None = None

    def add(self, entries: Sequence[Entry], reached: Mapping[str, int]) -> None:
        """Index what was read already. Raises StorageFault."""
        self._index.add(entries, reached)
        if self._position is not None:
            self._position.update(reached)

    def catch_up(self, most: int) -> int:
        """Index the next records of the log; returns how many. Raises StorageFault."""
        batch = self.take(self._index.position(), most)
        if batch:
            entries = self._read(batch)
            self.add(entries, ends(batch))
            if len(entries) < len(batch):
                log.warning("objects not indexed", records=len(batch) - len(entries))
        return len(batch)

    def fill_heads(self, most: int) -> int:
        """Give the next objects of the index their heads; returns the records looked at.

        0 when there is none left. Raises StorageFault.
        """
        try:
            return self._fill_heads(most)
        except BaseException:
            self._head_position = self._position = None
            self._readings.forget()  # later heads would refer to those that were not stored
            raise

    def _fill_heads(self, most: int) -> int:
        if self._head_position is None or self._position is None:
            self._position = dict(self._index.position())
            self._head_position = dict(self._index.head_position())
        batch = list(islice(self._indexed(self._head_position), most))
        if not batch:
            return 0
        objects = [(one.arrival.sop_instance_uid, one.location) for one in batch]
        wanted = [batch[number] for number in self._index.headless(objects)]
        made = self._readings.heads(wanted) if wanted else []
        reached = ends(batch)
        self._index.add_heads([head for head in made if head is not None], reached)
        self._head_position.update(reached)
        return len(batch)

    def _indexed(self, after: Mapping[str, int]) -> Iterator[Record]:
        """Yield the records behind a position that the index has read."""
        reached = self._position or {}
        for record in self._spool.records(after):
            if record.end <= reached.get(record.location.segment, 0):
                yield record

    def renew(self, most: int) -> int | None:
        """Bring the next records of a renewal up to date; returns how many, 0 at its end.

        None where no renewal goes on. Raises StorageFault.
        """
        position = self._index.renewal()
        if position is None:
            return None
        batch = self.take(position, most)
        if batch:
            self._index.renew(self._read(batch), ends(batch), len(batch))
        else:
            self._index.end_renewal()
            self._head_position = None
            log.info("index renewed")
        return len(batch)

    def take(self, after: Mapping[str, int], most: int) -> list[Record]:
        """Take the next records of the log, fewer where they are large."""
        batch: list[Record] = []
        size_bytes = 0
        for record in islice(self._spool.records(after), most):
            batch.append(record)
            size_bytes += record.location.length
            if size_bytes > BATCH_BYTES:
                break
        return batch

    def _read(self, batch: Sequence[Record]) -> list[Entry]:
        self._readings.submit(batch)
        return entries_of(self._readings.collect())


def entries_of(read: Sequence[Arrived]) -> list[Entry]:
    """Pick what can be indexed of what was read."""
    return [(one.instance, one.texts) for one in read if one.fault is None]


def ends(batch: Sequence[Record]) -> dict[str, int]:
    """Say how far a batch reaches in each segment."""
    return {record.location.segment: record.end for record in batch}
