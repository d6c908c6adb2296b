"""A range of a segment as a file of its own, plain or sealed."""

import io
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from dicom.entity import Location
from dicom.errors import Corrupt
from storage.spool.sealing import (
    FRAME_BYTES,
    HEADER_BYTES,
    TAG_BYTES,
    Cipher,
    NoKey,
    SpoolKeys,
    frames_of,
    key_id_of,
)

if TYPE_CHECKING:  # exists for type checkers only
    from _typeshed import WriteableBuffer

PLAIN_END: Final = ord("}")
"""The last byte before a plain body: the end of its facts."""


def where(location: Location) -> str:
    """Name a place in words."""
    return f"segment {location.segment} at {location.offset}"


class Window(io.RawIOBase):
    """A plain range of an open segment; closes the descriptor with itself."""

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
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def tell(self) -> int:
        """Give the position in the object."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position; it may lie behind the end."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._location.length}
        position = base[whence] + offset
        if position < 0:
            raise ValueError("negative seek position")
        self._position = position
        return position

    def readinto(self, target: "WriteableBuffer", /) -> int:
        """Read on, as much as comes in one piece. Raises Corrupt."""
        left = max(0, self._location.length - self._position)
        count = self._take(memoryview(target).cast("B")[:left])
        self._position += count
        return count

    def close(self) -> None:
        """Let the descriptor go."""
        if not self.closed:
            os.close(self._fd)
        super().close()

    def _take(self, view: memoryview) -> int:
        """Fill a view from the position on, or its beginning; returns how many bytes."""
        try:
            return os.preadv(self._fd, [view], self._location.offset + self._position)
        except OSError as fault:
            raise unreadable(self._location, fault) from fault


class SealedBody:
    """The frames of a sealed body in an open segment."""

    def __init__(self, fd: int, location: Location, cipher: Cipher) -> None:
        self._fd = fd
        self._location = location
        self._cipher = cipher
        self._frames = frames_of(location.length)

    def frame(self, index: int) -> bytes:
        """Read one frame and open it. Raises Corrupt."""
        start = index * FRAME_BYTES
        size_bytes = min(FRAME_BYTES, self._location.length - start) + TAG_BYTES
        at = self._location.offset + index * (FRAME_BYTES + TAG_BYTES)
        try:
            sealed = os.pread(self._fd, size_bytes, at)
        except OSError as fault:
            raise unreadable(self._location, fault) from fault
        try:
            return self._cipher.open(index, sealed, is_last=index == self._frames - 1)
        except Corrupt as fault:
            raise Corrupt(f"{where(self._location)}: {fault}") from fault

    def frames(self) -> Iterator[bytes]:
        """Open one frame after the other; the last one proves that none is missing."""
        return map(self.frame, range(self._frames))


class SealedWindow(Window):
    """A sealed range of an open segment as a file of what was sealed; one frame is in memory."""

    def __init__(self, fd: int, location: Location, cipher: Cipher) -> None:
        super().__init__(fd, location)
        self._body = SealedBody(fd, location, cipher)
        self._opened = -1, b""

    def _take(self, view: memoryview) -> int:
        if not view:
            return 0
        index, start = divmod(self._position, FRAME_BYTES)
        if self._opened[0] != index:
            self._opened = index, self._body.frame(index)
        found = self._opened[1][start : start + len(view)]
        view[: len(found)] = found
        return len(found)


def header_at(fd: int, location: Location) -> bytes:
    """Read the header of a sealed body; b"" where the body is plain.

    Raises Corrupt where there is neither.
    """
    if location.offset < HEADER_BYTES:
        return b""
    try:
        found = os.pread(fd, HEADER_BYTES, location.offset - HEADER_BYTES)
    except OSError as fault:
        raise unreadable(location, fault) from fault
    if found.endswith(b"}"):
        return b""
    if not key_id_of(found):
        raise Corrupt(f"{where(location)}: no object begins there")
    return found


def cipher_of(header: bytes, location: Location, keys: SpoolKeys) -> Cipher:
    """Find the key of a sealed body. Raises NoKey."""
    try:
        key = keys.named(key_id_of(header))
    except NoKey as fault:
        raise NoKey(f"{where(location)}: {fault}") from fault
    return key.opener(header, location.segment, location.offset)


def unreadable(location: Location, fault: OSError) -> Corrupt:
    """Say that the disk does not give a place back."""
    return Corrupt(f"{where(location)} cannot be read: {fault.strerror}")
