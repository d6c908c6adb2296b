"""Find stored Instances and open their bytes, for whoever retrieves: C-MOVE, C-GET, DICOMweb."""

from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from dicom.entity import Instance, SeriesKey
from dicom.selection import Selection, Stored
from storage.index.database import Index
from storage.ledger.holdings import Holdings
from storage.spool.reader import SpoolReader


class Originals:
    """What the node holds, for questions; safe to share between threads."""

    def __init__(
        self,
        index: Index,
        reader: SpoolReader,
        holdings: Holdings,
        clock: Callable[[], float],
    ) -> None:
        self._index = index
        self._reader = reader
        self._holdings = holdings
        self._clock = clock

    def find(self, which: Selection) -> list[Stored]:
        """List what a selection names, in the order of Series and InstanceNumber.

        Raises StorageFault.
        """
        return self._index.instances(which)

    def note_asked(self, stored: Iterable[Stored]) -> None:
        """Note that somebody wants these, so that retention keeps them longer than others."""
        keys = {SeriesKey(one.study_instance_uid, one.series_instance_uid) for one in stored}
        for key in keys:
            self._holdings.asked(key, self._clock())

    def open(self, instance: Instance) -> BinaryIO:
        """Open its Part 10 bytes as a seekable stream of the caller's own.

        Raises Corrupt, or another StorageFault, where they cannot be had.
        """
        return self._reader.open(instance.location)

    def chunks(self, instance: Instance) -> Sequence[memoryview]:
        """Give its Part 10 bytes, mapped where they lie in the clear; see `SpoolReader.view`."""
        return [self._reader.view(instance.location)]
