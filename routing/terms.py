"""On what terms jobs are given out: how many of a target at once, in which order, when."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final


@dataclass(frozen=True, slots=True)
class Terms:
    """What the config says at a moment; a worker brings it along when it asks for a job."""

    limits: Mapping[str, int] = field(default_factory=dict)
    """Most jobs of a target at a time, on all machines together."""
    ordered: frozenset[str] = frozenset()
    """Targets whose jobs are given out one at a time, oldest first, whatever their rules say."""
    asleep: Mapping[str, float] = field(default_factory=dict)
    """Rules whose hours are over, by name, and when they begin again, seconds since the epoch."""

    def limit(self, target: str) -> int | None:
        """Give the most jobs of a target at a time; None where there is no limit."""
        return 1 if target in self.ordered else self.limits.get(target)


NONE: Final = Terms()
"""Every job as soon as it is due."""
