"""Take over what a dead writer left: keep every whole record, cut the torn tail, seal."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dicom.errors import StorageFault
from storage.spool.record import Record
from storage.spool.scan import is_intact, walk
from storage.spool.segment import OPEN, seal, segments


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found in segments that were not sealed."""

    segments: int = 0
    records: int = 0
    """Whole records, kept."""
    bytes_cut: int = 0
    """Written, never acknowledged, and cut; room that was only taken ahead does not count."""
    damaged: int = 0
    """Records or gaps that are not whole though later ones are: kept, reported, not followed."""

    def plus(self, other: "Recovered") -> "Recovered":
        """Add two reports."""
        return Recovered(
            self.segments + other.segments,
            self.records + other.records,
            self.bytes_cut + other.bytes_cut,
            self.damaged + other.damaged,
        )


def recover(root: Path) -> Recovered:
    """Seal every open segment whose writer is dead; those of the living are left alone.

    Raises StorageFault when the disk fails, or on a newer version's records.
    """
    report = Recovered()
    for name in sorted(name for name, suffix in segments(root) if suffix == OPEN):
        with _taken_over(root, name) as fd:
            if fd is not None:
                report = report.plus(_recover(root, name, fd))
    return report


@contextlib.contextmanager
def _taken_over(root: Path, name: str) -> Iterator[int | None]:
    """Open and lock a segment; None when somebody holds it, or sealed it just now."""
    path = root / (name + OPEN)
    try:
        fd = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = os.path.samestat(path.stat(), os.fstat(fd))
        except (BlockingIOError, FileNotFoundError):
            is_ours = False
        yield fd if is_ours else None
    finally:
        os.close(fd)


def _recover(root: Path, name: str, fd: int) -> Recovered:
    try:
        size_bytes = os.fstat(fd).st_size
        end, records, damaged = _survey(fd, name, size_bytes)
        cut = _last_byte(fd, end, size_bytes) - end
        os.ftruncate(fd, end)
        seal(root, name, fd, end)
    except OSError as fault:
        raise StorageFault(f"segment {name} cannot be recovered: {fault.strerror}") from fault
    return Recovered(1, records, cut, damaged)


def _survey(fd: int, name: str, size_bytes: int) -> tuple[int, int, int]:
    """Return the end of the last whole record, how many are whole, and the damage before it."""
    end = records = damaged = unsure = 0
    for found in walk(fd, name, 0, size_bytes):
        if isinstance(found, Record) and is_intact(fd, found):
            end, records = found.end, records + 1
            damaged, unsure = damaged + unsure, 0
        else:
            unsure += 1
    return end, records, damaged


def _last_byte(fd: int, start: int, size_bytes: int) -> int:
    """Find the end of what was written in a range that may be followed by untouched zeros."""
    step = 1 << 20
    end = size_bytes
    while end > start:
        begin = max(start, end - step)
        window = os.pread(fd, end - begin, begin).rstrip(b"\0")
        if window:
            return begin + len(window)
        end = begin
    return start
