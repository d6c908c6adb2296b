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
        """Send one object, connecting first where there is no connection.

        Raises NotConnected where there is none to be had, or a DeliveryFault, after which the next
        call connects again.
        """

    def close(self) -> None:
        """Give the connection back."""


class NotConnected(Exception):  # noqa: N818  (no fault of the delivery, while others connect)
    """A lane could not connect; nothing of the object was sent."""

    def __init__(self, fault: DeliveryFault) -> None:
        super().__init__(str(fault))
        self.fault = fault


_Result = Receipt | BaseException | None
"""What came of an object; None where it was not tried any more."""


class Lanes:
    """Some connections to one place."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._lanes = list(lanes)

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Send objects, each over the lane that is free first; receipts come as they are given.

        A fault of one object is raised after the last of them, one of the place at once; objects
        that were on their way by then are waited for, and their receipts stand. A place that takes
        fewer connections than there are lanes is sent to over those that it takes.
        """
        traffic, tally, under_way = _Traffic(self._lanes), Tally(), 0
        try:
            for outgoing in objects:
                # One on its way and one waiting for each lane, so that none of them waits.
                while under_way >= 2 * len(self._lanes) or not traffic.results.empty():
                    under_way -= 1
                    yield from _judged(traffic.results.get(), tally)
                traffic.work.put(outgoing)
                under_way += 1
            while under_way:
                under_way -= 1
                yield from _judged(traffic.results.get(), tally)
        except BaseException as fault:  # whatever it is, receipts stand
            if isinstance(fault, (DeliveryFault, GeneratorExit)):
                traffic.stop.set()  # a fault of the maker's leaves what was made to go
            left = [traffic.results.get() for _ in range(under_way)]
            if not isinstance(fault, GeneratorExit):
                yield from (one for one in left if isinstance(one, Receipt))
            raise
        finally:
            traffic.end()
        tally.settle()

    def close(self) -> None:
        """Close all. May be called twice."""
        for lane in self._lanes:
            lane.close()


class _Traffic:
    """The threads of one delivery, and what they are given and give."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self.stop = threading.Event()
        # SimpleQueue: handing an object over takes microseconds, and small objects not many more.
        self.work: SimpleQueue[Outgoing | None] = SimpleQueue()
        self.results: SimpleQueue[_Result] = SimpleQueue()
        self._lock = threading.Lock()
        self._running = len(lanes)
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name="lane", daemon=True)
            for lane in lanes
        ]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Wait for the threads, when all results were taken."""
        for _ in self._threads:
            self.work.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self, lane: Lane) -> None:
        while (outgoing := self.work.get()) is not None:
            if self.stop.is_set():
                self.results.put(None)
                continue
            try:
                result: _Result = lane.deliver(outgoing)
            except NotConnected as missing:
                if self._others_run():
                    self.work.put(outgoing)
                    return
                result = missing.fault
            except BaseException as fault:  # noqa: BLE001  (raised again where receipts are taken)
                result = fault
            del outgoing  # its bytes may go
            if isinstance(result, BaseException) and not is_of_one_object(result):
                self.stop.set()
            self.results.put(result)

    def _others_run(self) -> bool:
        """Leave the work to the other lanes, if there are any left."""
        with self._lock:
            if self._running == 1:
                return False
            self._running -= 1
            return True


def _judged(result: _Result, tally: Tally) -> Iterator[Receipt]:
    if isinstance(result, Receipt):
        tally.took()
        yield result
    elif result is not None:
        tally.note(result)
