"""One output of an answer, and the checks that every kind of it has to pass."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.contract import IMAGE_KINDS, Contract, Input, InputKind, Output
from ai.prepared import Grid, Tensors
from dicom.errors import BadAnswer

ITEMS = frozenset({InputKind.SLICES, InputKind.IMAGES, InputKind.TILES})
"""Kinds of input of which a model answers a row for each item."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came for one output, and what it is about."""

    output: Output
    contract: Contract
    array: npt.NDArray[Any]
    """Without the axis that a server puts before an answer about a whole volume."""
    grid: Grid | None

    def fault(self, words: str) -> BadAnswer:
        """Name the output."""
        return BadAnswer(f"output {self.output.name} {words}")

    @property
    def image_input(self) -> Input:
        """The one input that takes images."""
        return next(each for each in self.contract.inputs if each.kind in IMAGE_KINDS)

    @property
    def image_kind(self) -> InputKind:
        """What the model was given."""
        return self.image_input.kind

    @property
    def by_item(self) -> bool:
        """Whether there is a row for each slice, image or tile."""
        return self.image_kind in ITEMS

    @property
    def layout(self) -> str:
        """The axes of the image's tensor."""
        default = "zyx" if self.image_kind is InputKind.VOLUME else "nyx"
        return self.image_input.preparation.layout or default

    def laid(self) -> Grid:
        """Give the way back to the images, which what is laid over them needs."""
        if self.grid is None:
            raise self.fault("is laid over images, and none were given")
        return self.grid

    def numbers(self, dtype: type[np.generic] = np.float32) -> npt.NDArray[Any]:
        """Give the array, of this type, and finite."""
        if self.array.dtype != dtype:
            raise self.fault(f"came as {self.array.dtype}, not {np.dtype(dtype)}")
        if not np.isfinite(self.array).all():
            raise self.fault("holds what is not a number (NaN or infinity)")
        return self.array

    def rows(self, width: int) -> npt.NDArray[np.float32]:
        """Give (rows, width): one row for the whole, or one for each item."""
        numbers = self.numbers()
        wanted = (self._items(numbers), width) if self.by_item else (width,)
        fits = numbers.shape == wanted
        if self.by_item and width == 1:
            fits = fits or numbers.shape == wanted[:1]
        if not fits:
            meaning = f"not {list(wanted)}"
            if not self.by_item and width == 1:
                meaning = "not one value"
            raise self.fault(f"came as {numbers.dtype} {list(numbers.shape)}, {meaning}")
        return numbers.reshape(-1, width)

    def image(self, row: int) -> int | None:
        """Find the image that a row is about; None where it lies outside them all."""
        return row if self.grid is None else self.grid.image(row)

    def _items(self, numbers: npt.NDArray[Any]) -> int:
        if self.grid is not None:
            return self.grid.items
        return numbers.shape[0] if numbers.ndim else 0


def answered(output: Output, contract: Contract, answer: Tensors, grid: Grid | None) -> Answered:
    """Take one output out of an answer. Raises BadAnswer where it is missing."""
    array = answer.get(output.name)
    if array is None:
        raise BadAnswer(f"output {output.name} is missing from the answer")
    if output.is_batched:
        if array.ndim == 0 or array.shape[0] != 1:
            words = f"came as {array.dtype} {list(array.shape)}, not about one volume"
            raise BadAnswer(f"output {output.name} {words}")
        array = array[0]
    return Answered(output, contract, array, grid)
