"""Remember how the latest associations ended, so that a release can settle a Series early."""

import threading
from collections import OrderedDict

KEPT = 10_000


class AssociationBook:
    """Outcomes by association id, newest kept; safe to share between threads.

    Nothing of it survives a restart, and nothing needs to: an association of which it knows
    nothing did not end in order, and its Series settle by quiet time.
    """

    def __init__(self) -> None:
        self._outcomes: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, association: str, outcome: str) -> None:
        """Note an outcome: "released", "aborted" or "lost"."""
        with self._lock:
            self._outcomes[association] = outcome
            while len(self._outcomes) > KEPT:
                self._outcomes.popitem(last=False)

    def was_released(self, association: str) -> bool:
        """Whether this association is known to have been released in order."""
        with self._lock:
            return self._outcomes.get(association) == "released"
