"""Follow the log: read each new record's head once, file it in the ledger, then in the index.

The ledger's position moves with its rows. The index keeps a position of its own; where it lags
behind (a crash between the two, a deleted file, a fault of its own) it is caught up from the log
batch by batch, while the ledger goes on: deliveries do not wait for an index.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

import structlog
from pydicom.dataset import Dataset

from dicom import part10
from dicom.entity import Instance, SeriesKey
from dicom.errors import CannotUnderstand, DoesNotMatch, Fault
from dicom.extent import breaks_off
from dicom.uid import is_storable
from storage.index.database import Entry, Index
from storage.ledger.intake import Arrived, Conflict, Intake, Tally
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.spool import Spool

BATCH = 200
MOST_LAG = 100_000
"""Counting goes no further: so many unfiled records are alarming enough."""

log = structlog.get_logger()


Read = tuple[Arrived, Dataset | None]


class Follower:
    """Moves ledger and index along the log. One thread drives it."""

    def __init__(
        self,
        spool: Spool,
        reader: SpoolReader,
        intake: Intake,
        index: Index,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._spool = spool
        self._reader = reader
        self._intake = intake
        self._index = index
        self._clock = clock
        self._position = intake.positions()
        self._behind = True

    def index_is_behind(self) -> bool:
        """Whether the index may lack records that the ledger has; true at the start."""
        return self._behind

    def catch_up_index(self) -> int:
        """Bring the index one batch nearer to the log's end; returns the records read.

        With an empty index this is the rebuild from the spool. Raises StorageFault.
        """
        batch = self._take(self._index.position())
        if batch:
            self._index.add(self._entries(batch), _reached(batch))
        else:
            self._behind = False
        return len(batch)

    def step(self) -> Tally | None:
        """Absorb one batch of new records; None when there is nothing new."""
        batch = self._take(self._position)
        if not batch:
            return None
        read = [(record, self._read(record.instance)) for record in batch]
        reached = _reached(batch)
        tally = self._intake.absorb([arrived for _, (arrived, _) in read], reached, self._clock())
        self._position.update(reached)
        new = {id(arrived) for arrived in tally.new}
        entries = [
            (arrived.instance, head)
            for _, (arrived, head) in read
            if head is not None and id(arrived) in new
        ]
        if not self._behind:
            self._add(entries, reached)
        if tally.unfiled or tally.conflicts:
            log.warning("objects held", unfiled=tally.unfiled, conflicts=tally.conflicts)
        return tally

    def _add(self, entries: Sequence[Entry], reached: Mapping[str, int]) -> None:
        try:
            self._index.add(entries, reached)
        except Fault as fault:
            self._behind = True  # from its own position it is caught up later
            log.error("index behind", fault=fault.code, words=str(fault))

    def lag_records(self) -> int:
        """Count the committed records that are not filed yet, up to a bound; from any thread."""
        return sum(1 for _ in islice(self._spool.records(dict(self._position)), MOST_LAG))

    def file_again(self, sop_instance_uid: str, digest: str) -> None:
        """Try once more to file an object that was held. Raises the Fault that still holds it."""
        instance, conflict = self._intake.find(sop_instance_uid, digest)
        if conflict:
            raise Conflict
        arrived, head = self._read(instance)
        if arrived.fault is not None:
            raise arrived.fault
        self._intake.refile(arrived)
        if head is not None:
            self._index.add([(instance, head)], {})

    def _take(self, after: Mapping[str, int]) -> list[Record]:
        return list(islice(self._spool.records(after), BATCH))

    def _read(self, instance: Instance) -> Read:
        nowhere = SeriesKey("", "")
        try:
            head = self._head(instance)
            key = file_key(instance, head)
        except Fault as fault:
            return Arrived(instance, nowhere, fault=fault), None
        except Exception as bug:  # noqa: BLE001  (one strange object shall not stop all others)
            unread = CannotUnderstand(f"dataset cannot be read ({type(bug).__name__})")
            return Arrived(instance, nowhere, fault=unread), None
        return Arrived(instance, key, part10.text(head, "Modality")[:16]), head

    def _head(self, instance: Instance) -> Dataset:
        with self._reader.open(instance.location) as stream:
            head = part10.read_head(stream)
            stream.seek(len(part10.file_meta(instance.arrival)))
            if breaks_off(stream, instance.arrival.transfer_syntax_uid):
                raise CannotUnderstand("dataset breaks off: its lengths promise more")
        return head

    def _entries(self, batch: Sequence[Record]) -> list[tuple[Instance, Dataset]]:
        read = [self._read(record.instance) for record in batch]
        return [(arrived.instance, head) for arrived, head in read if head is not None]


def file_key(instance: Instance, head: Dataset) -> SeriesKey:
    """Say where an object belongs, by its own head.

    Raises CannotUnderstand when its UIDs are missing or unusable, DoesNotMatch when the head
    names another object than the C-STORE command did (PS3.4 B.2.3).
    """
    found = {
        keyword: part10.text(head, keyword)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    }
    for keyword, value in found.items():
        if not is_storable(value):
            words = f"{keyword} is {'not usable as a UID' if value else 'missing'}"
            raise CannotUnderstand(words)
    if found["SOPInstanceUID"] != instance.arrival.sop_instance_uid:
        raise DoesNotMatch("SOPInstanceUID differs between the C-STORE command and the dataset")
    return SeriesKey(found["StudyInstanceUID"], found["SeriesInstanceUID"])


def _reached(batch: Sequence[Record]) -> dict[str, int]:
    return {record.instance.location.segment: record.end for record in batch}
