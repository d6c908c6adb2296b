"""Walk the records of a segment, find the way again after damage, and check digests."""

import hashlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dicom.entity import Location
from storage.spool.record import ALIGNMENT, MAGIC, Record, new_checksum, read_record

WINDOW_BYTES: Final = 1 << 20
READ_BYTES: Final = 256 << 10
"""Read at once to be hashed: what the processor's cache holds."""
_own: Final = threading.local()


@dataclass(frozen=True, slots=True)
class Gap:
    """Bytes in a segment that are no record: a torn tail, or damage."""

    start: int
    end: int


def walk(fd: int, segment: str, start: int, limit: int) -> Iterator[Record | Gap]:
    """Yield what lies between two positions, in order; bodies are not read.

    Damage does not hide what comes after it. Raises StorageFault on a newer version's record.
    """
    at = start
    while at < limit:
        record = read_record(fd, segment, at, limit)
        if record is None:
            after = _next_record(fd, segment, at + ALIGNMENT, limit)
            yield Gap(at, after)
            at = after
        else:
            yield record
            at = record.end


def _next_record(fd: int, segment: str, start: int, limit: int) -> int:
    """Find where the next record begins; `limit` when there is none."""
    at = start
    while at < limit:
        # Windows overlap, so that no magic number is cut in two.
        window = os.pread(fd, min(WINDOW_BYTES + len(MAGIC), limit - at), at)
        if len(window) < len(MAGIC):
            return limit
        found = window.find(MAGIC)
        while found >= 0:
            place = at + found
            if place % ALIGNMENT == 0 and read_record(fd, segment, place, limit) is not None:
                return place
            found = window.find(MAGIC, found + 1)
        at += WINDOW_BYTES
    return limit


def digest_at(fd: int, location: Location) -> str:
    """Compute the SHA-256 (hex) of a place; one beyond the end of the file gives another."""
    sha = hashlib.sha256()
    for window in _windows(fd, location.offset, location.length):
        sha.update(window)
    return sha.hexdigest()


def is_intact(fd: int, record: Record) -> bool:
    """Whether a record's bytes, in the open segment, are those that were written."""
    checksum = new_checksum()
    for window in _windows(fd, record.location.offset, record.body_bytes):
        checksum.update(window)
    return checksum.digest() == record.checksum


def _buffer() -> memoryview:
    """Give a buffer that stays: memory that is new each time costs more than the reading."""
    found: memoryview | None = getattr(_own, "buffer", None)
    if found is None:
        found = _own.buffer = memoryview(bytearray(READ_BYTES))
    return found


def _windows(fd: int, offset: int, length: int) -> Iterator[memoryview]:
    """Read a place piece by piece, into the thread's one buffer; ends early where the file does."""
    window = _buffer()
    while length:
        count = os.preadv(fd, [window[:length]], offset)
        if count == 0:
            return
        yield window[:count]
        offset += count
        length -= count
