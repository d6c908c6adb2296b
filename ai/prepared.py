"""What is between a Series and the calls to a model: requests to make, and the way back.

Facts and seams; ai/prepare.py makes them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ai.header import Source

Tensors = Mapping[str, npt.NDArray[Any]]
"""Arrays by the name of their input or output."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on an image of the source, in its pixels: 0.5 is the middle of the first."""

    image: int
    row: float
    column: float


class Grid(Protocol):
    """The way back from a model's array to the images of the source.

    Arrays have the axes of the prepared images, (z, y, x) or (item, y, x), whatever the layout of
    the tensor was. Tiles have items alone: a value for each.
    """

    @property
    def items(self) -> int:
        """Length of the first axis."""

    def labels(self, array: npt.NDArray[Any]) -> Sequence[npt.NDArray[np.uint8]]:
        """Lay labels over the images, nearest neighbour: one array (y, x) for each.

        Raises BadAnswer where the array has another shape than the images that were given.
        """

    def values(self, array: npt.NDArray[Any]) -> Sequence[npt.NDArray[np.float32]]:
        """Lay values over the images, linearly; coarser arrays are stretched. Raises BadAnswer."""

    def image(self, item: int) -> int | None:
        """Find the image of the source that an item is of; None where it lies outside them all."""

    def spot(self, item: float, row: float, column: float) -> Spot | None:
        """Find the place of an array's point; None where it lies outside every image."""


class Prepared(Protocol):
    """A Series, ready to be asked about."""

    @property
    def source(self) -> Source:
        """Which stored objects it is about."""

    @property
    def grid(self) -> Grid:
        """The way back."""

    @property
    def batches(self) -> int:
        """Requests that make up the whole; the answers' rows are joined in their order."""

    @property
    def is_sequence(self) -> bool:
        """Whether they are one Triton sequence: in order, to one server, the last answer counts."""

    def tensors(self, batch: int) -> Tensors:
        """Make the arrays of one request, by input name. May be called again for a retry."""

    def flipped(self, axis: str) -> "Prepared":
        """Give the same mirrored along "x", "y" or "z", whose grid undoes it."""

    @property
    def pixel_digest(self) -> str:
        """SHA-256 (hex) of all that the model is given: values, shapes and order."""
