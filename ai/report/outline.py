"""Trace the outlines of a region of pixels as closed lines."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

Corner = tuple[int, int]
"""Column and row of a pixel's corner: 0 at the outer edge of the first pixel."""
Ring = npt.NDArray[np.float64]
"""Corners (n, 2) as column and row; the last is the first again."""

_TOLERANCE_PIXELS: Final = 0.75
"""A staircase along a slope is this close to a straight line."""


def outlines(inside: npt.NDArray[np.bool_], *, most_points: int = 2000) -> list[Ring]:
    """Trace all outlines of a region (y, x), the outer ones and those of its holes.

    A ring has at most `most_points`: the steps of a slope become a straight line, and more than
    that where they are too many. The longest ring comes first.
    """
    rings = [_fitting(np.array(ring, dtype=np.float64), most_points) for ring in _rings(inside)]
    return sorted(rings, key=len, reverse=True)


def _rings(inside: npt.NDArray[np.bool_]) -> Iterator[list[Corner]]:
    # The region is to the right of each side: a top side leads to the right, a left side up.
    padded = np.pad(inside, 1).astype(np.int8)
    across: dict[Corner, list[Corner]] = defaultdict(list)
    for row, start, end in _sides(np.diff(padded, axis=0)[:, 1:-1]):
        across[start, row].append((end, row))
    along: dict[Corner, list[Corner]] = defaultdict(list)
    for column, start, end in _sides(-np.diff(padded, axis=1)[1:-1].T):
        along[column, start].append((column, end))
    while across:
        yield _walk(across, along)


def _sides(edges: npt.NDArray[np.int8]) -> Iterator[tuple[int, int, int]]:
    """Join edges (line, place) of one direction: line, begin and end; 1 leads on, -1 back."""
    wide = np.pad(edges, ((0, 0), (1, 1)))
    lines, firsts = np.nonzero((edges != 0) & (edges != wide[:, :-2]))
    lasts = np.nonzero((edges != 0) & (edges != wide[:, 2:]))[1] + 1
    leads_on = edges[lines, firsts] > 0
    begins, ends = np.where(leads_on, firsts, lasts), np.where(leads_on, lasts, firsts)
    return zip(lines.tolist(), begins.tolist(), ends.tolist(), strict=True)


def _walk(across: dict[Corner, list[Corner]], along: dict[Corner, list[Corner]]) -> list[Corner]:
    """Follow sides from any of those across until the ring is closed, and use them up."""
    first = next(iter(across))
    ring = [first]
    is_across = True
    while True:
        here = ring[-1]
        sides = across if is_across else along
        ends = sides[here]
        # Where two regions touch at a corner, a turn to the right keeps them apart.
        before = ring[-2] if len(ring) > 1 else here
        turn = _right_turn(before, here)
        ends.sort(key=lambda end: (end[0] - here[0]) * turn[0] + (end[1] - here[1]) * turn[1])
        ring.append(ends.pop())
        if not ends:
            del sides[here]
        is_across = not is_across
        if ring[-1] == first and is_across:
            return ring


def _right_turn(before: Corner, here: Corner) -> Corner:
    return before[1] - here[1], here[0] - before[0]


def _fitting(ring: Ring, most_points: int) -> Ring:
    tolerance = _TOLERANCE_PIXELS
    fitting = _simpler(ring, tolerance)
    while len(fitting) > most_points:
        tolerance *= 2
        fitting = _simpler(ring, tolerance)
    return fitting


def _simpler(ring: Ring, tolerance: float) -> Ring:
    """Leave out corners that are within `tolerance` of the line without them (Douglas, Peucker)."""
    far = int(np.argmax(((ring - ring[0]) ** 2).sum(axis=1)))
    kept = {0, far, len(ring) - 1}
    left = [(0, far), (far, len(ring) - 1)]
    while left:
        first, last = left.pop()
        if last - first < 2:
            continue
        chord = ring[last] - ring[first]
        inner = ring[first + 1 : last] - ring[first]
        length = float(np.hypot(*chord))
        away = np.abs(inner[:, 0] * chord[1] - inner[:, 1] * chord[0]) / max(length, 1e-9)
        at = int(np.argmax(away))
        if away[at] > tolerance:
            kept.add(first + 1 + at)
            left += [(first, first + 1 + at), (first + 1 + at, last)]
    if len(kept) < 4:  # a ring that would fall flat stays as it is
        return ring
    return ring[sorted(kept)]
