"""Send objects one by one over several connections at once, and judge what comes of it.

Whoever makes the objects does so in one thread, which may hold the ledger or a mapping; each
connection has a thread of its own, so that the next object is made ready while one is on its way.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from queue import SimpleQueue
from typing import Protocol

from dicom.errors import DeliveryFault
from storage.destinations.base import Outgoing, Receipt
from storage.destinations.tally import Tally, is_of_one_object


class Lane(Protocol):
    """One connection, used by one thread at a time."""

    def deliver(self, outgoing: Outgoing) -> Receipt:
        """Send one object. Raises a DeliveryFault; the next call connects again."""

    def close(self) -> None:
        """Give the connection back."""


_Result = Receipt | BaseException | None
"""What came of an object; None where it was not tried any more."""


class Lanes:
    """Some connections to one place."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = list(lanes)
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        # SimpleQueue: handing an object over takes microseconds, and small objects not many more.
        self._work: SimpleQueue[Outgoing | None] = SimpleQueue()
        self._results: SimpleQueue[_Result] = SimpleQueue()

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Send objects, each over the lane that is free first; receipts come as they are given.

        A fault of one object is raised after the last of them, one of the place at once; objects
        that were on their way by then are waited for, and their receipts stand.
        """
        self._start()
        tally, under_way = Tally(), 0
        try:
            for outgoing in objects:
                # One on its way and one waiting for each lane, so that none of them waits.
                while under_way >= 2 * len(self._lanes) or not self._results.empty():
                    under_way -= 1
                    yield from _judged(self._results.get(), tally)
                self._work.put(outgoing)
                under_way += 1
            while under_way:
                under_way -= 1
                yield from _judged(self._results.get(), tally)
        except BaseException as fault:  # whatever it is, receipts stand
            if isinstance(fault, (DeliveryFault, GeneratorExit)):
                self._stop.set()  # a fault of the maker's leaves what was made to go
            left = [self._results.get() for _ in range(under_way)]
            if not isinstance(fault, GeneratorExit):
                yield from (one for one in left if isinstance(one, Receipt))
            raise
        tally.settle()

    def close(self) -> None:
        """Close all. May be called twice."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []
        for lane in self._lanes:
            lane.close()

    def _start(self) -> None:
        self._stop.clear()
        if not self._threads:
            self._threads = [
                threading.Thread(target=self._run, args=(lane,), name="lane", daemon=True)
                for lane in self._lanes
            ]
            for thread in self._threads:
                thread.start()

    def _run(self, lane: Lane) -> None:
        while (outgoing := self._work.get()) is not None:
            if self._stop.is_set():
                self._results.put(None)
                continue
            try:
                result: _Result = lane.deliver(outgoing)
            except BaseException as fault:  # noqa: BLE001  (raised again where receipts are taken)
                if not is_of_one_object(fault):
                    self._stop.set()
                result = fault
            del outgoing  # its bytes may go
            self._results.put(result)


def _judged(result: _Result, tally: Tally) -> Iterator[Receipt]:
    if isinstance(result, Receipt):
        tally.took()
        yield result
    elif result is not None:
        tally.note(result)
