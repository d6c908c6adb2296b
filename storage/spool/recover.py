"""Take over what a dead writer left: keep every whole record, cut the torn tail, seal.

Only what was written last can have been on its way. What else is not whole was acknowledged, for
another record was begun behind it: that is damage, and stays where it is. The tail itself is put
aside as NAME.torn where a record may have been finished in it: a torn one and one that the disk
spoilt afterwards look the same.
"""

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from dicom.errors import StorageFault
from storage.spool.record import PREFIX_BYTES, Record
from storage.spool.scan import WINDOW_BYTES, is_intact, walk
from storage.spool.segment import OPEN, seal, segments, sync_directory, write_all

TORN: Final = ".torn"
"""What recovery cut from the end of segment NAME, byte for byte, is NAME.torn."""

_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recovered:
    """What recovery found in segments that were not sealed."""

    segments: int = 0
    records: int = 0
    """Whole records, kept."""
    bytes_cut: int = 0
    """Written, never acknowledged, and cut; room that was only taken ahead does not count."""
    damaged: int = 0
    """Records or gaps that are not whole though others were begun behind them: kept, reported."""

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
        written = _last_byte(fd, 0, os.fstat(fd).st_size)
        end, records, damaged = _survey(fd, name, os.fstat(fd).st_size, written)
        cut = max(0, written - end)
        if cut and not _put_aside(root, name, fd, end, written):
            end, cut, damaged = written, 0, damaged + 1
        os.ftruncate(fd, end)
        seal(root, name, fd, end)
    except OSError as fault:
        raise StorageFault(f"segment {name} cannot be recovered: {fault.strerror}") from fault
    return Recovered(1, records, cut, damaged)


def _survey(fd: int, name: str, size_bytes: int, written: int) -> tuple[int, int, int]:
    """Return where the torn tail begins, how many records are whole, and the damage before it.

    Behind `written` there are zeros only: room that was taken ahead.
    """
    end = records = damaged = 0
    unsure: int | None = None  # where the last piece that is not whole begins
    for found in walk(fd, name, 0, size_bytes):
        start, end = end, found.end
        if start >= written:
            end = start
            break
        damaged += unsure is not None
        if isinstance(found, Record) and is_intact(fd, found):
            records, unsure = records + 1, None
        else:
            unsure = start
    return end if unsure is None else unsure, records, damaged


def _put_aside(root: Path, name: str, fd: int, start: int, end: int) -> bool:
    """Keep a copy of a tail in which a record may have been finished; False for want of room.

    A record's prefix is written last, or together with all of it: where there is none, nobody
    ever heard Success.
    """
    if not os.pread(fd, PREFIX_BYTES, start).strip(b"\0"):
        return True
    aside = root / (name + TORN)
    try:
        _copy(fd, start, end, aside)
    except OSError as fault:
        if fault.errno not in _NO_ROOM:
            raise
        aside.unlink(missing_ok=True)
        log.error("torn tail left in its segment for want of room", segment=name, start=start)
        return False
    sync_directory(root)
    log.warning("torn tail put aside", segment=name, start=start, bytes=end - start)
    return True


def _copy(fd: int, start: int, end: int, to: Path) -> None:
    copy = os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        for at in range(start, end, WINDOW_BYTES):
            write_all(copy, (os.pread(fd, min(WINDOW_BYTES, end - at), at),), at - start)
        os.fsync(copy)
    finally:
        os.close(copy)


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
