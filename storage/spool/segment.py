"""A segment: one file of the log, its two names, its lock, its growth, and how it is sealed.

While its writer lives it is called NAME.open and locked; sealed it is NAME.seg and never
changes again. Places in the log use NAME alone, so that they stay true over sealing.
"""

import contextlib
import errno
import fcntl
import mmap
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from dicom.errors import SpoolFull, StorageFault
from storage.spool.crash import crash_point

OPEN: Final = ".open"
SEALED: Final = ".seg"
GROWTH_BYTES: Final = 16 << 20
"""Room is taken ahead in such steps, so that segments growing side by side stay in one piece and
the disk says early that it is full. On ext4 it was measured to make syncs no quicker."""
BUFFER_BYTES: Final = 1 << 20
ROOM_CHECK_S: Final = 1.0
"""How old an answer of the disk may be; the front's watch asks it more often than that."""

_UNSUPPORTED: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}
)


def full(fault: OSError) -> SpoolFull:
    """Say that the disk did not take a write or a sync, and why."""
    reason = errno.errorcode.get(fault.errno or 0, "unknown")
    return SpoolFull(f"the spool's disk refuses: {reason} ({os.strerror(fault.errno or 0)})")


def sync_directory(root: Path) -> None:
    """Make creations, renames and removals in a folder last."""
    fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_all(fd: int, parts: Sequence[bytes | memoryview], offset: int, flags: int = 0) -> None:
    """Write the parts one after another at `offset`, in one call where the kernel agrees.

    With os.RWF_DSYNC among the flags they are on disk when it returns, as after a sync.
    """
    left = sum(map(len, parts))
    rest: Sequence[bytes | memoryview] = parts
    while True:
        count = os.pwritev(fd, rest, offset, flags)
        left -= count
        if left == 0:
            return
        if count == 0:
            raise OSError(errno.ENOSPC, "no bytes written")
        offset += count
        rest = tuple(_behind(rest, count))


def _behind(parts: Sequence[bytes | memoryview], count: int) -> Iterator[memoryview]:
    for part in parts:
        if count < len(part):
            yield memoryview(part)[count:]
        count = max(0, count - len(part))


class Room:
    """Keeps the disk's reserve; by itself it asks the file system once a second at most."""

    def __init__(self, root: Path, reserve_bytes: int) -> None:
        self._root = root
        self._reserve_bytes = reserve_bytes
        self._checked_s = float("-inf")
        self._free_bytes = 0

    def free_bytes(self) -> int:
        """Ask how many bytes this user may still write on the spool's disk.

        Raises StorageFault when the disk does not say.
        """
        try:
            free_bytes = shutil.disk_usage(self._root).free
        except OSError as fault:
            raise StorageFault(f"the spool's disk does not answer: {fault.strerror}") from fault
        # `check` then need not ask again: node/watermarks.py asks twice a second.
        self._free_bytes, self._checked_s = free_bytes, time.monotonic()
        return free_bytes

    def check(self) -> None:
        """Raise SpoolFull when less than the reserve is free."""
        if not self._reserve_bytes:
            return
        now_s = time.monotonic()
        if now_s - self._checked_s > ROOM_CHECK_S:
            self.free_bytes()
        self._require(self._free_bytes)

    def grant(self, least_bytes: int, wanted_bytes: int) -> int:
        """Say how much may be taken now: what is wanted, or only the least where room is short.

        Raises SpoolFull when the least would eat into the reserve.
        """
        free_bytes = self.free_bytes()
        self._require(free_bytes - least_bytes)
        return wanted_bytes if free_bytes - wanted_bytes >= self._reserve_bytes else least_bytes

    def _require(self, free_bytes: int) -> None:
        if self._reserve_bytes and free_bytes < self._reserve_bytes:
            raise SpoolFull(
                f"{max(0, free_bytes) >> 20} MB would be free, {self._reserve_bytes >> 20} MB are"
                " kept in reserve: make room, or lower [node] reserve_mb"
            )


