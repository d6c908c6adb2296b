"""Prepare a stack of slices: all of it in one request, some slices a request, or a stream.

The stored volume is held once; what a request needs is made when it is asked for.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.contract import Contract, Input, InputKind, Normalise, Preparation
from ai.header import Source
from ai.inputs import extra, levels, resample, tensor
from ai.inputs.axis import plan
from ai.inputs.grid import StackGrid
from ai.inputs.levels import Levels
from ai.inputs.resample import Taps
from ai.prepared import Tensors
from ai.volume import MAX_BYTES, Volume
from dicom.errors import Unsuitable

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class PreparedStack:
    """A stack, ready to be asked about. Implements ai.prepared.Prepared."""

    source: Source
    grid: StackGrid
    pixel_digest: str
    voxels: Array
    """As stored, (z, y, x)."""
    images: Input
    extras: Tensors
    levels: Levels
    fill: float
    """What lies outside of what is stored, before levels are applied."""
    tables: tuple[Taps, Taps, Taps]

    @property
    def is_sequence(self) -> bool:
        """Whether the requests are one sequence."""
        return self.images.kind is InputKind.STREAM

    @property
    def batches(self) -> int:
        """Requests that make up the whole."""
        return -(-self.grid.items // self.per_batch)

    def tensors(self, batch: int) -> Tensors:
        """Make the arrays of one request, by input name."""
        begin = batch * self.per_batch
        if not 0 <= begin < self.grid.items:
            raise IndexError(f"there is no request {batch}")
        items = self._items(begin, min(begin + self.per_batch, self.grid.items))
        letters, colours = tensor.layout(self.images), tensor.colours(self.images)
        return {self.images.name: tensor.laid_out(items, letters, colours), **self.extras}

    def flipped(self, axis: str) -> "PreparedStack":
        """Give the same mirrored along "x", "y" or "z", whose grid undoes it."""
        grid = self.grid.flipped(axis)
        z, y, x = (resample.taps(one) for one in grid.axes)
        mirrored = hashlib.sha256(f"{self.pixel_digest} flipped {axis}".encode()).hexdigest()
        return replace(self, grid=grid, tables=(z, y, x), pixel_digest=mirrored)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the tensor's values."""
        made = self.voxels.dtype
        if not all(axis.is_same_scale for axis in self.grid.axes) or not self.levels.is_plain:
            made = np.dtype(np.float32)
        return tensor.dtype(self.images, made)

    @property
    def per_batch(self) -> int:
        """Slices in one request; the last may have fewer."""
        if self.images.kind is InputKind.VOLUME:
            return self.grid.items
        return max(1, self.images.preparation.batch)

    def _items(self, begin: int, end: int) -> Array:
        z, y, x = self.grid.axes
        if all(axis.is_plain and not axis.is_flipped for axis in (z, y, x)):
            stored = self.voxels[begin:end]
            if self.levels.is_plain and stored.dtype == self.dtype:
                return stored
        out = np.empty((end - begin, y.given, x.given), self.dtype)
        for at, item in enumerate(self.slices(begin, end)):
            out[at] = tensor.cast(self.levels.apply(item), out.dtype)
        return out

    def slices(self, begin: int, end: int) -> Iterator[Array]:
        """Yield slices as they are given, before levels are applied."""
        axes = (self.grid.axes[1], self.grid.axes[2])
        z, y, x = self.tables
        for at in range(begin, end):
            if z.inside[at]:
                yield resample.plane(self._slice(z, at), axes, (y, x), self.fill)
            else:
                shape = (axes[0].given, axes[1].given)
                yield np.full(shape, self.fill, self.voxels.dtype)

    def _slice(self, z: Taps, at: int) -> Array:
        indices, weights = z.indices[at], z.weights[at]
        if weights.max() == 1:
            stored: Array = self.voxels[indices[int(weights.argmax())]]
            return stored
        mixed = np.zeros(self.voxels.shape[1:], np.float32)
        for index, weight in zip(indices, weights, strict=True):
            if weight:
                mixed += self.voxels[index] * weight
        return mixed


def prepare(contract: Contract, stack: Volume) -> PreparedStack:
    """Lay a contract's preparation over a stack. Raises Unsuitable."""
    images = extra.image_input(contract)
    how = images.preparation
    z, y, x = (
        plan(stack.voxels.shape[which], stack.spacing_mm[which], how, which)
        for which in (-3, -2, -1)
    )
    grid = StackGrid((z, y, x))
    spacing = [axis.scale * mm for axis, mm in zip(grid.axes, stack.spacing_mm, strict=True)]
    extras = extra.fill(contract, stack.source.head, spacing)
    tables = (resample.taps(z), resample.taps(y), resample.taps(x))
    fill, steps = _levels(stack.voxels, how, is_padded=not all(t.inside.all() for t in tables))
    made = PreparedStack(
        source=stack.source,
        grid=grid,
        pixel_digest=extra.digest(contract, stack.digest, extras, stack.spacing_mm),
        voxels=stack.voxels,
        images=images,
        extras=extras,
        levels=steps,
        fill=fill,
        tables=tables,
    )
    _check_size(made)
    extra.check_batches(images, z.given)
    if how.normalise is Normalise.ZSCORE:
        windowed = (steps.apply(item) for item in made.slices(0, z.given))
        made = replace(made, levels=levels.scored(steps, windowed))
    return made


def _levels(voxels: Array, how: Preparation, *, is_padded: bool) -> tuple[float, Levels]:
    """Give what fills the outside, and the levels but for a z-score."""
    range_ = how.window
    is_ranged = how.normalise in {Normalise.UNIT, Normalise.SYMMETRIC}
    if range_ is None and (is_padded or is_ranged):
        range_ = (float(voxels.min()), float(voxels.max()))
    if range_ is None:
        return 0.0, Levels()
    # A window may begin below what int16 holds: cut, all of that is the lowest value anyway.
    lowest = np.clip(np.floor(range_[0]), -(2.0**15), 2.0**15 - 1)
    fill = float(lowest if voxels.dtype.kind == "i" else range_[0])
    return fill, levels.over(range_, how)


def _check_size(made: PreparedStack) -> None:
    _, y, x = made.grid.axes
    pixels = min(made.per_batch, made.grid.items) * y.given * x.given
    if pixels * made.dtype.itemsize > MAX_BYTES:
        raise Unsuitable("the tensor is larger than 2 GiB")
