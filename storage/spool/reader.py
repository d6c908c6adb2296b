"""Read Instances back from the spool, in any process: as a stream, or mapped without a copy.

What is sealed is opened on the way, by keys that whoever made the reader gave it.
"""

import hashlib
import io
import mmap
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from dicom.entity import Instance, Location
from dicom.errors import Corrupt, StorageFault
from storage.spool.forwarding import forwarded
from storage.spool.identity import identity
from storage.spool.proving import WHOLE_BYTES, read_whole, require_own
from storage.spool.record import Record, checksum_of, record_before
from storage.spool.scan import digest_at, is_intact, walk
from storage.spool.sealing import FRAME_BYTES, NO_KEYS, Cipher, SpoolKeys, sealed_bytes
from storage.spool.segment import open_segment
from storage.spool.window import (
    PLAIN_END,
    SealedBody,
    SealedWindow,
    Window,
    cipher_of,
    header_at,
    unreadable,
    where,
)

BUFFER_BYTES: Final = 32 << 10
"""Holds the head of most objects, so that it is one read."""
STRETCH_BYTES: Final = 32 << 20
"""Whoever reads a segment through keeps one mapping for so much of it: to map each small object
anew takes longer than to read it, and what is mapped counts as the process's memory."""


class Elsewhere(StorageFault):
    """The bytes lie in the spool of another node, and nobody staged them."""

    code = "elsewhere"

    def __init__(self, node: str) -> None:
        super().__init__(
            f"its bytes lie in the spool of another node ({node[:8]}): with [staging] in the config"
            " of all nodes, or its objects sent to one node alone, this can be done"
        )


