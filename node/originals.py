"""Find stored Instances and open their bytes, for whoever retrieves: C-MOVE, C-GET, DICOMweb.

What the spool has let go of, or cannot read any more, is fetched from a destination that took it
unchanged (node/fetching.py).
"""

import mmap
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import BinaryIO, Final, TypeVar

import structlog

from dicom.entity import Instance, SeriesKey
from dicom.errors import Fault, StorageFault
from dicom.selection import Selection, Stored
from node.fetching import Fetcher, NowhereElse
from storage.index.database import Index
from storage.ledger.holdings import Holdings
from storage.spool.proving import proven
from storage.spool.reader import SpoolReader

AHEAD: Final = 2
"""So many batches are read and proven before it is their turn, or fewer:"""
AHEAD_BYTES: Final = 64 << 20
"""as many as are so large together. One object alone may be larger."""
BATCH: Final = 16
"""So many objects go from thread to thread together, or fewer:"""
BATCH_BYTES: Final = 5 << 19
"""as many as are so large together, some megabytes: what the processor's cache still holds. To
hand over one CT slice alone takes longer than to prove it."""
READING: Final = 2
"""Threads that prove what lies in the spool, for all retrievals together;"""
FETCHING: Final = 8
"""and those that wait for destinations, so that a slow one keeps nobody from the spool."""

LOOK_S: Final = 0.1
"""So often, while one object is waited for, whether it is wanted still is asked."""

Chunks = Sequence[memoryview]
_Found = Chunks | StorageFault | Future[Chunks]
"""Of one object: its bytes, why it cannot be had, or what is to come from a destination."""
_Result = TypeVar("_Result")
log = structlog.get_logger()


class _Unwanted(Exception):  # noqa: N818  (no error: nobody waits any more)
    pass


class Originals:
    """What the node holds, for questions; safe to share between threads."""

    def __init__(
        self,
        index: Index,
        reader: SpoolReader,
        holdings: Holdings,
        clock: Callable[[], float],
        fetcher: Fetcher | None = None,
    ) -> None:
        self._index = index
        self._reader = reader
        self._holdings = holdings
        self._clock = clock
        self._fetcher = fetcher
        self._reading = _Threads(READING, "originals")
        self._fetching = _Threads(FETCHING, "fetching")

    def find(self, which: Selection) -> list[Stored]:
        """List what a selection names, in the order of Series and InstanceNumber.

        Raises StorageFault.
        """
        return self._index.instances(which)

    def note_asked(self, stored: Iterable[Stored]) -> None:
        """Note that somebody wants these, so that retention keeps them longer than others.

        Returns at once: it is written down on a thread.
        """
        keys = {SeriesKey(one.study_instance_uid, one.series_instance_uid) for one in stored}
        if keys:
            self._reading.submit(lambda: self._note(keys))

    def open(self, instance: Instance) -> BinaryIO:
        """Open its Part 10 bytes as a seekable stream of the caller's own.

        What lies in the spool is not proven first. Raises Corrupt, or another StorageFault,
        where they cannot be had.
        """
        try:
            return self._reader.open(instance.location)
        except StorageFault as fault:
            return self._fetched(instance, fault)

    def chunks(self, instance: Instance) -> Chunks:
        """Give its Part 10 bytes, mapped where they lie in the clear; see `SpoolReader.view`.

        What lies in the spool is not proven first; what is fetched is. Raises as `open` does.
        """
        try:
            return [self._reader.view(instance.location)]
        except StorageFault as fault:
            return [_mapped(self._fetched(instance, fault))]

    def proven(self, instance: Instance) -> Chunks:
        """Give its Part 10 bytes, after they were compared with what was received.

        In the spool by their checksum, which costs little; from elsewhere by their digest. Raises
        as `open` does.
        """
        try:
            return self._from_spool(instance)
        except StorageFault as fault:
            return [_mapped(self._fetched(instance, fault))]

    def ahead(
        self, stored: Iterable[Stored], is_wanted: Callable[[], bool] = lambda: True
    ) -> Generator[tuple[Stored, Chunks | StorageFault]]:
        """Give objects in their order, proven; the next ones are read meanwhile.

        Or why one cannot be had, in its place. Close the iterator when no more are wanted; it
        ends by itself when `is_wanted` says so, which is asked while one is waited for.
        """
        waiting: deque[tuple[list[Stored], Future[list[_Found]]]] = deque()
        left = threading.Event()
        held_bytes = 0

        def first() -> Generator[tuple[Stored, Chunks | StorageFault]]:
            batch, future = waiting.popleft()
            each = _result(future, is_wanted)
            for one, found in zip(batch, each, strict=True):
                yield one, self._got(one.instance, found, is_wanted)

        try:
            for batch in batches(stored):
                held_bytes += _size_bytes(batch)
                while waiting and (len(waiting) >= AHEAD or held_bytes > AHEAD_BYTES):
                    held_bytes -= _size_bytes(waiting[0][0])
                    yield from first()
                waiting.append((batch, self._submit(batch, left)))
            while waiting:
                yield from first()
        except _Unwanted:
            return
        finally:
            left.set()

    def close(self) -> None:
        """End the threads, once they have done what was asked for."""
        self._reading.close()
        self._fetching.close()

    def _submit(self, batch: list[Stored], left: threading.Event) -> "Future[list[_Found]]":
        """Have objects read, one after another, until those who wait for them have left."""
        done: Future[list[_Found]] = Future()
        self._reading.submit(partial(_settle, done, partial(self._read, batch, left)))
        return done

    def _read(self, batch: list[Stored], left: threading.Event) -> list["_Found"]:
        """Prove objects; a thread that waits for a destination is none of the spool's."""
        found: list[_Found] = []
        given = proven(self._reader, [one.instance for one in batch])
        for one, got in zip(batch, given, strict=True):
            if left.is_set():
                raise _Unwanted
            if isinstance(got, StorageFault):
                found.append(self._fetching_of(one.instance, got, left))
            else:
                found.append([got])
        return found

    def _fetching_of(
        self, instance: Instance, fault: StorageFault, left: threading.Event
    ) -> "_Found":
        """Have an object fetched that the spool does not give, where there is a fetcher."""
        if self._fetcher is None:
            return fault
        done: Future[Chunks] = Future()

        def fetch() -> Chunks:
            if left.is_set():
                raise _Unwanted
            return [_mapped(self._fetched(instance, fault))]

        self._fetching.submit(partial(_settle, done, fetch))
        return done

    def _got(
        self, instance: Instance, found: "_Found", is_wanted: Callable[[], bool]
    ) -> Chunks | StorageFault:
        if isinstance(found, Future):
            try:
                found = _result(found, is_wanted)
            except StorageFault as fault:
                found = fault
        if isinstance(found, StorageFault):
            log.warning(
                "original not there",
                sop_instance=instance.arrival.sop_instance_uid,
                fault=found.code,
                words=str(found),
            )
        return found

    def _from_spool(self, instance: Instance) -> Chunks:
        return [self._reader.proven(instance)]

    def _fetched(self, instance: Instance, fault: StorageFault) -> BinaryIO:
        """Fetch what the spool does not give. Raises NowhereElse, or the spool's own fault."""
        if self._fetcher is None:
            raise fault
        try:
            return self._fetcher.fetch(instance)
        except NowhereElse as nowhere:
            raise nowhere from fault

    def _note(self, keys: Iterable[SeriesKey]) -> None:
        try:
            for key in keys:
                self._holdings.asked(key, self._clock())
        except Fault as fault:  # retention then lets go a little sooner, and nothing is lost
            log.warning("not noted that a Series was asked for", fault=fault.code)


