"""Lead back from a model's array to the images of the source: labels, values and places."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from ai.inputs import resample
from ai.inputs.axis import Axis
from ai.prepared import Spot
from dicom.errors import BadAnswer

Array = npt.NDArray[Any]
Labels = npt.NDArray[np.uint8]
Values = npt.NDArray[np.float32]
T = TypeVar("T")


class Lazy(Sequence[T]):
    """Arrays that are made when they are asked for, so that a stack of them is never held."""

    def __init__(self, length: int, make: Callable[[int], T]) -> None:
        """Stand for so many arrays; `make` gives one of them by its place."""
        self._length = length
        self._make = make

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, at: int) -> T: ...

    @overload
    def __getitem__(self, at: slice) -> list[T]: ...

    def __getitem__(self, at: int | slice) -> T | list[T]:
        places = range(self._length)[at]
        return (
            self._make(places) if isinstance(places, int) else [self._make(one) for one in places]
        )


@dataclass(frozen=True, slots=True)
class StackGrid:
    """Over slices of one stack: a volume, slices or a stream of them."""

    axes: tuple[Axis, Axis, Axis]
    """Along z, y and x."""

    @property
    def items(self) -> int:
        """Length of the first axis."""
        return self.axes[0].given

    def labels(self, array: Array) -> Sequence[Labels]:
        """Lay labels (z, y, x) over the slices. Raises BadAnswer."""
        _require(array, tuple(axis.given for axis in self.axes))
        z, y, x = (axis.nearest() for axis in self.axes)
        nothing = np.zeros(array.shape[1:], np.uint8)
        return Lazy(len(z), lambda at: _labelled(nothing if z[at] < 0 else array[z[at]], y, x))

    def values(self, array: Array) -> Sequence[Values]:
        """Lay values (z, y, x), or coarser ones, over the slices. Raises BadAnswer."""
        _require_coarser(array, tuple(axis.given for axis in self.axes))
        z, y, x = (_back(axis, of) for axis, of in zip(self.axes, array.shape, strict=True))

        def make(at: int) -> Values:
            mixed = np.zeros(array.shape[1:], np.float32)
            if z.inside[at]:
                for index, weight in zip(z.indices[at], z.weights[at], strict=True):
                    mixed += array[index] * weight
            return _spread(mixed, y, x)

        return Lazy(len(z.inside), make)

    def image(self, item: int) -> int | None:
        """Find the slice in which the middle of an item lies; None outside of them all."""
        z = self.axes[0]
        place = z.pixel(item + 0.5)
        return None if place is None else min(int(place), z.stored - 1)

    def spot(self, item: float, row: float, column: float) -> Spot | None:
        """Find the place of an array's point; None where it lies outside every slice.

        A whole number of z names a slice: its middle is meant.
        """
        z, y, x = self.axes
        middle = item + 0.5 if float(item).is_integer() else item
        places = (z.pixel(middle), y.pixel(row), x.pixel(column))
        return _spot(z.stored, *places)

    def flipped(self, axis: str) -> "StackGrid":
        """Give the grid of the same array mirrored along "x", "y" or "z"."""
        z, y, x = (
            one.flipped() if letter == axis else one
            for letter, one in zip("zyx", self.axes, strict=True)
        )
        return StackGrid((z, y, x))


@dataclass(frozen=True, slots=True)
class ImagesGrid:
    """Over images that have nothing to do with each other's place."""

    axes: Sequence[tuple[Axis, Axis]]
    """Of each image, along y and x."""

    @property
    def items(self) -> int:
        """Number of images."""
        return len(self.axes)

    def labels(self, array: Array) -> Sequence[Labels]:
        """Lay labels (item, y, x) over the images. Raises BadAnswer."""
        self._require(array)
        made = []
        for item, (y, x) in zip(array, self.axes, strict=True):
            _require(item, (y.given, x.given))
            made.append(_labelled(item, y.nearest(), x.nearest()))
        return made

    def values(self, array: Array) -> Sequence[Values]:
        """Lay values (item, y, x), or coarser ones, over the images. Raises BadAnswer."""
        self._require(array)
        made = []
        for item, (y, x) in zip(array, self.axes, strict=True):
            _require_coarser(item, (y.given, x.given))
            height, width = item.shape
            made.append(_spread(item, _back(y, height), _back(x, width)))
        return made

    def image(self, item: int) -> int | None:
        """Say which image an item is: the same one. None where there is none."""
        return item if 0 <= item < len(self.axes) else None

    def spot(self, item: float, row: float, column: float) -> Spot | None:
        """Find the place of an array's point; None where it lies outside its image."""
        which = int(np.floor(item))
        if not 0 <= which < len(self.axes):
            return None
        y, x = self.axes[which]
        return _spot(len(self.axes), which, y.pixel(row), x.pixel(column))

    def flipped(self, axis: str) -> "ImagesGrid":
        """Give the grid of the same images, each mirrored along "x" or "y"."""
        return ImagesGrid(
            [(y.flipped(), x) if axis == "y" else (y, x.flipped()) for y, x in self.axes]
        )

    def _require(self, array: Array) -> None:
        # Images of several sizes cannot stand in one array: their answers come as a list of them.
        if len(array) != len(self.axes):
            raise BadAnswer(f"the answer is about {len(array)} images, not {len(self.axes)}")


def _require(array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise BadAnswer(f"labels came as {list(array.shape)}, the input was {list(shape)}")


def _require_coarser(array: Array, shape: tuple[int, ...]) -> None:
    fits = array.ndim == len(shape) and all(
        0 < length <= most for length, most in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise BadAnswer(f"values came as {list(array.shape)}, the input was {list(shape)}")


def _labelled(item: Array, y: npt.NDArray[np.intp], x: npt.NDArray[np.intp]) -> Labels:
    out = item[np.ix_(y, x)].astype(np.uint8)
    out[y < 0] = 0
    out[:, x < 0] = 0
    return out


def _back(axis: Axis, coarse: int) -> resample.Taps:
    """Give the taps that lead from an array of `coarse` pixels back to an axis' stored ones."""
    places = axis.to_given(np.arange(axis.stored) + 0.5)
    inside = (places > 0) & (places < axis.given)
    at = np.clip(places * (coarse / axis.given) - 0.5, 0, coarse - 1)
    first = np.minimum(np.floor(at).astype(np.intp), max(coarse - 2, 0))
    share = (at - first).astype(np.float32)
    indices = np.stack([first, np.minimum(first + 1, coarse - 1)], axis=1)
    return resample.Taps(indices, np.stack([1 - share, share], axis=1), inside)


def _spread(values: Array, y: resample.Taps, x: resample.Taps) -> Values:
    out = resample.along(resample.along(values, 0, y), 1, x)
    out[~y.inside] = 0
    out[:, ~x.inside] = 0
    return out


def _spot(images: int, at: float | None, row: float | None, column: float | None) -> Spot | None:
    if at is None or row is None or column is None:
        return None
    return Spot(min(int(at), images - 1), row, column)