class SpoolReader:
    """Opens places in a spool's folder. Safe to share between threads.

    Wherever it reads, it raises NoKey, which is a Corrupt, for an object that is sealed with a
    key that is not among `keys`.
    """

    def __init__(self, root: Path, keys: SpoolKeys = NO_KEYS) -> None:
        self.root = root
        self.keys = keys
        self._maps: weakref.WeakValueDictionary[tuple[str, int], mmap.mmap] = (
            weakref.WeakValueDictionary()
        )
        self._latest: mmap.mmap | None = None
        self._stretch = "", 0
        self._lock = threading.Lock()

    def is_here(self, location: Location) -> bool:
        """Whether a place is in this spool: a ledger that nodes share knows others' places too."""
        return not location.node or location.node == identity(self.root)

    def open(self, location: Location) -> BinaryIO:
        """Open an Instance's Part 10 bytes as a seekable stream with a descriptor of its own.

        Raises Corrupt when its segment is missing or ends before them, and, while it is read,
        when a frame of a sealed object was changed.
        """
        fd, cipher, location = self._open(location)
        window = Window(fd, location) if cipher is None else SealedWindow(fd, location, cipher)
        return io.BufferedReader(window, BUFFER_BYTES)

    def view(self, location: Location) -> memoryview:
        """Give an Instance's Part 10 bytes, read-only, as `mapped` does.

        A sealed object is opened into memory, all of it. Raises Corrupt as `open` does, and
        StorageFault where memory does not suffice for that.
        """
        whole = self.mapped(location)
        return self._unsealed(location) if whole is None else whole

    def mapped(self, location: Location) -> memoryview | None:
        """Map an Instance's Part 10 bytes, read-only.

        Views of one stretch of a segment share one mapping and one descriptor, so that a Series
        of thousands can be held; it ends with its last view and, if it is the latest one, when
        another stretch is asked for, so that whoever lets go of views holds little of a segment.
        Check first with `verify`: a disk that fails under a mapping kills the process. None where
        the object is sealed. Raises Corrupt as `open` does.
        """
        if not location.length:
            return memoryview(b"")
        with self._lock:
            mapped, location = self._mapping(location)
        if mapped[location.offset - 1] != PLAIN_END:
            return None
        return memoryview(mapped)[location.offset : _end(location)]

    def let_go(self) -> None:
        """Keep no mapping: a segment that leaves gives its room back when nobody maps it."""
        with self._lock:
            self._latest, self._stretch = None, ("", 0)

    def identify(self, record: Record) -> Instance:
        """Read a record whole, and give its Instance, with the digest of the bytes.

        Raises Corrupt unless they are the bytes that were written.
        """
        location = record.location
        if record.key_id:  # the frames prove more than the checksum could
            digest = self._digest(location)
        else:
            whole = self.view(location)
            if checksum_of(whole) != record.checksum:
                self._latest = None  # a segment restored from a backup is another file
                raise Corrupt(f"{where(location)} does not match its checksum")
            digest = hashlib.sha256(whole).hexdigest()
        return Instance(record.arrival, location, digest)

    def record_at(self, location: Location) -> Record:
        """Find the record of a place, by walking its segment. Raises Corrupt where none is left."""
        fd, place = self.descriptor(location)
        here = replace(place, node="")  # the log knows no nodes
        try:
            for found in walk(fd, here.segment, 0, os.fstat(fd).st_size):
                if isinstance(found, Record) and found.location == here:
                    return found
        finally:
            os.close(fd)
        raise Corrupt(f"{where(location)} is no record any more")

    def verify(self, instance: Instance) -> None:
        """Read an Instance whole. Raises Corrupt unless its bytes are those that were received."""
        location = instance.location
        found = self._digest(location)
        if found != instance.digest:
            uid = instance.arrival.sop_instance_uid
            raise Corrupt(f"{uid}: {where(location)} does not match its digest")

    def proven(self, instance: Instance) -> memoryview:
        """Give an Instance's Part 10 bytes, read-only, once they are what was written.

        Judged by the record's own checksum, or by the frames of a sealed object: a fiftieth of
        what `verify` costs, and as good against a disk. Raises Corrupt as `verify` does.
        """
        location = instance.location
        if location.length <= WHOLE_BYTES and (whole := self._read_whole(instance)) is not None:
            return whole
        with self._opened(location) as (fd, cipher, here):
            if cipher is None:
                try:
                    record = record_before(fd, here)
                    intact = record is not None and is_intact(fd, record)
                except OSError as fault:
                    raise unreadable(here, fault) from fault
                require_own(instance, record if intact else None, here)
        return self.view(location)

    def _read_whole(self, instance: Instance) -> memoryview | None:
        fd, here = self.descriptor(instance.location)
        try:
            return read_whole(fd, instance, here)
        finally:
            os.close(fd)

    def _mapping(self, location: Location) -> tuple[mmap.mmap, Location]:
        """Map an object's segment, or take the mapping that is there; say where in it it lies."""
        stretch = location.segment, location.offset // STRETCH_BYTES
        if stretch != self._stretch:
            self._latest, self._stretch = None, stretch
        mapped = self._maps.get(stretch)
        if mapped is None or min(len(mapped), mapped.size()) < _end(location):
            fd, here = self.descriptor(location)
            try:
                if here != location:  # it was moved: views of the new place share a mapping too
                    return self._mapping(here)
                _require(fd, location, _end(location))
                mapped = mmap.mmap(fd, 0, access=mmap.ACCESS_READ)
            finally:
                os.close(fd)
            self._maps[stretch] = mapped
        self._latest = mapped
        return mapped, location

    def _digest(self, location: Location) -> str:
        """Compute the SHA-256 (hex) of an object. Raises Corrupt where a frame does not open."""
        with self._opened(location) as (fd, cipher, here):
            if cipher is None:
                try:
                    return digest_at(fd, here)
                except OSError as fault:
                    raise unreadable(here, fault) from fault
            sha = hashlib.sha256()
            for frame in SealedBody(fd, here, cipher).frames():
                sha.update(frame)
            return sha.hexdigest()

    def _unsealed(self, location: Location) -> memoryview:
        """Open a sealed object into memory of its own, which goes with its last view."""
        with self._opened(location) as (fd, cipher, here):
            if cipher is None:
                raise Corrupt(f"{where(here)}: no object begins there")
            whole = _memory(here)
            for index, frame in enumerate(SealedBody(fd, here, cipher).frames()):
                whole[index * FRAME_BYTES : index * FRAME_BYTES + len(frame)] = frame
        return memoryview(whole).toreadonly()

    def _open(self, location: Location) -> tuple[int, Cipher | None, Location]:
        """Open an object's segment; say how to open the object, if it is sealed, and its place."""
        fd, here = self.descriptor(location)
        try:
            _require(fd, here, _end(here))
            header = header_at(fd, here)
            if not header:
                return fd, None, here
            _require(fd, here, here.offset + sealed_bytes(here.length))
            return fd, cipher_of(header, here, self.keys), here
        except BaseException:
            os.close(fd)
            raise

    def descriptor(self, location: Location) -> tuple[int, Location]:
        """Open the segment that holds an object now, and say where in it; it may have moved.

        Whoever asks closes the descriptor. Raises Corrupt, and Elsewhere.
        """
        if not self.is_here(location):
            raise Elsewhere(location.node)
        try:
            return open_segment(self.root, location.segment), location
        except FileNotFoundError as fault:
            moved = forwarded(self.root, location)
            if moved is None:
                raise _not_there(location, fault) from fault
            return self.descriptor(moved)
        except OSError as fault:
            raise _not_there(location, fault) from fault

    @contextmanager
    def _opened(self, location: Location) -> Iterator[tuple[int, Cipher | None, Location]]:
        fd, cipher, here = self._open(location)
        try:
            yield fd, cipher, here
        finally:
            os.close(fd)


def _not_there(location: Location, fault: OSError) -> Corrupt:
    return Corrupt(
        f"segment {location.segment} cannot be opened: {fault.strerror}; unless [retention] let"
        " its objects go, restore it from a backup, or ask the sender again"
    )


def _end(location: Location) -> int:
    return location.offset + location.length


def _memory(location: Location) -> mmap.mmap:
    """Take memory for a sealed object: private, so that the process's own limit counts it."""
    try:
        return mmap.mmap(-1, location.length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as fault:
        words = f"{where(location)}: no memory to open {location.length} bytes"
        raise StorageFault(words) from fault


def _require(fd: int, location: Location, end: int) -> None:
    if os.fstat(fd).st_size < end:
        raise Corrupt(f"{where(location)}: the segment ends before it")
