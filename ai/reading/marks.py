"""Read boxes and points: best score first, those outside every image left out and counted."""

import itertools
from collections.abc import Iterator
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from ai.contract import Code
from ai.finding import Box, Point, Text
from ai.prepared import Grid, Spot
from ai.reading.answered import Answered

COMMENT: Final = Code("121106", "DCM", "Comment")
_MOST_ROWS: Final = 1_000_000
_TOLERANCE: Final = 1e-4
_BISECTIONS: Final = 24
_LOOKS: Final = (0.5, 0.1, 0.3, 0.7, 0.9)
"""Where in a box it is looked for the image, as shares of its sides, the middle first."""
_FoundT = TypeVar("_FoundT", Box, Point)


def boxes(said: Answered) -> Iterator[Box | Text]:
    """Read rectangles; parts outside the image are cut off. Raises BadAnswer."""
    name = said.output.classes[0].name
    found, outside = list[Box](), 0
    rows = _rows(said, 6)
    if ((rows[:, 3] < rows[:, 1]) | (rows[:, 4] < rows[:, 2])).any():
        raise said.fault("has a box whose bottom or right edge lies before the other one")
    for item, top, left, bottom, right, score in rows.tolist():
        corners = _on_image(said.laid(), item, (top, left), (bottom, right))
        if corners is None:
            outside += 1
            continue
        rows_ = sorted((corners[0].row, corners[1].row))
        columns = sorted((corners[0].column, corners[1].column))
        found.append(
            Box(
                output=said.output.name,
                name=name,
                score=score,
                image=corners[0].image,
                top=rows_[0],
                left=columns[0],
                bottom=rows_[1],
                right=columns[1],
                site=said.output.site,
            )
        )
    yield from _best(said, found, outside)


def points(said: Answered) -> Iterator[Point | Text]:
    """Read places. Raises BadAnswer."""
    name = said.output.classes[0].name
    found, outside = list[Point](), 0
    for item, row, column, score in _rows(said, 4).tolist():
        spot = said.laid().spot(item, row, column)
        if spot is None:
            outside += 1
            continue
        found.append(
            Point(
                output=said.output.name,
                name=name,
                score=score,
                image=spot.image,
                row=spot.row,
                column=spot.column,
                site=said.output.site,
            )
        )
    yield from _best(said, found, outside)


def _rows(said: Answered, width: int) -> npt.NDArray[np.float64]:
    """Give (rows, width), item first and score last, of those that count, best first."""
    numbers = said.numbers().astype(np.float64)
    if said.by_item and numbers.ndim == 3 and numbers.shape[2] == width - 1:
        items = np.arange(numbers.shape[0], dtype=np.float64)
        if said.grid is not None and len(items) != said.grid.items:
            raise said.fault(f"is about {len(items)} items, and {said.grid.items} were given")
        numbers = numbers.reshape(-1, width - 1)
        first = np.repeat(items, len(numbers) // max(len(items), 1))
        numbers = np.concatenate([first[:, None], numbers], axis=1)
    if numbers.ndim != 2 or numbers.shape[1] != width or len(numbers) > _MOST_ROWS:
        raise said.fault(f"came as {list(said.array.shape)}, not rows of {width} numbers")
    scores = numbers[:, -1]
    if len(scores) and (scores.min() < -_TOLERANCE or scores.max() > 1 + _TOLERANCE):
        raise said.fault(f"has scores of {scores.min():g} to {scores.max():g}, not 0 to 1")
    numbers[:, -1] = np.clip(scores, 0, 1).round(6)
    # Models pad their rows with score 0: these are no finding, whatever the threshold.
    threshold = said.output.classes[0].threshold
    numbers = numbers[(scores > 0) & (scores >= threshold)]
    if said.by_item and said.grid is not None:
        items = numbers[:, 0]
        if len(items) and (items.min() < 0 or items.max() >= said.grid.items):
            raise said.fault(f"names an item that is none of the {said.grid.items} given")
    best: npt.NDArray[np.float64] = numbers[np.argsort(-numbers[:, -1], kind="stable")]
    return best


def _on_image(
    grid: Grid, item: float, first: tuple[float, float], last: tuple[float, float]
) -> tuple[Spot, Spot] | None:
    """Find a box on its image, with what hangs over its edge cut off; None outside of it."""
    if (whole := _corners(grid, item, first, last)) is not None:
        return whole
    within = (
        (_between(first[0], last[0], at), _between(first[1], last[1], to))
        for at, to in itertools.product(_LOOKS, _LOOKS)
    )
    seen = next((place for place in within if grid.spot(item, *place) is not None), None)
    if seen is None:
        return None
    kept = [
        _last_inside(grid, item, seen, axis, end[axis])
        for end, axis in itertools.product((first, last), (0, 1))
    ]
    return _corners(grid, item, (kept[0], kept[1]), (kept[2], kept[3]))


def _between(first: float, last: float, share: float) -> float:
    return first + (last - first) * share


def _corners(
    grid: Grid, item: float, first: tuple[float, float], last: tuple[float, float]
) -> tuple[Spot, Spot] | None:
    one, other = grid.spot(item, *first), grid.spot(item, *last)
    if one is None or other is None or one.image != other.image:
        return None
    return one, other


def _last_inside(
    grid: Grid, item: float, seen: tuple[float, float], axis: int, end: float
) -> float:
    """Go from a place on the image towards an edge of a box as far as the image goes."""
    inside, outside = seen[axis], end
    for _ in range(_BISECTIONS):
        at = (inside + outside) / 2
        place = (at, seen[1]) if axis == 0 else (seen[0], at)
        if grid.spot(item, *place) is None:
            outside = at
        else:
            inside = at
    return inside


def _best(said: Answered, found: list[_FoundT], outside: int) -> Iterator[_FoundT | Text]:
    limit, what = said.output.limit, said.output.classes[0].name.meaning
    yield from found[:limit]
    words = []
    if len(found) > limit:
        words.append(f"{len(found) - limit} more of lower score are not listed")
    if outside:
        words.append(f"{outside} outside the images are left out")
    if words:
        yield Text(said.output.name, COMMENT, f"{what}: {'; '.join(words)}.")