class _Threads:
    """Some threads that do one thing after another.

    Unlike those of Python's own pools, one that hangs does not keep the node from ending.
    """

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._lock = threading.Lock()
        self._started: list[threading.Thread] = []
        self._waiting: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()

    def submit(self, task: Callable[[], object]) -> None:
        """Have something done that raises nothing."""
        self._waiting.put(task)
        with self._lock:
            if len(self._started) < self._count:
                thread = threading.Thread(target=self._work, name=self._name, daemon=True)
                self._started.append(thread)
                thread.start()

    def close(self) -> None:
        """Have the threads end; nobody waits for them."""
        for _ in self._started:
            self._waiting.put(None)

    def _work(self) -> None:
        while (task := self._waiting.get()) is not None:
            task()
            del task  # or what it holds would stay mapped until the next one


def batches(stored: Iterable[Stored]) -> Iterator[list[Stored]]:
    """Gather small objects, that fewer are handed from thread to thread; the first comes alone."""
    batch: list[Stored] = []
    most = 1
    for one in stored:
        if batch and (
            len(batch) >= most or _size_bytes(batch) + one.instance.location.length > BATCH_BYTES
        ):
            yield batch
            batch, most = [], min(2 * most, BATCH)
        batch.append(one)
    if batch:
        yield batch


def _size_bytes(batch: Iterable[Stored]) -> int:
    return sum(one.instance.location.length for one in batch)


def _result(future: "Future[_Result]", is_wanted: Callable[[], bool]) -> _Result:
    """Wait for what comes from another thread. Raises what it raised, and _Unwanted."""
    while True:
        try:
            return future.result(LOOK_S)
        except TimeoutError:
            if future.done():
                raise  # its own
        if not is_wanted():
            raise _Unwanted


def _settle(done: "Future[_Result]", make: Callable[[], _Result]) -> None:
    try:
        done.set_result(make())
    except BaseException as fault:  # noqa: BLE001  (raised where the result is asked for)
        done.set_exception(fault)


def _mapped(file: BinaryIO) -> memoryview:
    """Map a file that was fetched; it is gone with its last view."""
    with file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
