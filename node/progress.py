"""Tell a requester how far its retrieval is: not for each object, and not too seldom."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from dicom import status
from dicom.retrieve_message import Answer
from dicom.suboperations import Outcome, Tally
from node.transport import PeerGone

TELL_S: Final = 0.2
"""At least so long between two pending responses: one for each object would cost both sides."""
QUIET_S: Final = 1.0
"""While objects go elsewhere, the requester hears at least so often that it goes on."""


class Hearer(Protocol):
    """Who asked: node.requester.Requester."""

    @property
    def is_cancelled(self) -> bool:
        """Whether no more is wanted."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody is there any more."""

    def require(self) -> None:
        """Raise PeerGone where nobody is there any more."""

    def respond(self, answer: Answer) -> None:
        """Send a response. Raises PeerGone."""


@dataclass(slots=True)
class Progress:
    """What the requester is told. A thread may tell it beside the one that counts."""

    hearer: Hearer
    tally: Tally
    told_s: float = float("-inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, outcome: Outcome, sop_instance_uid: str) -> None:
        """Count one sub-operation that has ended."""
        with self.lock:
            self.tally.note(outcome, sop_instance_uid)

    def tell(self, every_s: float) -> None:
        """Send a pending response, unless the last is younger than this. Raises PeerGone."""
        with self.lock:
            if time.monotonic() - self.told_s >= every_s and self.tally.remaining:
                self.hearer.respond(Answer(status.PENDING, self.tally.counts()))
                self.told_s = time.monotonic()


@contextmanager
def kept_told(progress: Progress) -> Iterator[None]:
    """Keep the requester told while the block runs, also when one object takes long."""
    over = threading.Event()

    def beat() -> None:
        while not over.wait(QUIET_S / 4):
            try:
                progress.tell(QUIET_S)
            except PeerGone:  # the association's own thread finds out as well
                return

    thread = threading.Thread(target=beat, name="move-alive", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
