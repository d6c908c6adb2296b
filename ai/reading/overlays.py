"""Read what lies over the images pixel by pixel: masks and heat maps."""

import itertools
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import InputKind
from ai.finding import Heatmap, Mask
from ai.reading.answered import Answered

_TOLERANCE: Final = 1e-4


def mask(said: Answered) -> Iterator[Mask]:
    """Read which pixels belong to which segment. Raises BadAnswer."""
    grid = said.laid()
    if said.array.dtype == np.float32 and len(said.output.classes) == 1:
        labels = _cut(said)
    else:
        labels = said.numbers(np.uint8)
        most = int(labels.max(initial=0))
        if most > len(said.output.classes):
            words = f"holds the label {most}, and its contract names"
            raise said.fault(f"{words} {len(said.output.classes)} segments")
    yield Mask(
        output=said.output.name,
        segments=said.output.classes,
        labels=grid.labels(_on_axes(said, labels)),
        site=said.output.site,
    )


def heatmap(said: Answered) -> Iterator[Heatmap]:
    """Read a value for each pixel, block of pixels or tile. Raises BadAnswer."""
    output, grid = said.output, said.laid()
    assert output.title is not None  # ai/declared_outputs.py makes no heat map without one
    values = said.numbers()
    if not values.size:
        raise said.fault("is empty")
    quantity = output.quantity
    if quantity is not None:
        least, most = float(values.min()), float(values.max())
        if least < quantity.low or most > quantity.high:
            limits = f"{quantity.low:g} to {quantity.high:g}"
            raise said.fault(f"is {least:g} to {most:g}, outside its limits {limits}")
    if said.image_kind is InputKind.TILES:
        laid = grid.values(said.rows(1)[:, 0])
    else:
        laid = grid.values(_on_axes(said, values))
    unit = quantity.unit if quantity is not None else None
    yield Heatmap(output.name, output.title, unit, laid)


def _cut(said: Answered) -> npt.NDArray[np.uint8]:
    """Make labels of the probabilities of one segment."""
    probabilities = said.numbers()
    (segment,) = said.output.classes
    if probabilities.size:
        least, most = float(probabilities.min()), float(probabilities.max())
        if least < -_TOLERANCE or most > 1 + _TOLERANCE:
            raise said.fault(f"holds {least:g} to {most:g}, and probabilities are 0 to 1")
    return (probabilities >= segment.threshold).astype(np.uint8)


def _on_axes(said: Answered, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Bring an array from the tensor's axes to (z, y, x), or (item, y, x).

    A model may leave out of its answer what the layout has beside these: colours, and axes of
    length one.
    """
    order = "nyx" if "n" in said.layout else "zyx"
    for left_out in _leave_outs(said.layout, array.ndim):
        axes = [letter for i, letter in enumerate(said.layout) if i not in left_out]
        beside = [i for i, letter in enumerate(axes) if letter not in order]
        if all(array.shape[i] == 1 for i in beside):
            spatial = [letter for letter in axes if letter in order]
            bare = array.reshape([n for i, n in enumerate(array.shape) if i not in beside])
            return bare.transpose([spatial.index(letter) for letter in order])
    raise said.fault(f"came as {list(array.shape)}, which are not the axes {said.layout!r}")


def _leave_outs(layout: str, axes: int) -> Iterator[tuple[int, ...]]:
    """List which axes of a layout may be missing from an array of so many: colours first."""
    extra = [i for i, letter in enumerate(layout) if letter == "c"]
    extra += [i for i, letter in enumerate(layout) if letter == "1"]
    if 0 <= len(layout) - axes <= len(extra):
        yield from itertools.combinations(extra, len(layout) - axes)
