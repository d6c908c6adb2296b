"""One object on its way to disk: bytes in, one sync, and then a fact.

Bytes gather in the segment's buffer and go to disk when it is full, so that memory stays flat.
The prefix, which makes a record of the bytes, is written last or together with all the others.
With a key the bytes are sealed as they leave the buffer, and lie on disk in no other form.
"""

import os
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

from dicom.entity import Arrival, Location
from dicom.errors import SpoolFull
from storage.spool import record
from storage.spool.crash import crash_point
from storage.spool.sealing import HEADER_BYTES, Seal, SpoolKey
from storage.spool.segment import BUFFER_BYTES, Segment, full, write_all

_PADDING: Final = bytes(record.ALIGNMENT)


class Recording:
    """Writes one record at the end of a segment. One thread uses it.

    As a context manager it abandons what was not committed.
    """

    __slots__ = (
        "_arrival", "_body_at", "_buffer", "_checksum", "_facts", "_filled", "_is_over",
        "_key", "_on_disk", "_release", "_seal", "_segment", "_spilled", "_start",
    )  # fmt: skip

    def __init__(
        self,
        segment: Segment,
        arrival: Arrival,
        facts: bytes,
        release: Callable[[Segment, bool], None],
        key: SpoolKey | None = None,
    ) -> None:
        """`release` gets the segment back, once, and whether it can go on being written."""
        self._segment = segment
        self._arrival = arrival
        self._release = release
        self._start = segment.end
        self._body_at = self._start + record.PREFIX_BYTES + len(facts)
        self._key = key
        self._seal: Seal | None = None
        if key is not None:
            self._body_at += HEADER_BYTES
            self._seal = key.seal(segment.name, self._body_at)
            facts += self._seal.header
        self._facts = facts
        self._buffer = segment.buffer
        self._checksum = record.new_checksum()
        self._filled = 0
        self._spilled = 0
        """Bytes of the object that left the buffer."""
        self._on_disk = 0
        """Bytes that they take; sealed, they are a few more."""
        self._is_over = False

    def room(self, wanted: int) -> memoryview:
        """Give a place for the next bytes: at most as many as wanted, at least one.

        Fill it and call `advance`; nothing is copied in between. Raises SpoolFull.
        """
        self._require_open()
        if self._filled == BUFFER_BYTES:
            try:
                self._spill()
            except OSError as fault:
                self._fail()
                raise full(fault) from fault
            except SpoolFull:
                self._fail()
                raise
        return self._buffer[self._filled : self._filled + wanted]

    def advance(self, count: int) -> None:
        """Count bytes in that now stand at the beginning of the last `room`."""
        self._filled += count

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes, which may change after the call. Raises SpoolFull."""
        left = memoryview(chunk).cast("B")
        while left:
            room = self.room(len(left))
            room[:] = left[: len(room)]
            self.advance(len(room))
            left = left[len(room) :]

    def commit(self) -> record.Record:
        """Return once the object is on disk, synced; it can then be read and followed.

        Raises SpoolFull, and then nothing of it remains.
        """
        self._require_open()
        # Before the write: whoever abandons meanwhile shall not give the segment to another.
        self._is_over = True
        try:
            stored = self._finish()
        except OSError as fault:
            self._fail()
            raise full(fault) from fault
        except BaseException:
            self._fail()
            raise
        self._segment.end = stored.end
        self._release(self._segment, True)
        return stored

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

    def _spill(self) -> None:
        """Write the buffer out, to fill it anew."""
        parts = self._gathered(is_last=False)
        size_bytes = sum(map(len, parts))
        at = self._body_at + self._on_disk
        self._segment.grow(at + size_bytes)
        if not self._on_disk:
            crash_point("before-write")
        write_all(self._segment.fd, parts, at)
        self._on_disk += size_bytes
        self._spilled += self._filled
        self._filled = 0

    def _gathered(self, *, is_last: bool) -> Sequence[bytes | memoryview]:
        """Give what the buffer holds as it shall lie on disk, once: the checksum takes it in."""
        gathered = self._buffer[: self._filled]
        if self._seal is None:
            self._checksum.update(gathered)
            return (gathered,)
        frames = self._seal.frames(gathered, is_last=is_last)
        for frame in frames:
            self._checksum.update(frame)
        return frames

    def _finish(self) -> record.Record:
        """Write what is missing of the record, then sync, once."""
        segment, facts = self._segment, self._facts
        parts = self._gathered(is_last=True)
        length = self._spilled + self._filled
        body_end = self._body_at + self._on_disk + sum(map(len, parts))
        end = record.aligned(body_end)
        checksum = self._checksum.digest()
        flags = record.SEALED if self._seal else 0
        prefix = record.make_prefix(segment.name, self._start, facts, length, checksum, flags=flags)
        tail = (*parts, _PADDING[: end - body_end])
        segment.grow(end)
        if self._on_disk:
            write_all(segment.fd, tail, self._body_at + self._on_disk)
            crash_point("after-write")
            write_all(segment.fd, (prefix, facts), self._start)
            crash_point("after-prefix")
            os.fdatasync(segment.fd)
        else:
            crash_point("before-write")
            # Write and sync in one call: each call more is a turn more in the queue for the
            # interpreter.
            write_all(segment.fd, (prefix, facts, *tail), self._start, os.RWF_DSYNC)
            crash_point("after-write")
            crash_point("after-prefix")
        crash_point("after-sync")
        location = Location(segment.name, self._body_at, length)
        key_id = self._key.id if self._key else ""
        return record.Record(self._arrival, location, checksum, end, key_id)
