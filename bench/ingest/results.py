"""What one measurement found, and how several become one row: medians and ratios, purely."""

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.ingest.plan import MATRIX

LEAST_CPU_S = 0.05
"""Linux counts processor time in steps of 10 ms; less than this says nothing about an object."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One measurement: what the client saw, and what the server's processes used."""

    case: str
    peer: str
    work: str
    associations: int
    repetition: int
    objects: int = 0
    """Answered with Success."""
    failures: int = 0
    bytes: float = 0
    """Of datasets, without headers of PDUs."""
    seconds: float = 0
    """From the first request to the last answer."""
    p50_ms: float | None = None
    """From a request's first byte to its answer; None where the client does not tell."""
    p99_ms: float | None = None
    max_ms: float | None = None
    pdu_bytes: int | None = None
    main_cpu_s: float = 0
    """Processor time of the process that was started, until the last answer."""
    tree_cpu_s: float = 0
    main_filed_cpu_s: float | None = None
    """The same until the node had filed all; None for others."""
    tree_filed_cpu_s: float | None = None
    peak_rss_mb: float = 0
    """All processes together, sampled."""
    main_peak_rss_mb: float = 0
    main_growth_mb: float = 0
    """Of that one process, from just before the first object to its highest."""
    filed_s: float | None = None
    """From the last answer until the node had filed all; None for others, or when it never did."""
    client_cpu_s: float = 0
    others_cores: float = 0
    """Processors that neither server nor client kept busy, on average."""
    trouble: str = ""
    """The first thing that went wrong, in words."""

    @property
    def objects_per_s(self) -> float:
        """Objects answered with Success a second."""
        return self.objects / self.seconds if self.seconds else 0.0

    @property
    def mb_per_s(self) -> float:
        """Dataset bytes a second, in MB of 1,000,000."""
        return self.bytes / self.seconds / 1e6 if self.seconds else 0.0

    @property
    def main_cpu_ms(self) -> float | None:
        """Processor time per object of the started process, until all was filed as well."""
        return self._per_object(self.main_cpu_s, self.main_filed_cpu_s)

    @property
    def receiving_cpu_ms(self) -> float | None:
        """Processor time per object of the started process, until the last answer."""
        return self._per_object(self.main_cpu_s, None)

    @property
    def tree_cpu_ms(self) -> float | None:
        """Processor time per object of all processes, until all was filed as well."""
        return self._per_object(self.tree_cpu_s, self.tree_filed_cpu_s)

    @property
    def beside_main_cores(self) -> float:
        """Processors that the other processes of the server kept busy until the last answer."""
        return (self.tree_cpu_s - self.main_cpu_s) / self.seconds if self.seconds else 0.0

    def _per_object(self, cpu_s: float, filed_cpu_s: float | None) -> float | None:
        total_s = cpu_s if filed_cpu_s is None else filed_cpu_s
        known = self.objects and total_s >= LEAST_CPU_S
        return 1e3 * total_s / self.objects if known else None


def to_line(cell: Cell) -> str:
    """Write a measurement as one line of JSON."""
    return json.dumps({"kind": "cell", **asdict(cell)})


def read(file: Path) -> tuple[list[Cell], dict[str, Any]]:
    """Read the measurements of a results file, and the facts about the machine that it holds.

    Keys that this version does not know are passed over. Raises ValueError on a line that is no
    JSON object.
    """
    cells, machine = [], dict[str, Any]()
    known = {each.name for each in fields(Cell)}
    for line in filter(None, file.read_text().splitlines()):
        row = json.loads(line)
        if row.get("kind") == "machine":
            machine = row
        elif row.get("kind") == "cell":
            cells.append(Cell(**{key: value for key, value in row.items() if key in known}))
    return cells, machine


@dataclass(frozen=True, slots=True)
class Row:
    """The same measurement repeated: medians, and what shall not be averaged away."""

    cells: tuple[Cell, ...]

    def median(self, name: str) -> float | None:
        """Give the median of a field or property; None where no measurement has it."""
        values = [getattr(cell, name) for cell in self.cells if cell.objects]
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def spread(self) -> tuple[float, float]:
        """Give the lowest and highest objects a second."""
        rates = [cell.objects_per_s for cell in self.cells]
        return min(rates), max(rates)

    @property
    def failures(self) -> int:
        """Objects that were not answered with Success, of all repetitions."""
        return sum(cell.failures for cell in self.cells)

    @property
    def trouble(self) -> str:
        """The first thing that went wrong, in words."""
        return next((cell.trouble for cell in self.cells if cell.trouble), "")


class Results:
    """All measurements of a run, found by what was measured."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._rows: dict[tuple[str, str, str, int], list[Cell]] = {}
        for cell in cells:
            key = (cell.case, cell.peer, cell.work, cell.associations)
            self._rows.setdefault(key, []).append(cell)

    def row(self, peer: str, work: str, associations: int, case: str = MATRIX) -> Row | None:
        """Give the repetitions of one measurement, or None where there are none."""
        cells = self._rows.get((case, peer, work, associations))
        return Row(tuple(cells)) if cells else None

    def median(
        self, name: str, peer: str, work: str, associations: int, case: str = MATRIX
    ) -> float | None:
        """Give a median of one measurement, or None where there is none."""
        row = self.row(peer, work, associations, case)
        return row.median(name) if row else None

    def ratio(
        self, work: str, associations: int, of: str, to: str, case: str = MATRIX
    ) -> float | None:
        """Give how many objects a second one peer takes for each that another one takes."""
        above = self.median("objects_per_s", of, work, associations, case)
        below = self.median("objects_per_s", to, work, associations, case)
        return above / below if above is not None and below else None

    def cells(self) -> list[Cell]:
        """List every measurement."""
        return [cell for cells in self._rows.values() for cell in cells]

    def repetitions(self) -> int:
        """Count the repetitions of the measurement that was repeated most."""
        return max((len(cells) for cells in self._rows.values()), default=0)

    def works(self, case: str) -> list[str]:
        """List the workloads of a case in the order in which they were measured."""
        return list(dict.fromkeys(work for one, _, work, _ in self._rows if one == case))

    def peers(self, case: str, work: str) -> list[str]:
        """List the servers that a workload was sent to, in the order of their first turn."""
        found = (peer for one, peer, other, _ in self._rows if (one, other) == (case, work))
        return list(dict.fromkeys(found))

    def associations(self, case: str, work: str) -> list[int]:
        """List the numbers of associations over which a workload was sent."""
        found = {count for one, _, other, count in self._rows if (one, other) == (case, work)}
        return sorted(found)
