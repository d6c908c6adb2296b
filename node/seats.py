"""Count open associations, in all and of each caller, exactly, whoever asks at the same moment."""

import threading
from collections import Counter
from collections.abc import Callable

from node.admission import Accept, Verdict


class Seats:
    """Who is in. Judging and taking a seat are one step."""

    def __init__(self) -> None:
        self._callers: dict[object, str] = {}
        self._open: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many seats are taken at this moment."""
        return len(self._callers)

    def take(self, holder: object, caller: str, judge: Callable[[int, int], Verdict]) -> Verdict:
        """Take a seat if the judge accepts; it is told how many are taken, and by this caller.

        Nobody else is judged meanwhile, so the judge must be quick.
        """
        with self._lock:
            verdict = judge(len(self._callers), self._open[caller])
            if isinstance(verdict, Accept):
                self._callers[holder] = caller
                self._open[caller] += 1
            elif not self._open[caller]:
                del self._open[caller]  # whoever can reach the port chooses titles: keep none
            return verdict

    def free(self, holder: object) -> None:
        """Give a seat back. May be called more than once, and by who has none."""
        with self._lock:
            caller = self._callers.pop(holder, None)
            if caller is None:
                return
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]
