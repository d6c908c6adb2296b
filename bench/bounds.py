"""Hold what a run found against a bound, and say in words whether that is reached, purely."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.ingest.report import table
from bench.laps import Results

TINY = 1e-9
"""Keeps 0.8 from being told as 0.79 for the way that it is stored."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One bound, how a run is held against it, and why it may not be reached."""

    words: str
    bound: float
    at_least: bool
    unit: str
    value: Callable[[Results], float | None]
    why: str
    command: str

    def reached(self, found: float) -> bool:
        """Whether a value keeps the bound."""
        return found >= self.bound - TINY if self.at_least else found <= self.bound + TINY


def verdict(figure: Figure, results: Results) -> tuple[str, str]:
    """Say what was found, and whether that is reached; where it is not, why."""
    found = figure.value(results)
    if found is None:
        return "-", "not measured"
    # Cut, not rounded, in the direction that flatters less: 0.799 is not 0.8.
    shown = f"{_cut(found, up=not figure.at_least)} {figure.unit}"
    return shown, "reached" if figure.reached(found) else f"**not reached**: {figure.why}"


def asked(figure: Figure) -> str:
    """Write a bound."""
    return f"{'≥' if figure.at_least else '≤'} {figure.bound:g} {figure.unit}"


def _cut(value: float, *, up: bool) -> str:
    if math.isinf(value):
        return "∞"
    digits = 2 if abs(value) < 10 else 1
    scaled = value * 10**digits
    whole = math.ceil(scaled - TINY) if up else math.floor(scaled + TINY)
    return f"{whole / 10**digits:.{digits}f}"


def lines(figures: Sequence[Figure], results: Results) -> list[str]:
    """Write a table of figures: what was asked, and what was found."""
    rows = []
    for figure in figures:
        found, words = verdict(figure, results)
        rows.append((figure.words, asked(figure), found, words, f"`{figure.command}`"))
    header = ("figure", "asked", "found", "", "command")
    return table(header, rows, words=len(header))
