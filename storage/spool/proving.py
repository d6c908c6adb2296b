"""Prove small objects as they are read, one after another, with few calls and nothing decoded.

Whoever retrieves a Series proves a thousand objects of half a megabyte each: to open a segment
for each, and to read what its record says beside its checksum, would take longer than the proof.
"""

import mmap
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from dicom.entity import Instance, Location
from dicom.errors import Corrupt, StorageFault
from storage.spool.record import LIKELY_BYTES, Record, checksum_of, plain_checksum, record_in
from storage.spool.window import unreadable, where

WHOLE_BYTES: Final = 1 << 20
"""An object that is no longer is proven and given as one piece, mapped among its neighbours or read
at once; a longer one is proven piece by piece, and mapped then."""
_MADV_POPULATE_READ: Final = 22
"""Of Linux 5.14; Python 3.11 has no name for it."""


class Opening(Protocol):
    """Whoever finds segments; SpoolReader."""

    def descriptor(self, location: Location) -> tuple[int, Location]:
        """Open the segment that holds an object now, and say where in it."""

    def proven(self, instance: Instance) -> memoryview:
        """Give an Instance's Part 10 bytes, however they are stored, once they are proven."""


def proven(reader: Opening, instances: Sequence[Instance]) -> Iterator[memoryview | StorageFault]:
    """Give the Part 10 bytes of each Instance as `SpoolReader.proven` does, or why it cannot be.

    Small ones that lie side by side, as those of a Series do, are mapped together: what they take
    is given back when none of them is held any more.
    """
    at = 0
    while at < len(instances):
        together = instances[at : at + _side_by_side(instances, at)]
        window = _window(reader, together[0].location, together[-1].location)
        for one in together:
            yield _given(reader, one, window)
        at += len(together)


def _side_by_side(instances: Sequence[Instance], at: int) -> int:
    """Count those from `at` on that lie in one segment, next to nothing between them."""
    count, last = 1, instances[at].location
    if last.length > WHOLE_BYTES:
        return count
    for one in instances[at + 1 :]:
        here, end = one.location, last.offset + last.length
        if (here.segment, here.node) != (last.segment, last.node) or here.length > WHOLE_BYTES:
            break
        if not end < here.offset <= end + LIKELY_BYTES:
            break
        count, last = count + 1, here
    return count


@dataclass(frozen=True, slots=True)
class _Window:
    """Part of a segment, as it is now."""

    start: int
    view: memoryview


def _window(reader: Opening, first: Location, last: Location) -> _Window | None:
    """Map objects and the record before the first; they are copied nowhere.

    None where they are not to be proven so, were moved, or where the kernel does not map them, or
    the disk does not give them.
    """
    if first.length > WHOLE_BYTES:
        return None
    try:
        fd, here = reader.descriptor(first)
    except StorageFault:
        return None  # each object's own fault is told by the reader
    try:
        if here != first:
            return None
        start = max(0, first.offset - LIKELY_BYTES) // mmap.ALLOCATIONGRANULARITY
        start *= mmap.ALLOCATIONGRANULARITY
        length = last.offset + last.length - start
        mapped = mmap.mmap(fd, length, access=mmap.ACCESS_READ, offset=start)
        # Says whether all can be read: to touch what cannot be would kill the process.
        mapped.madvise(_MADV_POPULATE_READ)
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
    return _Window(start, memoryview(mapped))


def _given(
    reader: Opening, instance: Instance, window: _Window | None
) -> memoryview | StorageFault:
    here = instance.location
    try:
        if window is not None:
            offset = here.offset - window.start
            before = window.view[max(0, offset - LIKELY_BYTES) : offset]
            whole = _own(before, window.view[offset : offset + here.length], instance, here)
            if whole is not None:
                return whole
        return reader.proven(instance)
    except StorageFault as fault:
        return fault


def read_whole(fd: int, instance: Instance, here: Location) -> memoryview | None:
    """Read an object and its record at once, and prove it.

    None where that is not enough: it is sealed, the record is long, or the file too short. Raises
    Corrupt where it is not what was written, or not the Instance's.
    """
    back = min(here.offset, LIKELY_BYTES)
    try:
        read = memoryview(os.pread(fd, back + here.length, here.offset - back))
    except OSError as fault:
        raise unreadable(here, fault) from fault
    return _own(read[:back], read[back:], instance, here)


def _own(
    before: memoryview, body: memoryview, instance: Instance, here: Location
) -> memoryview | None:
    """Give a body that is what its record says, and the Instance's; see `read_whole`."""
    facts = bytes(before)
    expected = plain_checksum(facts, here, instance.arrival.sop_instance_uid)
    if expected is not None and checksum_of(body) == expected:
        return body
    record = record_in(facts, here)  # in whichever form it was written
    if record is None or record.key_id or len(body) < here.length:
        return None
    require_own(instance, record if checksum_of(body) == record.checksum else None, here)
    return body


def require_own(instance: Instance, intact: Record | None, here: Location) -> None:
    """Raise Corrupt unless an intact record was found, and is the Instance's."""
    uid = instance.arrival.sop_instance_uid
    if intact is None or intact.arrival.sop_instance_uid != uid:
        raise Corrupt(f"{uid}: {where(here)} does not match its checksum")