class Segment:
    """A segment that this process appends to. It serves one recording at a time."""

    def __init__(self, root: Path, name: str, fd: int, room: Room) -> None:
        self.name = name
        self.fd = fd
        self.end = 0
        """Behind the last committed record."""
        self._root = root
        self._room = room
        self._allocated = 0
        self._buffer: memoryview | None = None

    @classmethod
    def create(cls, root: Path, name: str, room: Room) -> "Segment":
        """Create, lock and publish an empty segment.

        Raises FileExistsError when the name is taken, and OSError when the disk fails.
        """
        if (root / (name + SEALED)).exists():
            raise FileExistsError(name)
        fd = os.open(root / (name + OPEN), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _lock(fd, name)
            sync_directory(root)
        except FileExistsError:
            os.close(fd)
            raise
        except BaseException:
            (root / (name + OPEN)).unlink(missing_ok=True)
            os.close(fd)
            raise
        return cls(root, name, fd, room)

    @property
    def buffer(self) -> memoryview:
        """A place to gather small chunks; costs memory only as far as it was ever filled."""
        if self._buffer is None:
            # A page of it costs memory from its first use on, where a bytearray is all zeroed.
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            self._buffer = memoryview(mmap.mmap(-1, BUFFER_BYTES, flags=flags))
        return self._buffer

    def grow(self, until: int) -> None:
        """Take room up to `until` or beyond. Raises SpoolFull when the reserve would suffer."""
        if until <= self._allocated:
            return
        start = self._allocated
        step_end = -(-until // GROWTH_BYTES) * GROWTH_BYTES
        size_bytes = self._room.grant(until - start, step_end - start)
        try:
            os.posix_fallocate(self.fd, start, size_bytes)
        except OSError as fault:
            if fault.errno not in _UNSUPPORTED:
                raise
            return  # the write itself will tell
        self._allocated = start + size_bytes

    def cut(self) -> None:
        """Drop everything behind the last committed record and give its room back."""
        os.ftruncate(self.fd, self.end)
        self._allocated = self.end

    def seal(self) -> None:
        """Cut, sync and rename; a segment without records is removed. Raises OSError."""
        try:
            self.cut()
            seal(self._root, self.name, self.fd, self.end)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of file and lock, as the death of the process would."""
        os.close(self.fd)
        self._buffer = None


def _lock(fd: int, name: str) -> None:
    fcntl.flock(fd, fcntl.LOCK_EX)
    if os.fstat(fd).st_nlink == 0:  # recovery was quicker, and took it for a dead writer's
        raise FileExistsError(name)


def seal(root: Path, name: str, fd: int, size_bytes: int) -> None:
    """Give a locked segment that was cut to its size its last name, or remove an empty one.

    Raises FileExistsError rather than replace a sealed segment.
    """
    path = root / (name + OPEN)
    if size_bytes == 0:
        path.unlink()
    else:
        os.fsync(fd)
        if (root / (name + SEALED)).exists():
            raise FileExistsError(name + SEALED)
        crash_point("before-rename")
        path.rename(root / (name + SEALED))
    sync_directory(root)
    crash_point("after-rename")


def segments(root: Path) -> Iterator[tuple[str, str]]:
    """List the segments in a folder, in no order: name, and OPEN or SEALED."""
    with contextlib.suppress(FileNotFoundError), os.scandir(root) as entries:
        for entry in entries:
            name, dot, suffix = entry.name.rpartition(".")
            if name and dot + suffix in {OPEN, SEALED}:
                yield name, dot + suffix


def open_segment(root: Path, name: str) -> int:
    """Open a segment for reading under whichever name it has now; returns the descriptor.

    Raises FileNotFoundError when it has none.
    """
    stem = f"{root}{os.sep}{name}"
    for suffix in (SEALED, OPEN):
        with contextlib.suppress(FileNotFoundError):
            return os.open(stem + suffix, os.O_RDONLY)
    return os.open(stem + SEALED, os.O_RDONLY)  # it was sealed between the two looks
