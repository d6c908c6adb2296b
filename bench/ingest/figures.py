"""The figures that the receive path has to reach, and whether a run reached them, purely."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.ingest.plan import BURST, BUSY, EXTRAS, MATRIX, QUIET
from bench.ingest.results import Results

ASSOCIATIONS = (1, 4, 8)
Value = Callable[[Results], float | None]

RATIOS = (
    ("ct", "CT, of the floor's rate", "floor", (0.85, 0.80, 0.75)),
    ("mr", "MR, of the floor's rate", "floor", (0.85, 0.80, 0.75)),
    ("ct", "CT, against Orthanc (TCP_NODELAY=1)", "orthanc-nodelay", (6, 4.5, 4.5)),
    ("mr", "MR, against Orthanc (TCP_NODELAY=1)", "orthanc-nodelay", (6, 6, 8)),
    ("ct", "CT, against storescp made durable", "storescp-durable", (1.25, 1.25, 1.25)),
    ("mr", "MR, against storescp made durable", "storescp-durable", (1.9, 1.5, 1.7)),
    ("ct", "CT, against pynetdicom's storescp", "pynetdicom", (8, 10, 15)),
    ("mr", "MR, against pynetdicom's storescp", "pynetdicom", (8, 10, 15)),
)
"""Of the node's objects a second, at least so much for 1, 4 and 8 associations."""
CPU_MS, GROWTH_MB, LAG_S, KEPT = 0.45, 32.0, 2.0, 0.5


@dataclass(frozen=True, slots=True)
class Figure:
    """One bound, and how a run is held against it."""

    words: str
    associations: int
    bound: float
    at_least: bool
    unit: str
    value: Value

    def reached(self, found: float) -> bool:
        """Whether a value keeps the bound."""
        return found >= self.bound if self.at_least else found <= self.bound


def figures() -> Iterator[Figure]:
    """List every figure; those of one line share their words."""
    for work, words, peer, bounds in RATIOS:
        for count, bound in zip(ASSOCIATIONS, bounds, strict=True):
            yield Figure(words, count, bound, True, "x", _ratio(work, count, peer))
    for count in ASSOCIATIONS:
        value = _node("main_cpu_ms", "ct", count)
        words = "CPU of the front per CT object, filing included"
        yield Figure(words, count, CPU_MS, False, "ms", value)
    words = "memory of the front grows, eight 200 MB objects together"
    yield Figure(words, 8, GROWTH_MB, False, "MB", _node("main_growth_mb", "huge", 8))
    words = "all is filed after 20,000 small objects"
    work, count = EXTRAS[BURST]
    yield Figure(words, count, LAG_S, False, "s", _node("filed_s", work, count, BURST))
    words = "CT, workers busy on both cores, of the quiet rate"
    yield Figure(words, EXTRAS[BUSY][1], KEPT, True, "x", _kept)


def by_words() -> dict[str, list[Figure]]:
    """Give the figures as lines of a table."""
    lines: dict[str, list[Figure]] = {}
    for figure in figures():
        lines.setdefault(figure.words, []).append(figure)
    return lines


def verdict(figure: Figure, results: Results) -> str:
    """Say in a cell of a table what was found, what is asked, and whether that is reached."""
    found = figure.value(results)
    asked = f"{'≥' if figure.at_least else '≤'} {figure.bound:g} {figure.unit}"
    if found is None:
        return f"not measured ({asked})"
    # Cut, not rounded, in the direction that flatters less: 0.849 is not 0.85.
    shown = _cut(found, up=not figure.at_least)
    word = "reached" if figure.reached(found) else "**not reached**"
    return f"{shown} {figure.unit} ({asked}): {word}"


def _cut(value: float, *, up: bool) -> str:
    digits = 2 if abs(value) < 10 else 1
    scaled = value * 10**digits
    # The tiny amount keeps 0.85 from being told as 0.84 for the way that it is stored.
    whole = math.ceil(scaled - 1e-9) if up else math.floor(scaled + 1e-9)
    return f"{whole / 10**digits:.{digits}f}"


def _ratio(work: str, count: int, peer: str) -> Value:
    return lambda results: results.ratio(work, count, of="node", to=peer)


def _node(name: str, work: str, count: int, case: str = MATRIX) -> Value:
    return lambda results: results.median(name, "node", work, count, case)


def _kept(results: Results) -> float | None:
    work, count = EXTRAS[BUSY]
    busy = results.median("objects_per_s", "node", work, count, BUSY)
    quiet = results.median("objects_per_s", "node", work, count, QUIET)
    return busy / quiet if busy is not None and quiet else None
