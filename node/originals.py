"""Find stored Instances and open their bytes, for whoever retrieves: C-MOVE, C-GET, DICOMweb.

What the spool has let go of, or cannot read any more, is fetched from a destination that took it
unchanged (node/fetching.py).
"""

import contextlib
import mmap
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import BinaryIO, Final

import structlog

from dicom.entity import Instance, SeriesKey
from dicom.errors import Fault, StorageFault
from dicom.selection import Selection, Stored
from node.fetching import Fetcher, NowhereElse
from storage.index.database import Index
from storage.ledger.holdings import Holdings
from storage.spool.proving import WHOLE_BYTES, Run
from storage.spool.reader import SpoolReader

AHEAD: Final = 4
"""So many objects are read and proven before it is their turn, or fewer:"""
AHEAD_BYTES: Final = 64 << 20
"""as many as are so large together. One alone may be larger."""
READING: Final = 2
"""Threads that prove what lies in the spool, for all retrievals together;"""
FETCHING: Final = 8
"""and those that wait for destinations, so that a slow one keeps nobody from the spool."""

LOOK_S: Final = 0.1
"""So often, while one object is waited for, whether it is wanted still is asked."""

Chunks = Sequence[memoryview]
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
        ends by itself when `is_wanted` says so, which is asked while one is waited for. Small
        ones are read ahead by the kernel, and proven by whoever asks, when it is their turn: to
        hand one over from another thread takes longer than to prove it.
        """
        waiting: deque[tuple[Stored, Future[Chunks] | None]] = deque()
        held_bytes = 0

        def first() -> tuple[Stored, Chunks | StorageFault]:
            one, future = waiting[0]
            if future is None:
                with contextlib.suppress(StorageFault):
                    return waiting.popleft()[0], [run.proven(one.instance)]
                future = self._submit(one.instance)  # it may be had from elsewhere
                waiting.appendleft((one, future))
            while not _is_over(future):
                if not is_wanted():
                    raise _Unwanted
            waiting.popleft()
            return one, self._got(one.instance, future)

        with contextlib.closing(Run(self._reader)) as run:
            try:
                for one in stored:
                    held_bytes += one.instance.location.length
                    while waiting and (len(waiting) >= AHEAD or held_bytes > AHEAD_BYTES):
                        held_bytes -= waiting[0][0].instance.location.length
                        yield first()
                    waiting.append((one, self._expected(run, one.instance)))
                while waiting:
                    yield first()
            except _Unwanted:
                return
            finally:
                for _, future in waiting:
                    if future is not None:
                        future.cancel()

    def close(self) -> None:
        """End the threads, once they have done what was asked for."""
        self._reading.close()
        self._fetching.close()

    def _expected(self, run: Run, instance: Instance) -> Future[Chunks] | None:
        """Have an object read ahead; None where the kernel does it, and `run` will prove it."""
        if instance.location.length <= WHOLE_BYTES:
            with contextlib.suppress(StorageFault):
                run.expect(instance.location)
                return None
        return self._submit(instance)

    def _submit(self, instance: Instance) -> Future[Chunks]:
        """Have an object read; a thread that waits for a destination is none of the spool's."""
        done: Future[Chunks] = Future()

        def fetch(fault: StorageFault) -> None:
            _settle(done, lambda: [_mapped(self._fetched(instance, fault))])

        def read() -> None:
            if not done.set_running_or_notify_cancel():
                return
            try:
                chunks = self._from_spool(instance)
            except StorageFault as fault:
                if self._fetcher is None:
                    done.set_exception(fault)
                else:
                    self._fetching.submit(partial(fetch, fault))
            except BaseException as bug:  # noqa: BLE001  (raised where the result is asked for)
                done.set_exception(bug)
            else:
                done.set_result(chunks)

        self._reading.submit(read)
        return done

    def _got(self, instance: Instance, future: Future[Chunks]) -> Chunks | StorageFault:
        try:
            return future.result()
        except StorageFault as fault:
            log.warning(
                "original not there",
                sop_instance=instance.arrival.sop_instance_uid,
                fault=fault.code,
                words=str(fault),
            )
            return fault

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


def _is_over(future: "Future[Chunks]") -> bool:
    """Wait a moment for it; says whether it has ended, in whichever way."""
    try:
        future.exception(LOOK_S)
    except TimeoutError:
        return False
    return True


def _settle(done: "Future[Chunks]", make: Callable[[], Chunks]) -> None:
    try:
        done.set_result(make())
    except BaseException as fault:  # noqa: BLE001  (raised where the result is asked for)
        done.set_exception(fault)


def _mapped(file: BinaryIO) -> memoryview:
    """Map a file that was fetched; it is gone with its last view."""
    with file:
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
