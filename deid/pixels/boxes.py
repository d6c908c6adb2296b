"""Rectangles of pixels: clipped, grown, turned, and what lies outside of them."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple


class Box(NamedTuple):
    """A rectangle in pixels; column x1 and row y1 are the first ones outside."""

    x0: int
    y0: int
    x1: int
    y1: int


def clip(box: Box, columns: int, rows: int) -> Box | None:
    """Cut a box to an image; None where nothing is left of it."""
    x0, y0 = max(box.x0, 0), max(box.y0, 0)
    x1, y1 = min(box.x1, columns), min(box.y1, rows)
    return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def grow(box: Box, margin: int) -> Box:
    """Widen a box on each side; the result may reach over the image's edge."""
    return Box(box.x0 - margin, box.y0 - margin, box.x1 + margin, box.y1 + margin)


def turn_back(box: Box, quarters: int, columns: int, rows: int) -> Box:
    """Map a box of an image that numpy.rot90 turned `quarters` times back to the image itself."""
    x0, y0, x1, y1 = box
    match quarters % 4:
        case 1:
            return Box(columns - y1, x0, columns - y0, x1)
        case 2:
            return Box(columns - x1, rows - y1, columns - x0, rows - y0)
        case 3:
            return Box(y0, rows - x1, y1, rows - x0)
        case _:
            return box


def distinct(boxes: Iterable[Box]) -> tuple[Box, ...]:
    """Drop boxes that lie inside another one."""
    kept: list[Box] = []
    for box in sorted(set(boxes), key=lambda each: -(each.x1 - each.x0) * (each.y1 - each.y0)):
        if not any(_holds(other, box) for other in kept):
            kept.append(box)
    return tuple(sorted(kept))


def _holds(outer: Box, inner: Box) -> bool:
    corners = outer.x0 <= inner.x0 and outer.y0 <= inner.y0
    return corners and inner.x1 <= outer.x1 and inner.y1 <= outer.y1


def outside(kept: Sequence[Box], columns: int, rows: int) -> tuple[Box, ...]:
    """Cover with boxes, none over another, what no kept box covers; `kept` lie in the image."""
    edges = sorted({0, rows, *(box.y0 for box in kept), *(box.y1 for box in kept)})
    found: list[Box] = []
    for top, bottom in pairwise(edges):
        spans = sorted((box.x0, box.x1) for box in kept if box.y0 <= top and bottom <= box.y1)
        reached = 0
        for x0, x1 in spans:
            if x0 > reached:
                found.append(Box(reached, top, x0, bottom))
            reached = max(reached, x1)
        if reached < columns:
            found.append(Box(reached, top, columns, bottom))
    return tuple(found)
