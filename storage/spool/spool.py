"""The spool: where associations append Instances, and from where the ledger follows them."""

import contextlib
import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import structlog

from dicom.entity import Arrival
from dicom.errors import StorageFault
from storage.spool.crash import crash_point
from storage.spool.publication import Publication
from storage.spool.record import Record, encode_facts
from storage.spool.recording import Recording
from storage.spool.recover import Recovered, recover
from storage.spool.sealing import SpoolKey
from storage.spool.segment import SEALED, Room, Segment, full, segments, sync_directory

LOCK_NAME: Final = "lock"
_RUN_DIGITS: Final = 12

log = structlog.get_logger()


class Spool:
    """A folder of segments that one front owns.

    As many segments are open as there were recordings at the same time; each serves one at a
    time, so that a sync never waits for another object's bytes.
    """

    def __init__(
        self, root: Path, lock_fd: int, run: str, recovered: Recovered, *,
        segment_bytes: int, reserve_bytes: int, key: SpoolKey | None,
    ) -> None:  # fmt: skip
        """Use `Spool.open`."""
        self.root = root
        self.recovered = recovered
        self._lock_fd = lock_fd
        self._run = run
        self._segment_bytes = segment_bytes
        self._key = key
        self._room = Room(root, reserve_bytes)
        self._publication = Publication(root)
        self._publication.look()
        self._lock = threading.Lock()
        self._idle: list[Segment] = []
        self._created = 0
        self._is_closed = False

    @classmethod
    def open(
        cls,
        root: Path,
        *,
        segment_bytes: int,
        reserve_bytes: int,
        key: SpoolKey | None = None,
        clock: Callable[[], float] = time.time,
    ) -> Self:
        """Own the spool in a folder, made if need be; recover what dead writers left.

        A segment is sealed when it holds `segment_bytes` or more. New objects are refused while
        less than `reserve_bytes` of the disk are free. With a `key` they are sealed; what is there
        already stays as it is. Raises StorageFault when another process owns the spool, the disk
        fails, or a newer version wrote it.
        """
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock_fd = _own(root)
        except OSError as fault:
            raise StorageFault(f"the spool {root} cannot be opened: {fault.strerror}") from fault
        try:
            recovered = recover(root)
            run = _unused_run(root, clock())
            spool = cls(
                root, lock_fd, run, recovered,
                segment_bytes=segment_bytes, reserve_bytes=reserve_bytes, key=key,
            )  # fmt: skip
        except BaseException:
            os.close(lock_fd)
            raise
        if recovered.segments:
            tell = log.error if recovered.damaged else log.warning
            tell(
                "spool recovered",
                segments=recovered.segments,
                records=recovered.records,
                bytes_cut=recovered.bytes_cut,
                damaged=recovered.damaged,
            )
        return spool

    def begin(self, arrival: Arrival) -> Recording:
        """Make room for one object. Raises SpoolFull."""
        self._room.check()
        facts = encode_facts(arrival)
        with self._lock:
            if self._is_closed:
                raise StorageFault("the spool is closed")
            segment = self._idle.pop() if self._idle else None
        return Recording(segment or self._create(), arrival, facts, self._release, self._key)

    def records(self, after: Mapping[str, int]) -> Iterator[Record]:
        """Yield committed records behind the given end per segment, by segment name, then place.

        A segment that is not named is read from its beginning. Bodies are not read. Damage and
        missing segments are logged once and passed over. Raises StorageFault when the disk fails.
        """
        try:
            yield from self._publication.records(after)
        except OSError as fault:
            raise StorageFault(f"the spool cannot be read: {fault.strerror}") from fault

    def count(self, after: Mapping[str, int], most: int) -> int:
        """Count the committed records behind the given end per segment, up to a bound.

        No end may lie before one that `followed` was told of. From any thread: whoever follows
        notices nothing. Raises StorageFault when the disk fails.
        """
        try:
            return self._publication.count(after, most)
        except OSError as fault:
            raise StorageFault(f"the spool cannot be read: {fault.strerror}") from fault

    def followed(self, reached: Mapping[str, int]) -> None:
        """Say up to which end per segment records were followed; nobody counts those again."""
        self._publication.followed(reached)

    def wait(self, timeout_s: float) -> bool:
        """Wait for a record that was committed since `records` was last asked; False if none.

        One thread follows. A worker's result is noticed within 0.2 s.
        """
        try:
            return self._publication.wait(timeout_s)
        except OSError as fault:
            raise StorageFault(f"the spool cannot be read: {fault.strerror}") from fault

    def quiet_s(self) -> float:
        """Say how long ago the last record was committed; infinite before the first."""
        return time.monotonic() - self._publication.published_at_s

    def usage(self) -> tuple[int, int]:
        """Return the bytes that committed records take, and the number of their segments."""
        return self._publication.usage()

    def sealed(self) -> Iterator[tuple[str, int]]:
        """Name the sealed segments and their sizes; no process writes to those any more."""
        for name, suffix in sorted(segments(self.root)):
            if suffix == SEALED:
                with contextlib.suppress(FileNotFoundError):
                    yield name, (self.root / (name + SEALED)).stat().st_size

    def remove(self, segment: str) -> None:
        """Remove a sealed segment's file for good; what has it open or mapped reads on.

        For retention alone, which has made sure that nobody needs it. To do it again does no
        harm. Raises StorageFault when the disk fails.
        """
        try:
            crash_point("before-unlink")
            (self.root / (segment + SEALED)).unlink(missing_ok=True)
            sync_directory(self.root)
            crash_point("after-unlink")
        except OSError as fault:
            words = f"segment {segment} cannot be removed: {fault.strerror}"
            raise StorageFault(words) from fault
        self._publication.forget(segment)

    def free_bytes(self) -> int:
        """Ask how much may still be written on the spool's disk, its reserve included."""
        return self._room.free_bytes()

    def close(self) -> None:
        """Seal what is idle and give the spool back. May be called twice.

        A recording that is still open may end as it likes; its segment is sealed with it.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            idle, self._idle = self._idle, []
        for segment in idle:
            self._retire(segment)
        os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _create(self) -> Segment:
        with self._lock:
            self._created += 1
            name = f"{self._run}-{self._created:06d}"
        try:
            segment = Segment.create(self.root, name, self._room)
        except OSError as fault:
            raise full(fault) from fault
        self._publication.publish(name, 0)  # it is ours: not to be taken for a worker's
        return segment

    def _release(self, segment: Segment, is_sound: bool) -> None:  # noqa: FBT001  (a callback)
        """Take a segment back from its recording, publish what it holds, keep it or seal it."""
        self._publication.publish(segment.name, segment.end)
        if is_sound and segment.end < self._segment_bytes:
            with self._lock:
                if not self._is_closed:
                    self._idle.append(segment)
                    return
        self._retire(segment)

    def _retire(self, segment: Segment) -> None:
        try:
            segment.seal()
        except OSError as fault:
            # What it holds is committed and readable as it is; the next start seals it.
            log.error("segment not sealed", segment=segment.name, fault=fault.strerror)
        if segment.end == 0:
            self._publication.forget(segment.name)


def _own(root: Path) -> int:
    """Lock the spool for the life of this process; returns the lock's descriptor."""
    fd = os.open(root / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise StorageFault(
            f"the spool {root} is owned by another running node: stop that one, or give each"
            " its own [node] data_dir"
        ) from None
    except BaseException:
        os.close(fd)
        raise
    return fd


def _unused_run(root: Path, now: float) -> str:
    """Name this process's segments by its start, in milliseconds, so that names sort by age."""
    taken = {name[:_RUN_DIGITS] for name, _ in segments(root)}
    number = int(now * 1000)
    while f"{number:0{_RUN_DIGITS}x}" in taken:
        number += 1
    # A clock that was set back must not name a segment after one that has left meanwhile.
    return f"{number:0{_RUN_DIGITS}x}{os.urandom(2).hex()}"
