"""What of the log is committed, and a bell for whoever follows it.

Positions are published by this process's recordings after their sync, and found in the folder
for segments that worker processes sealed.
"""

import contextlib
import os
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from storage.spool.record import Record
from storage.spool.scan import Gap, walk
from storage.spool.segment import SEALED, open_segment, segments

LOOK_EVERY_S: Final = 0.2

log = structlog.get_logger()


class Publication:
    """The committed end of every segment. Any thread publishes, one follows."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ends: dict[str, int] = {}
        self._unread: dict[str, array[int]] = {}
        """Where records of this process's segments end; those that were followed leave."""
        self._lock = threading.Lock()
        self._news = threading.Event()
        self._looked_at_s = float("-inf")
        self.published_at_s = float("-inf")
        """When something was last published, by the monotonic clock."""
        self._seen: tuple[int, bool] = (-1, False)
        """The folder's time of change at the last look, and whether the look before saw it too."""

    def publish(self, segment: str, end: int) -> None:
        """Announce that one record more of a segment of ours, up to `end`, is on disk for good.

        Before its first record a segment is announced with 0.
        """
        with self._lock:
            if self._ends.get(segment) == end:
                return
            self._ends[segment] = end
            if not end:
                return
            self._unread.setdefault(segment, array("Q")).append(end)
        self._ring()

    def _ring(self) -> None:
        self.published_at_s = time.monotonic()
        if not self._news.is_set():
            self._news.set()

    def forget(self, segment: str) -> None:
        """Take back a segment that was removed."""
        with self._lock:
            self._ends.pop(segment, None)
            self._unread.pop(segment, None)

    def usage(self) -> tuple[int, int]:
        """Return the bytes of all records, and the number of segments that hold any."""
        with self._lock:
            ends = [end for end in self._ends.values() if end]
        return sum(ends), len(ends)

    def look(self) -> None:
        """Look for segments that other processes sealed; cheap when the folder did not change."""
        self._looked_at_s = time.monotonic()
        changed_ns = self._root.stat().st_mtime_ns
        # Two changes within one tick of the file system's clock leave the same time: only a
        # time that an earlier look has already met is proof that nothing happened since.
        seen_ns, is_certain = self._seen
        if changed_ns == seen_ns and is_certain:
            return
        self._seen = (changed_ns, changed_ns == seen_ns)
        for name, suffix in segments(self._root):
            if suffix == SEALED and name not in self._ends:
                with contextlib.suppress(FileNotFoundError):  # somebody removed it just now
                    size_bytes = (self._root / (name + SEALED)).stat().st_size
                    with self._lock:
                        self._ends[name] = size_bytes
                    self._ring()

    def wait(self, timeout_s: float) -> bool:
        """Wait until something was published since `records` was last asked."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._look_if_due()
            left_s = deadline_s - time.monotonic()
            if self._news.wait(max(0.0, min(left_s, LOOK_EVERY_S))):
                return True
            if left_s <= LOOK_EVERY_S:
                return False

    def records(self, after: Mapping[str, int]) -> Iterator[Record]:
        """Yield the committed records behind the given positions, by segment name, then place."""
        self._look_if_due()
        self._news.clear()  # before the snapshot: news in between rings again
        for name, start, end in self._behind(after):
            yield from self._read(name, start, end)

    def followed(self, reached: Mapping[str, int]) -> None:
        """Take note of the ends up to which records were followed, once and for all."""
        with self._lock:
            for name in self._unread.keys() & reached.keys():
                ends = self._unread[name]
                del ends[: bisect_right(ends, reached[name])]
                if not ends:
                    del self._unread[name]

    def count(self, after: Mapping[str, int], most: int) -> int:
        """Count what `records` would yield, up to a bound; from any thread, and rings no bell.

        No position may lie before one that `followed` was told of.
        """
        counted = 0
        for name, start, end in self._behind(after):
            with self._lock:
                ours = self._unread.get(name)
                count = None if ours is None else len(ours) - bisect_right(ours, start)
            if count is None:  # of another process, or from before this one
                count = self._count(name, start, end, most - counted)
            counted += count
            if counted >= most:
                return most
        return counted

    def _count(self, name: str, start: int, end: int, most: int) -> int:
        try:
            fd = open_segment(self._root, name)
        except FileNotFoundError:
            return 0  # `records` reports it
        try:
            records = (one for one in walk(fd, name, start, end) if isinstance(one, Record))
            return sum(1 for _ in islice(records, most))
        finally:
            os.close(fd)

    def _behind(self, after: Mapping[str, int]) -> list[tuple[str, int, int]]:
        """Give the stretches behind the given positions: segment, start, end."""
        with self._lock:
            ends = sorted(self._ends.items())
        starts = ((name, after.get(name, 0), end) for name, end in ends)
        return [(name, start, end) for name, start, end in starts if end > start]

    def _look_if_due(self) -> None:
        if time.monotonic() - self._looked_at_s >= LOOK_EVERY_S:
            self.look()

    def _read(self, name: str, start: int, end: int) -> Iterator[Record]:
        try:
            fd = open_segment(self._root, name)
        except FileNotFoundError:
            log.error("segment missing", segment=name)
            self.forget(name)
            return
        try:
            for found in walk(fd, name, start, end):
                if isinstance(found, Gap):
                    self._pass_over(name, found, end)
                else:
                    yield found
        finally:
            os.close(fd)

    def _pass_over(self, name: str, gap: Gap, end: int) -> None:
        """Report damage once: nobody's position can move behind a gap that ends a segment."""
        log.error("segment damaged", segment=name, start=gap.start, bytes=gap.end - gap.start)
        if gap.end == end:
            with self._lock:
                if self._ends.get(name) == end:
                    self._ends[name] = gap.start
