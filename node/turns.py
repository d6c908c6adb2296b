"""Say when work is due again that may take no more than a share of the time."""

import time
from collections.abc import Callable


class Turns:
    """Work that rests some times as long as it took; one thread uses it."""

    def __init__(self, rests: float, clock: Callable[[], float] = time.monotonic) -> None:
        """With `rests` of 20 it takes a twentieth of the time at most."""
        self._rests = rests
        self._clock = clock
        self._due_at = float("-inf")

    def is_due(self) -> bool:
        """Whether it has rested long enough."""
        return self._clock() >= self._due_at

    def took(self, worked_s: float, least_s: float = 0.0) -> None:
        """Note that it has just been done, and rest, for some time at least."""
        self._due_at = self._clock() + max(worked_s * self._rests, least_s)
