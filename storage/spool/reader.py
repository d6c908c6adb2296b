"""Read Instances back from the spool, in any process: as a stream, or mapped without a copy."""

import hashlib
import io
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from dicom.entity import Instance, Location
from dicom.errors import Corrupt
from storage.spool.record import Record, checksum_of
from storage.spool.scan import digest_at
from storage.spool.segment import open_segment

if TYPE_CHECKING:  # exists for type checkers only
    from _typeshed import WriteableBuffer

BUFFER_BYTES: Final = 32 << 10
"""Holds the head of most objects, so that it is one read."""


class _Window(io.RawIOBase):
    """A range of an open segment as a file of its own; closes the descriptor with itself."""

    def __init__(self, fd: int, location: Location) -> None:
        self._name = location.segment
        super().__init__()
        self._fd = fd
        self._location = location
        self._position = 0

    @property
    def name(self) -> str:
        """The segment; readers of files (pydicom) ask for a name."""
        return self._name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._location.length}
        position = base[whence] + offset
        if position < 0:
            raise ValueError("negative seek position")
        self._position = position
        return position

    def readinto(self, target: "WriteableBuffer", /) -> int:
        left = max(0, self._location.length - self._position)
        view = memoryview(target).cast("B")[:left]
        try:
            count = os.preadv(self._fd, [view], self._location.offset + self._position)
        except OSError as fault:
            raise Corrupt(f"{_where(self._location)} cannot be read: {fault.strerror}") from fault
        self._position += count
        return count

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


class SpoolReader:
    """Opens places in a spool's folder. Safe to share between threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._maps: weakref.WeakValueDictionary[str, mmap.mmap] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def open(self, location: Location) -> BinaryIO:
        """Open an Instance's Part 10 bytes as a seekable stream with a descriptor of its own.

        Raises Corrupt when its segment is missing or ends before them.
        """
        fd = self._open(location)
        return io.BufferedReader(_Window(fd, location), BUFFER_BYTES)

    def view(self, location: Location) -> memoryview:
        """Map an Instance's Part 10 bytes, read-only; the mapping ends with its last view.

        Views of one segment share one mapping and one descriptor, so that a Series of thousands
        can be held. Check first with `verify`: a disk that fails under a mapping kills the
        process. Raises Corrupt as `open` does.
        """
        if not location.length:
            return memoryview(b"")
        end = location.offset + location.length
        with self._lock:
            mapped = self._maps.get(location.segment)
            if mapped is None or len(mapped) < end:
                with self._opened(location) as fd:
                    mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
                self._maps[location.segment] = mapped
        return memoryview(mapped)[location.offset : end]

    def identify(self, record: Record) -> Instance:
        """Read a record whole, and give its Instance, with the digest of the bytes.

        Raises Corrupt unless they are the bytes that were written.
        """
        whole = self.view(record.location)
        if checksum_of(whole) != record.checksum:
            raise Corrupt(f"{_where(record.location)} does not match its checksum")
        digest = hashlib.sha256(whole).hexdigest()
        return Instance(record.arrival, record.location, digest)

    def verify(self, instance: Instance) -> None:
        """Read an Instance whole. Raises Corrupt unless its bytes are those that were received."""
        location = instance.location
        with self._opened(location) as fd:
            try:
                found = digest_at(fd, location)
            except OSError as fault:
                raise Corrupt(f"{_where(location)} cannot be read: {fault.strerror}") from fault
        if found != instance.digest:
            uid = instance.arrival.sop_instance_uid
            raise Corrupt(f"{uid}: {_where(location)} does not match its digest")

    def _open(self, location: Location) -> int:
        try:
            fd = open_segment(self.root, location.segment)
        except OSError as fault:
            raise Corrupt(
                f"segment {location.segment} cannot be opened: {fault.strerror};"
                " restore it from a backup, or ask the sender again"
            ) from fault
        if os.fstat(fd).st_size < location.offset + location.length:
            os.close(fd)
            raise Corrupt(f"{_where(location)}: the segment ends before it")
        return fd

    @contextmanager
    def _opened(self, location: Location) -> Iterator[int]:
        fd = self._open(location)
        try:
            yield fd
        finally:
            os.close(fd)


def _where(location: Location) -> str:
    return f"segment {location.segment} at {location.offset}"
