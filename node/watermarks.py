"""Watch the room on the spool's disk: slow storing down, then ask senders to come back.

Three marks, in this order: below the first, the answer to each C-STORE waits a little, longer as
room shrinks, and TCP slows the sender down. Below the second, associations that propose to store
are rejected. Below the reserve each C-STORE hears 0xA700 (storage/spool/segment.py); the reserve
is left to the results of workers. Room is asked for twice a second, on a thread of its own; an
association only reads an attribute.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

import structlog

from config.model import Node
from dicom.errors import Fault, StorageFault

LOOK_S: Final = 0.5
LONGEST_PAUSE_S: Final = 0.25
"""A CT slice of 0.5 MB then comes at 2 MB/s at most; every sender's time-out is far longer."""
MARGIN: Final = 8
"""A mark counts as passed upwards only an eighth of it above, or the state would flap: segments
take and give back room in steps."""
STALE_S: Final = 5.0
"""A disk that has not said for so long how much room it has does not answer."""
MB: Final = 1 << 20

log = structlog.get_logger()


class DiskState(IntEnum):
    """How much room there is, the worse the greater."""

    OK = 0
    SLOW = 1
    REFUSING = 2
    FULL = 3

    @property
    def word(self) -> str:
        """Its name in status, metrics and events."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Marks:
    """Free space in bytes below which a state begins; 0 switches one off."""

    slow_bytes: int
    refuse_bytes: int
    reserve_bytes: int

    @classmethod
    def of(cls, node: Node) -> Self:
        """Take them from the config file."""
        return cls(node.slow_mark_mb * MB, node.refuse_mark_mb * MB, node.reserve_mb * MB)


def judge(free_bytes: int, marks: Marks, before: DiskState) -> DiskState:
    """Say which state free space means, after another one.

    A worse state begins at its mark; a better one only MARGIN above it.
    """
    worse = _state(free_bytes, marks, 0)
    return worse if worse >= before else min(before, _state(free_bytes, marks, MARGIN))


def pause(free_bytes: int, marks: Marks) -> float:
    """Say how many seconds an answer waits: 0 at the first mark, the longest at the second."""
    width_bytes = marks.slow_bytes - marks.refuse_bytes
    if free_bytes >= marks.slow_bytes:
        return 0.0
    if free_bytes <= marks.refuse_bytes or width_bytes <= 0:
        return LONGEST_PAUSE_S
    return LONGEST_PAUSE_S * (marks.slow_bytes - free_bytes) / width_bytes


def _state(free_bytes: int, marks: Marks, margin: int) -> DiskState:
    """Find the worst state whose mark, raised by its margin-th part, is not reached."""
    for state, mark in (
        (DiskState.FULL, marks.reserve_bytes),
        (DiskState.REFUSING, marks.refuse_bytes),
        (DiskState.SLOW, marks.slow_bytes),
    ):
        if free_bytes < mark + (mark // margin if margin else 0):
            return state
    return DiskState.OK


Tell = Callable[[str, Mapping[str, object]], None]
"""Publishes a change: the new state's word, and plain facts. Raises a Fault."""


def _no_tell(word: str, facts: Mapping[str, object]) -> None:
    del word, facts


class Watermarks:
    """Knows the state of the disk; any thread may read its attributes."""

    def __init__(self, marks: Marks, free_bytes: Callable[[], int], tell: Tell = _no_tell) -> None:
        self.marks = marks
        self.state = DiskState.OK
        self.pause_s = 0.0
        """How long the answer to a C-STORE waits now."""
        self.free_bytes = 0
        self._ask = free_bytes
        self._tell = tell
        self._trouble = ""
        self._looked_s = float("-inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watermarks", daemon=True)

    def start(self) -> None:
        """Look once, then go on in a thread."""
        self.look()
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """End the thread. Safe before start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def look(self) -> None:
        """Ask the disk, and tell a change: in the log, and as an event.

        A disk that does not say how much room it has counts as full.
        """
        before, trouble = self.state, self._trouble
        try:
            self.free_bytes, self._trouble = self._ask(), ""
        except StorageFault as fault:
            self.free_bytes, self._trouble = 0, str(fault)
        self.pause_s = pause(self.free_bytes, self.marks)
        self.state = DiskState.FULL if self._trouble else judge(self.free_bytes, self.marks, before)
        self._looked_s = time.monotonic()
        if self.state is not before or self._trouble != trouble:
            self._announce(before)

    def trouble(self) -> str:
        """Say why nothing new should be sent here; "" when it may be."""
        if time.monotonic() - self._looked_s > STALE_S:
            return f"the spool's disk has not answered for more than {STALE_S:g} s"
        return self._words() if self.state >= DiskState.REFUSING else ""

    def facts(self) -> dict[str, object]:
        """Tell the state and its marks."""
        return {
            "state": self.state.word,
            "pause_s": round(self.pause_s, 4),
            "free_bytes": self.free_bytes,
            "slow_below_bytes": self.marks.slow_bytes,
            "refuse_below_bytes": self.marks.refuse_bytes,
            "reserve_bytes": self.marks.reserve_bytes,
        }

    def _watch(self) -> None:
        while not self._stopping.wait(LOOK_S):
            try:
                self.look()
            except Exception as fault:  # noqa: BLE001  (the thread shall outlive a bug: without
                # it the last state would stand for ever)
                log.error("cannot watch the disk", fault=type(fault).__name__)

    def _announce(self, before: DiskState) -> None:
        write = log.warning if self.state > DiskState.OK else log.info
        write(
            "room on the disk",
            state=self.state.word,
            before=before.word,
            free_mb=self.free_bytes // MB,
            words=self._words(),
        )
        try:
            self._tell(self.state.word, {"before": before.word, **self.facts()})
        except Fault as fault:  # on a full disk the ledger may take no event
            log.warning("event not written", fault=fault.code, words=str(fault))

    def _words(self) -> str:
        free, marks = f"{self.free_bytes // MB} MB are free", self.marks
        return {
            DiskState.OK: f"{free}, all is well",
            DiskState.SLOW: f"{free}: make room. Storing is slowed down"
            f" until more than [node] slow_below_mb ({marks.slow_bytes // MB}) are",
            DiskState.REFUSING: f"{free}: make room. Senders are asked to come back later"
            f" until more than [node] refuse_below_mb ({marks.refuse_bytes // MB}) are",
            DiskState.FULL: self._trouble
            or f"{free}: make room. Objects are refused with 0xA700"
            f" until more than [node] reserve_mb ({marks.reserve_bytes // MB}) are",
        }[self.state]
