"""Give the room of what was let go back to the disk: remove segments, rewrite some before.

There is one way in which bytes are deleted, and one question before it: does any row of the ledger
need this file? Where the answer is "few", those are copied into a segment of their own first, and
then none does.

Killed at any point, the next start goes on. A copy that the ledger does not know yet is one more
copy of what it knows, and leaves like any other. A file goes only after the ledger has noted that
it may (so that a file that is missing is told from one that left), and that note goes after it.
What is damaged, or holds anything that the ledger does not know, stays for a person.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from dicom.entity import Instance
from dicom.errors import Corrupt
from storage.ledger.intake import is_read
from storage.ledger.places import Place, Places
from storage.spool import compaction, forwarding
from storage.spool.crash import crash_point
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.scan import Gap, walk
from storage.spool.segment import full, open_segment
from storage.spool.spool import Spool

NEEDED_SHARE: Final = 0.5
"""A segment is rewritten when no more of it than this is still needed."""
SPARE_BYTES: Final = 32 << 20
"""So much must be free beside what a copy takes, and stays free for what arrives meanwhile."""
NOTES_S: Final = 86_400.0
"""Who read places from the ledger so long ago has finished, or looks them up again."""
STUCK_S: Final = 3600.0
"""A segment that could not leave is not tried again so soon."""

log = structlog.get_logger()


class Stays(Exception):  # noqa: N818  (no error: the segment is left as it is)
    """Why a segment cannot leave."""


class NotYet(Stays):
    """A segment is so new that not all who follow the log have read it."""


@dataclass(frozen=True, slots=True)
class Burden:
    """A sealed segment, and how much of it is still needed."""

    segment: str
    size_bytes: int
    needed_bytes: int

    @property
    def can_leave(self) -> bool:
        """Whether little enough is needed."""
        return self.needed_bytes <= self.size_bytes * NEEDED_SHARE

    @property
    def gain_bytes(self) -> int:
        """How much room its leaving gives back."""
        return self.size_bytes - self.needed_bytes


class Leaving:
    """Removes and rewrites segments. One thread of the process that owns the spool uses it."""

    def __init__(
        self,
        spool: Spool,
        reader: SpoolReader,
        places: Places,
        indexed: Callable[[], Mapping[str, int]],
        breathe: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`reader` is its own; `indexed` gives the index's position; `breathe` may wait."""
        self._spool = spool
        self._reader = reader
        self._places = places
        self._indexed = indexed
        self._breathe = breathe
        self._stuck: dict[str, float] = {}

    def go_on(self, now: float) -> None:
        """Finish what a killed process began, and forget old notes. Raises StorageFault."""
        for segment in self._places.given_up():
            self._remove(segment)
        forwarding.expire(self._spool.root, now - NOTES_S)

    def burdens(self) -> Iterator[Burden]:
        """Say of each sealed segment how much is needed of it."""
        for segment, size_bytes in self._spool.sealed():
            yield Burden(segment, size_bytes, self._places.needed_bytes(segment))

    def leave(self, burden: Burden, now: float) -> bool:
        """Give a segment's room back; False, with a line in the log, where it has to stay.

        Raises StorageFault when the ledger or the disk fails; all is then as it was, or is
        finished by `go_on`.
        """
        if self._stuck.get(burden.segment, 0.0) > now:
            return False
        try:
            self._leave(burden, now)
        except NotYet:
            return False
        except (Stays, Corrupt) as why:
            self._stuck[burden.segment] = now + STUCK_S
            log.warning("segment stays", segment=burden.segment, words=str(why))
            return False
        finally:
            self._reader.let_go()
        self._stuck.pop(burden.segment, None)
        return True

    def _leave(self, burden: Burden, now: float) -> None:
        segment = burden.segment
        records = self._records(segment)
        rows = {place.location.offset: place for place in self._places.in_segment(segment)}
        needed = _needed(records, rows)
        for record in records:
            if record.location.offset not in rows:
                self._require_spare(record)
        if needed:
            self._move(segment, needed)
        if not self._places.give_up(segment, now):
            raise Stays("something in it is needed again")
        crash_point("given-up")
        self._remove(segment)

    def _records(self, segment: str) -> list[Record]:
        """Read what a segment holds. Raises Stays unless all of it is known to all that follow."""
        try:
            fd = open_segment(self._spool.root, segment)
        except OSError as fault:
            raise Stays(f"it cannot be opened: {fault.strerror}") from fault
        try:
            found = list(walk(fd, segment, 0, os.fstat(fd).st_size))
        except OSError as fault:
            raise Stays(f"it cannot be read: {fault.strerror}") from fault
        finally:
            os.close(fd)
        records = [one for one in found if isinstance(one, Record)]
        if len(records) < len(found):
            gaps = [one for one in found if isinstance(one, Gap)]
            raise Stays(f"it is damaged at {gaps[0].start}: see `penumbra spool verify`")
        end = records[-1].end if records else 0
        if self._places.followed_to(segment) < end or self._indexed().get(segment, 0) < end:
            raise NotYet("not all of it is filed")
        return records

    def _require_spare(self, record: Record) -> None:
        """Raise Stays unless a record that no row points at is one more copy of a known object.

        Where the copy that the ledger points at is damaged, this one takes its place.
        """
        copy = self._reader.identify(record)
        uid = record.arrival.sop_instance_uid
        known = [one for one in self._places.under(uid) if one.digest == copy.digest]
        if not known:
            raise Stays(f"the ledger does not know {uid} at {record.location.offset}")
        first = known[0]
        if not first.is_needed:
            return
        if not self._reader.is_here(first.location):
            raise Stays(f"another node has {uid} too, and both are kept until it leaves there")
        try:
            self._reader.verify(Instance(record.arrival, first.location, first.digest))
        except Corrupt as fault:
            self._places.move({first.location: record.location})
            log.error("damaged object replaced by its second copy", words=str(fault))
            raise Stays("it holds the only sound copy of an object") from fault

    def _move(self, segment: str, needed: Sequence[tuple[Record, str]]) -> None:
        """Copy what is needed, and have ledger and readers know where to."""
        size_bytes = sum(record.body_bytes for record, _ in needed)
        if self._spool.free_bytes() < size_bytes + SPARE_BYTES:
            raise Stays(f"there is no room to copy the {size_bytes >> 20} MB that are needed")
        moved = compaction.copy(self._reader, segment, needed, self._breathe)
        crash_point("copied")
        try:
            forwarding.note(self._spool.root, segment, moved)
        except OSError as fault:
            raise full(fault) from fault
        crash_point("noted")
        self._places.move(moved)
        crash_point("moved")

    def _remove(self, segment: str) -> None:
        self._spool.remove(segment)
        self._places.forget(segment)
        crash_point("forgotten")


def _needed(records: Sequence[Record], rows: Mapping[int, Place]) -> list[tuple[Record, str]]:
    """Pair the records that are needed with their digests. Raises Stays where one is missing."""
    wanted = {offset: row.digest for offset, row in rows.items() if row.is_needed}
    places = ((one, one.location.offset) for one in records)
    needed = [(one, wanted[offset]) for one, offset in places if offset in wanted]
    if len(needed) < len(wanted):
        raise Stays("an object of the ledger is not where it should be")
    for record, digest in needed:
        if not is_read(digest):
            uid = record.arrival.sop_instance_uid
            raise Stays(f"{uid} could not be read when it came, and is held")
    return needed
