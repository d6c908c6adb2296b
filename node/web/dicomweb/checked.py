"""Read stored Instances, and give no byte that is not the one that was received.

An object is read whole and compared with its digest before the first of its bytes goes out. What
is read often, as the frames of one object are, is compared once in a while.
"""

import hashlib
import io
import mmap
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, Generic, TypeVar

from dicom import frames
from dicom.entity import Instance
from dicom.errors import StorageFault
from dicom.frames import Layout
from dicom.selection import Stored
from node.originals import Originals

if TYPE_CHECKING:  # exists for type checkers only
    from _typeshed import WriteableBuffer

PIECE_BYTES: Final = 1 << 20
TRUST_S: Final = 600.0
"""How long an object that was compared is taken for good."""
_MOST: Final = 10_000
_MOST_EXTENTS: Final = 200_000
"""Of all layouts that are kept: some twenty megabytes."""

_MOST_VIEWED_BYTES: Final = 512 << 20
"""Of what was fetched: in files without a name, not in memory."""

Key = TypeVar("Key")
Value = TypeVar("Value")


class Recent(Generic[Key, Value]):
    """What was learned lately, the least recently used forgotten first; for several threads."""

    def __init__(self, most: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self._most = most
        self._weigh = weigh
        self._kept: OrderedDict[Key, Value] = OrderedDict()
        self._weight = 0
        self._lock = threading.Lock()

    def get(self, key: Key) -> Value | None:
        """Give what is known, None where that is nothing."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
            return self._kept.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Keep it, and forget others for it."""
        with self._lock:
            before = self._kept.pop(key, None)
            self._weight += self._weigh(value) - (0 if before is None else self._weigh(before))
            self._kept[key] = value
            while self._weight > self._most:
                _, gone = self._kept.popitem(last=False)
                self._weight -= self._weigh(gone)


class Checked:
    """Safe to share between threads."""

    def __init__(self, originals: Originals, clock: Callable[[], float] = time.monotonic) -> None:
        self._originals = originals
        self._clock = clock
        self._good: Recent[Instance, float] = Recent(_MOST)
        self._lost: Recent[Instance, float] = Recent(_MOST)
        self._views: Recent[Instance, memoryview] = Recent(_MOST_VIEWED_BYTES, len)
        self._layouts: Recent[str, Layout] = Recent(_MOST_EXTENTS, _extents)

    def is_lost(self, instance: Instance) -> bool:
        """Whether it could not be had lately."""
        since = self._lost.get(instance)
        return since is not None and self._clock() - since < TRUST_S

    def pieces(self, instance: Instance) -> Iterator[memoryview]:
        """Give its Part 10 bytes, piece by piece. Raises StorageFault before the first one."""
        with self._noted(instance):
            chunks = self._originals.proven(instance)
        yield from _cut(chunks)

    def ahead(self, stored: Iterable[Stored]) -> Iterator[tuple[Stored, Iterator[memoryview]]]:
        """Give the pieces of many, the next ones read meanwhile. Raises StorageFault."""
        coming = self._originals.ahead(stored)
        try:
            for one, found in coming:
                with self._noted(one.instance):
                    if isinstance(found, StorageFault):
                        raise found
                yield one, _cut(found)
        finally:
            coming.close()

    def whole(self, instance: Instance) -> bytes:
        """Give its Part 10 bytes in one. Raises StorageFault."""
        return b"".join(self.pieces(instance))

    def open(self, instance: Instance) -> BinaryIO:
        """Open its Part 10 bytes to read anywhere in them. Raises StorageFault.

        What lies in the spool is read where it lies, so that a frame costs no more than a frame.
        """
        with self._noted(instance):
            view = self._views.get(instance)
            if view is None and not self._is_trusted(instance):
                view = self._prove(instance)
            if view is not None:
                return io.BufferedReader(_View(view))
            return self._originals.open(instance)

    def extent(self, instance: Instance, first: int, length: int) -> Iterator[bytes]:
        """Give some of its bytes, piece by piece. Raises StorageFault."""
        with self.open(instance) as stream:
            stream.seek(first)
            while length > 0 and (piece := stream.read(min(length, PIECE_BYTES))):
                length -= len(piece)
                yield piece

    def layout(self, instance: Instance) -> Layout:
        """Say where its frames lie. Raises as `dicom.frames.layout`, or StorageFault."""
        found = self._layouts.get(instance.digest)
        if found is None:
            with self.open(instance) as stream:
                found = frames.layout(stream, instance.arrival.transfer_syntax_uid)
            self._layouts.put(instance.digest, found)
        return found

    def _is_trusted(self, instance: Instance) -> bool:
        since = self._good.get(instance)
        return since is not None and self._clock() - since < TRUST_S

    def _prove(self, instance: Instance) -> memoryview | None:
        """Compare it with its digest; give a view where it does not lie in the spool, or not well.

        What was fetched is kept a while: who wants one frame wants the next.
        """
        with self._originals.open(instance) as stream:
            is_good = _digest(stream) == instance.digest
            view = _mapped(stream) if is_good else None
        if not is_good:
            chunks = self._originals.proven(instance)
            view = chunks[0] if len(chunks) == 1 else memoryview(b"".join(chunks))
        if view is None:
            self._good.put(instance, self._clock())
        else:
            self._views.put(instance, view)
        return view

    @contextmanager
    def _noted(self, instance: Instance) -> Iterator[None]:
        try:
            yield
        except StorageFault as fault:
            if not fault.retry:
                self._lost.put(instance, self._clock())
            raise


class _View(io.RawIOBase):
    """Mapped bytes as a file."""

    def __init__(self, view: memoryview) -> None:
        super().__init__()
        self._view = view
        self._at = 0

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; it may lie behind the end."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}
        self._at = base[whence] + offset
        return self._at

    def readinto(self, target: "WriteableBuffer", /) -> int:
        """Read on."""
        into = memoryview(target).cast("B")
        piece = self._view[self._at : self._at + len(into)]
        into[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def _cut(chunks: Iterable[memoryview]) -> Iterator[memoryview]:
    for chunk in chunks:
        for at in range(0, len(chunk), PIECE_BYTES):
            yield chunk[at : at + PIECE_BYTES]


def _digest(stream: BinaryIO) -> str:
    sha = hashlib.sha256()
    while piece := stream.read(PIECE_BYTES):
        sha.update(piece)
    return sha.hexdigest()


def _mapped(stream: BinaryIO) -> memoryview | None:
    """Map a file that was fetched; None for a place in the spool, which has no file of its own."""
    try:
        number = stream.fileno()
    except io.UnsupportedOperation:
        return None
    return memoryview(mmap.mmap(number, 0, access=mmap.ACCESS_READ))


def _extents(layout: Layout) -> int:
    return 1 + (0 if layout.extents is None else sum(map(len, layout.extents)))
