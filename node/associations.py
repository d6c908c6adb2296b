"""Remember how the latest associations ended, so that a release can settle a Series early."""

import threading
from collections import OrderedDict
from dataclasses import dataclass

from node.admission import AssociationFacts, AssociationRequest, Reject
from node.conversation import Ending, Outcome

KEPT = 10_000


class AssociationBook:
    """Outcomes by association id, newest kept; safe to share between threads.

    Nothing of it survives a restart, and nothing needs to: an association of which it knows
    nothing did not end in order, and its Series settle by quiet time.
    """

    def __init__(self) -> None:
        self._outcomes: OrderedDict[str, tuple[Outcome, int]] = OrderedDict()
        self._serial = 0
        self._lock = threading.Lock()

    def on_opened(self, association: AssociationFacts) -> None:
        """Need nothing of it: what is not noted as released is not."""

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        """Need nothing of it."""

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        """Need nothing of it."""

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        """Note how an association ended."""
        with self._lock:
            self._serial += 1
            self._outcomes[association.id] = (ending.outcome, self._serial)
            while len(self._outcomes) > KEPT:
                self._outcomes.popitem(last=False)

    def closed(self) -> "Closed":
        """Give a view of this moment; what ends later does not show in it."""
        with self._lock:
            return Closed(self, self._serial)

    def released_by(self, association: str, serial: int) -> bool:
        """Whether this association was released in order, at or before a moment."""
        with self._lock:
            outcome, ended = self._outcomes.get(association, (Outcome.LOST, 0))
            return outcome is Outcome.RELEASED and ended <= serial


@dataclass(frozen=True, slots=True)
class Closed:
    """How associations had ended at one moment."""

    _book: AssociationBook
    _serial: int

    def was_released(self, association: str) -> bool:
        """Whether this association is known to have been released in order by then."""
        return self._book.released_by(association, self._serial)
