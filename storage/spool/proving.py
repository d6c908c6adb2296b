"""Prove small objects as they are read, one after another, with few calls and nothing decoded.

Whoever retrieves a Series proves a thousand objects of half a megabyte each: to open a segment
for each, and to read what its record says beside its checksum, would take longer than the proof.
"""

import mmap
import os
from typing import Final, Protocol

from dicom.entity import Instance, Location
from dicom.errors import Corrupt
from storage.spool.record import LIKELY_BYTES, Record, checksum_of, plain_checksum, record_in
from storage.spool.window import unreadable, where

WHOLE_BYTES: Final = 1 << 20
"""An object that is no longer is read to be proven, and given as it was read: that is cheaper than
to map what was proven, and these very bytes were. A longer one is mapped."""
_MADV_POPULATE_READ: Final = 22
"""Of Linux 5.14; Python 3.11 has no name for it."""


class Opening(Protocol):
    """Whoever finds segments; SpoolReader."""

    def descriptor(self, location: Location) -> tuple[int, Location]:
        """Open the segment that holds an object now, and say where in it."""

    def proven(self, instance: Instance) -> memoryview:
        """Give an Instance's Part 10 bytes, however they are stored, once they are proven."""


class Run:
    """Proves a few objects, one after another; keeps their segments open until it is closed.

    For one thread, and not for long: a segment that is removed meanwhile gives its room back when
    nobody has it open.
    """

    def __init__(self, reader: Opening) -> None:
        self._reader = reader
        self._open: dict[tuple[str, str], int] = {}
        """Descriptors by node and segment."""

    def proven(self, instance: Instance) -> memoryview:
        """Give an Instance's Part 10 bytes as `SpoolReader.proven` does, and raise as it does."""
        if instance.location.length <= WHOLE_BYTES:
            fd = self._segment(instance.location)
            whole = None if fd is None else _map_whole(fd, instance, instance.location)
            if whole is not None:
                return whole
        return self._reader.proven(instance)

    def close(self) -> None:
        """Close all segments. May be called twice."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _segment(self, location: Location) -> int | None:
        """Give the descriptor of an object's segment; None where the object was moved."""
        key = location.node, location.segment
        fd = self._open.get(key)
        if fd is None:
            fd, here = self._reader.descriptor(location)
            if here != location:
                os.close(fd)
                return None
            self._open[key] = fd
        return fd


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


def _map_whole(fd: int, instance: Instance, here: Location) -> memoryview | None:
    """Map an object and its record, and prove it as `read_whole` does: it is copied nowhere.

    None also where the kernel does not map it, or the disk does not give it.
    """
    start = max(0, here.offset - LIKELY_BYTES) // mmap.ALLOCATIONGRANULARITY
    start *= mmap.ALLOCATIONGRANULARITY
    offset = here.offset - start
    try:
        mapped = mmap.mmap(fd, offset + here.length, access=mmap.ACCESS_READ, offset=start)
        # Says whether all can be read: to touch what cannot be would kill the process.
        mapped.madvise(_MADV_POPULATE_READ)
    except (OSError, ValueError):
        return None
    whole = memoryview(mapped)
    return _own(whole[max(0, offset - LIKELY_BYTES) : offset], whole[offset:], instance, here)


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
