"""What was measured: laps of contenders that take turns, single findings, and the machine."""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Lap:
    """One contender's turn: what it delivered, and how long that took."""

    case: str
    """Which table it belongs to, such as "bucket ct"."""
    name: str
    turn: int
    objects: int
    size_bytes: int
    seconds: float
    cpu_s: float | None = None
    """Processor time of whoever sends, servers not counted; None where nobody knows."""


Run = Callable[[int], Lap]
"""Takes a turn by its number."""


@dataclass(slots=True)
class Results:
    """Everything that a run found."""

    machine: dict[str, Any] = field(default_factory=dict)
    laps: list[Lap] = field(default_factory=list)
    findings: dict[str, float] = field(default_factory=dict)
    """Single numbers by name, such as "drain, all": units stand in report and figures."""
    missing: list[str] = field(default_factory=list)
    """What was left out, and why."""

    def take_turns(self, turns: int, contenders: Mapping[str, Run]) -> None:
        """Let contenders take turns; each turn begins with another one, so that drift hits all."""
        names = list(contenders)
        for turn in range(turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                self.laps.append(contenders[name](turn))

    def names(self, case: str) -> list[str]:
        """Name the contenders of a table, in the order in which they first ran."""
        return list(dict.fromkeys(lap.name for lap in self.laps if lap.case == case))

    def of(self, case: str, name: str) -> list[Lap]:
        """Give a contender's laps by turn."""
        found = [lap for lap in self.laps if (lap.case, lap.name) == (case, name)]
        return sorted(found, key=lambda lap: lap.turn)

    def rate(self, case: str, name: str) -> float | None:
        """Objects a second, the median over turns; None where it was not measured."""
        found = [lap.objects / lap.seconds for lap in self.of(case, name)]
        return statistics.median(found) if found else None

    def mb_per_s(self, case: str, name: str) -> float | None:
        """MB (1,000,000 bytes) a second, the median over turns."""
        found = [lap.size_bytes / lap.seconds / 1e6 for lap in self.of(case, name)]
        return statistics.median(found) if found else None

    def cpu_ms(self, case: str, name: str) -> float | None:
        """Processor time per object of whoever sends, the median over turns."""
        found = [1e3 * lap.cpu_s / lap.objects for lap in self.of(case, name) if lap.cpu_s]
        return statistics.median(found) if found else None

    def ratio(self, case: str, name: str, base: str) -> float | None:
        """How many times as fast as another: the median of the ratios within one turn."""
        theirs = {lap.turn: lap.seconds / lap.objects for lap in self.of(case, base)}
        found = [
            theirs[lap.turn] / (lap.seconds / lap.objects)
            for lap in self.of(case, name)
            if lap.turn in theirs
        ]
        return statistics.median(found) if found else None

    def write(self, file: Path) -> None:
        """Keep what was found, to be shown again."""
        file.write_text(json.dumps(asdict(self)))

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read what an earlier run kept."""
        row = json.loads(file.read_text())
        return cls(**{**row, "laps": [Lap(**lap) for lap in row["laps"]]})


@dataclass(slots=True)
class Watch:
    """A stopwatch for a block: wall clock, and processor time of this process and its children."""

    seconds: float = 0.0
    cpu_s: float = 0.0
    _began: float = 0.0
    _before_s: float = 0.0

    def __enter__(self) -> Self:
        self._began, self._before_s = time.perf_counter(), _used_s()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self._began
        self.cpu_s = _used_s() - self._before_s


def _used_s() -> float:
    times = os.times()
    return time.process_time() + times.children_user + times.children_system
