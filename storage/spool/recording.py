"""One object on its way to disk: chunks in, one sync, and then a fact.

Small chunks gather in the segment's buffer; what is larger goes to disk as it comes, so that
memory stays flat. The prefix, which makes a record of the bytes, is written last or together
with all the others.
"""

import hashlib
import os
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from dicom.entity import Arrival, Instance, Location
from dicom.errors import SpoolFull
from storage.spool import record
from storage.spool.crash import crash_point
from storage.spool.segment import BUFFER_BYTES, Segment, full, write_all

PASS_BYTES: Final = 64 << 10
"""Chunks from here on that do not fit the buffer are not copied into it."""

_PADDING: Final = bytes(record.ALIGNMENT)


class Recording:
    """Writes one record at the end of a segment. One thread uses it.

    As a context manager it abandons what was not committed.
    """

    __slots__ = (
        "_arrival", "_body_at", "_facts", "_filled", "_is_over", "_on_disk", "_release",
        "_segment", "_sha", "_start",
    )  # fmt: skip

    def __init__(
        self,
        segment: Segment,
        arrival: Arrival,
        facts: bytes,
        release: Callable[[Segment, bool], None],
    ) -> None:
        """`release` gets the segment back, once, and whether it can go on being written."""
        self._segment = segment
        self._arrival = arrival
        self._facts = facts
        self._release = release
        self._start = segment.end
        self._body_at = self._start + record.PREFIX_BYTES + len(facts)
        self._sha = hashlib.sha256()
        self._filled = 0
        self._on_disk = 0
        self._is_over = False

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes, which may change after the call. Raises SpoolFull."""
        self._require_open()
        data = chunk if isinstance(chunk, bytes) else memoryview(chunk).cast("B")
        self._sha.update(data)
        if self._filled + len(data) > BUFFER_BYTES:
            try:
                data = self._spill(data)
            except OSError as fault:
                self._fail()
                raise full(fault) from fault
            except SpoolFull:
                self._fail()
                raise
        filled = self._filled + len(data)
        self._segment.buffer[self._filled : filled] = data
        self._filled = filled

    def commit(self) -> Instance:
        """Return once the object is on disk, synced; it can then be read and followed.

        Raises SpoolFull, and then nothing of it remains.
        """
        self._require_open()
        try:
            end = self._finish()
        except OSError as fault:
            self._fail()
            raise full(fault) from fault
        except SpoolFull:
            self._fail()
            raise
        location = Location(self._segment.name, self._body_at, self._on_disk + self._filled)
        instance = Instance(self._arrival, location, self._sha.hexdigest())
        self._is_over = True
        self._segment.end = end
        self._release(self._segment, True)
        return instance

    def abandon(self) -> None:
        """Forget the object; may be called more than once, and after commit or a fault."""
        if self._is_over:
            return
        if not self._on_disk:
            self._is_over = True
            self._release(self._segment, True)
            return
        try:
            self._segment.cut()
        except OSError:
            self._fail()
            return
        self._is_over = True
        self._release(self._segment, True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.abandon()

    def _require_open(self) -> None:
        if self._is_over:
            raise ValueError("the recording is over")

    def _fail(self) -> None:
        # After a failed sync the kernel may have dropped what it could not write, and will not
        # say so again: nothing more is trusted to this file, and what was synced before stays.
        self._is_over = True
        self._release(self._segment, False)

    def _spill(self, data: bytes | memoryview) -> bytes | memoryview:
        """Write the buffer, and the data too if large; returns what is still to be buffered."""
        parts = [self._segment.buffer[: self._filled]] if self._filled else []
        passes = len(data) >= PASS_BYTES
        size_bytes = self._filled + (len(data) if passes else 0)
        at = self._body_at + self._on_disk
        self._segment.grow(at + size_bytes)
        if not self._on_disk:
            crash_point("before-write")
        write_all(self._segment.fd, [*parts, data] if passes else parts, at)
        self._on_disk += size_bytes
        self._filled = 0
        return b"" if passes else data

    def _finish(self) -> int:
        """Write what is missing of the record, then sync, once; returns the record's end."""
        segment, facts = self._segment, self._facts
        tail_at = self._body_at + self._on_disk
        length = self._on_disk + self._filled
        end = record.aligned(self._body_at + length)
        prefix = record.make_prefix(segment.name, self._start, facts, length, self._sha.digest())
        tail = (segment.buffer[: self._filled], _PADDING[: end - self._body_at - length])
        segment.grow(end)
        if self._on_disk:
            write_all(segment.fd, tail, tail_at)
            crash_point("after-write")
            write_all(segment.fd, (prefix, facts), self._start)
        else:
            crash_point("before-write")
            write_all(segment.fd, (prefix, facts, *tail), self._start)
            crash_point("after-write")
        crash_point("after-prefix")
        os.fdatasync(segment.fd)
        crash_point("after-sync")
        return end
