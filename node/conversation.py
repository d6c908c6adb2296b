"""One association from connection to end: who, what came of each object, and how it ended."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import structlog

from node.admission import AssociationFacts, AssociationRequest, Reject

log = structlog.get_logger()


class Outcome(StrEnum):
    """How an accepted association ended."""

    RELEASED = "released"
    ABORTED = "aborted"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Ending:
    """The sum of an association, known when it is over."""

    outcome: Outcome
    words: str
    """Why, where it was not released."""
    statuses: Mapping[int, int]
    """C-STORE requests answered, counted by status."""
    size_bytes: int
    """Dataset bytes of the objects that were stored."""
    seconds: float


class AssociationWatcher(Protocol):
    """Whoever wants to know of associations; called on the association's own threads, so quick."""

    def on_opened(self, association: AssociationFacts) -> None:
        """Note an accepted association, before its first request is read."""

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        """Note a C-STORE after its answer was decided: its status, and its dataset's length."""

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        """Note the end, after the last of its objects was committed or dropped."""

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        """Note a caller that was turned away."""


class Conversation:
    """The mutable record of one connection; the first word about its end stands."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.facts: AssociationFacts | None = None
        """None until admission accepted it."""
        self.tls_name: str | None = None
        """The name in the client's certificate, which was verified; None without one."""
        self.rejected = False
        """Whether it was turned away, which is told elsewhere."""
        self.never_greeted = False
        """Whether that was before its first PDU: no TLS came about."""
        self._outcome: Outcome | None = None
        self._words = ""
        self._statuses: Counter[int] = Counter()
        self._size_bytes = 0
        self._began_s = time.monotonic()

    def count(self, status: int, size_bytes: int) -> bool:
        """Count an answered C-STORE; returns whether this status is the first of its kind."""
        self._statuses[status] += 1
        if status == 0:
            self._size_bytes += size_bytes
        return self._statuses[status] == 1

    def end(self, outcome: Outcome, words: str = "") -> None:
        """Note why it ends; later causes are consequences and are not kept."""
        if self._outcome is None:
            self._outcome, self._words = outcome, words

    def ending(self) -> Ending:
        """Sum up."""
        return Ending(
            self._outcome or Outcome.LOST,
            self._words or ("" if self._outcome else "the connection broke off"),
            dict(self._statuses),
            self._size_bytes,
            time.monotonic() - self._began_s,
        )


class Watchers:
    """Many watchers as one; a bug in one of them costs neither the others nor the association."""

    def __init__(self, watchers: Sequence[AssociationWatcher]) -> None:
        self._watchers = tuple(watchers)

    def on_opened(self, association: AssociationFacts) -> None:
        """Tell all."""
        for watcher in self._watchers:
            with _guarded():
                watcher.on_opened(association)

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        """Tell all."""
        for watcher in self._watchers:
            with _guarded():
                watcher.on_stored(association, status, size_bytes)

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        """Tell all."""
        for watcher in self._watchers:
            with _guarded():
                watcher.on_closed(association, ending)

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        """Tell all."""
        for watcher in self._watchers:
            with _guarded():
                watcher.on_rejected(request, verdict)


@contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except Exception as fault:  # noqa: BLE001  (an observer's bug shall not cost an association)
        log.error("watcher failed", fault=type(fault).__name__)
