"""Prepare images that have no place in space, each by itself: radiographs, mammograms."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import Contract, Input, Normalise
from ai.header import Part10, Source
from ai.inputs import extra, levels, picture, resample, tensor, wanted
from ai.inputs.axis import Axis, plan
from ai.inputs.grid import ImagesGrid
from ai.inputs.levels import Levels
from ai.inputs.picture import Facts, Picture
from ai.prepared import Tensors
from ai.volume import MAX_BYTES
from dicom.errors import BadAnswer, Unsuitable

Array = npt.NDArray[Any]
THREADS: Final = 4
"""How many images are decoded at a time."""
_ALIKE: Final = 1e-3


@dataclass(frozen=True, slots=True)
class PreparedImages:
    """Images, ready to be asked about. Implements ai.prepared.Prepared."""

    source: Source
    grid: ImagesGrid
    pixel_digest: str
    contract: Contract
    images: Input
    pictures: Sequence[Picture]
    levels: Sequence[Levels]
    """Of each image."""
    is_sequence: bool = False

    @property
    def batches(self) -> int:
        """Requests that make up the whole."""
        return -(-len(self.pictures) // self.per_batch)

    @property
    def per_batch(self) -> int:
        """Images in one request; the last may have fewer."""
        return max(1, self.images.preparation.batch)

    def tensors(self, batch: int) -> Tensors:
        """Make the arrays of one request, by input name."""
        which = self.members(batch)
        colours = tensor.colours(self.images)
        items = np.stack([self._item(at) for at in which])
        if colours == 3 and items.ndim == 3:
            items = np.repeat(items[..., np.newaxis], 3, axis=3)
        laid_out = tensor.laid_out(items, tensor.layout(self.images), colours)
        return {self.images.name: laid_out, **self.extras(which[0])}

    def members(self, batch: int) -> range:
        """Say which images a request holds."""
        begin = batch * self.per_batch
        if not 0 <= begin < len(self.pictures):
            raise IndexError(f"there is no request {batch}")
        return range(begin, min(begin + self.per_batch, len(self.pictures)))

    def extras(self, at: int) -> Tensors:
        """Make the tensors that are no images, for the request that begins with an image."""
        return extra.fill(self.contract, self.source.head, self.spacing_mm(at))

    def spacing_mm(self, at: int) -> tuple[float, float]:
        """Give distances in mm between the rows and columns given of an image; 0 if unknown."""
        known = self.pictures[at].facts.plane.spacing_mm or (0.0, 0.0)
        y, x = self.grid.axes[at]
        return y.scale * known[0], x.scale * known[1]

    def flipped(self, axis: str) -> "PreparedImages":
        """Give the same, each image mirrored along "x" or "y". Raises BadAnswer for "z"."""
        if axis == "z":
            raise BadAnswer("images have no z to be mirrored along")
        mirrored = hashlib.sha256(f"{self.pixel_digest} flipped {axis}".encode()).hexdigest()
        return replace(self, grid=self.grid.flipped(axis), pixel_digest=mirrored)

    def values(self, at: int) -> Array:
        """Make one image (y, x) or (y, x, c) as it is given, before its type is changed."""
        axes, one = self.grid.axes[at], self.pictures[at]
        tables = (resample.taps(axes[0]), resample.taps(axes[1]))
        fill = one.range[0]
        if one.values.dtype.kind in "iu":
            limits = np.iinfo(one.values.dtype)
            fill = float(np.clip(np.floor(fill), limits.min, limits.max))
        return self.levels[at].apply(resample.plane(one.values, axes, tables, fill))

    def _item(self, at: int) -> Array:
        values = self.values(at)
        return tensor.cast(values, tensor.dtype(self.images, np.dtype(np.float32)))


def prepare(contract: Contract, series: Sequence[Part10]) -> PreparedImages:
    """Check, order and decode a Series' images. Raises Unsuitable."""
    if len(series) < max(1, contract.wants.min_slices):
        words = f"at least {max(1, contract.wants.min_slices)} are needed"
        raise Unsuitable(f"{len(series)} images; {words}")
    images = extra.image_input(contract)
    how = images.preparation
    found = [picture.facts(index, part10) for index, part10 in enumerate(series)]
    _check(contract, images, found)
    found.sort(key=lambda facts: (facts.number, facts.reference.sop_instance_uid))
    with ThreadPoolExecutor(min(THREADS, len(found))) as threads:
        pictures = list(
            threads.map(lambda facts: picture.read(series[facts.index], facts, how), found)
        )
    made = PreparedImages(
        source=_source(found),
        grid=ImagesGrid([_axes(one, images) for one in found]),
        pixel_digest="",
        contract=contract,
        images=images,
        pictures=pictures,
        levels=[levels.over(one.range, how) for one in pictures],
    )
    _check_batches(made)
    extra.check_batches(images, len(pictures))
    if how.normalise is Normalise.ZSCORE:
        given = (made.values(at) for at in range(len(pictures)))
        steps = levels.scored(made.levels[0], given)
        made = replace(made, levels=[steps] * len(pictures))
    return replace(made, pixel_digest=_digest(made))


def _check(contract: Contract, images: Input, found: Sequence[Facts]) -> None:
    takes_colour = tensor.colours(images) != 1
    for facts in found:
        wanted.check(facts.name, facts.acquired, contract.wants)
        if facts.is_coloured and not takes_colour:
            raise Unsuitable(f"{facts.name}: it is in colour; grey is wanted")
    if len({facts.identity for facts in found}) > 1:
        raise Unsuitable("the images are not all of one study, Series and patient")
    if len({facts.reference.sop_instance_uid for facts in found}) < len(found):
        raise Unsuitable("two objects carry the same SOPInstanceUID")
    if len({facts.is_coloured for facts in found}) > 1:
        raise Unsuitable("some images are in colour and some are grey")
    needs_mm = images.preparation.spacing_mm is not None or extra.asks_for_spacing(contract)
    for facts in found:
        if needs_mm and facts.plane.spacing_mm is None:
            raise Unsuitable(f"{facts.name}: it has neither PixelSpacing nor ImagerPixelSpacing")


def _axes(facts: Facts, images: Input) -> tuple[Axis, Axis]:
    known = facts.plane.spacing_mm or (0.0, 0.0)
    how = images.preparation
    rows, columns = facts.stored.shape
    return plan(rows, known[0], how, -2), plan(columns, known[1], how, -1)


def _source(found: Sequence[Facts]) -> Source:
    first = found[0]
    return Source(
        study_instance_uid=first.identity[0],
        series_instance_uid=first.identity[1],
        references=tuple(facts.reference for facts in found),
        head=first.head,
        planes=tuple(facts.plane for facts in found),
        heads=tuple(facts.head for facts in found),
    )


def _check_batches(made: PreparedImages) -> None:
    asks = extra.asks_for_spacing(made.contract)
    for batch in range(made.batches):
        which = made.members(batch)
        shapes = {tuple(axis.given for axis in made.grid.axes[at]) for at in which}
        if len(shapes) > 1:
            raise Unsuitable("the images differ in size; a size, or a batch of 1, is needed")
        if asks and not np.allclose(
            [made.spacing_mm(at) for at in which], made.spacing_mm(which[0]), rtol=_ALIKE
        ):
            raise Unsuitable(
                "the images differ in PixelSpacing; spacing_mm, or a batch of 1, is needed"
            )
        ((rows, columns),) = shapes
        dtype = tensor.dtype(made.images, np.dtype(np.float32))
        channels = 3 if made.pictures[0].values.ndim == 3 else 1
        if len(which) * rows * columns * channels * dtype.itemsize > MAX_BYTES:
            raise Unsuitable("the tensor is larger than 2 GiB")


def _digest(made: PreparedImages) -> str:
    whole = hashlib.sha256()
    extras: dict[str, Array] = {}
    for at, one in enumerate(made.pictures):
        whole.update(repr((one.values.shape, one.values.dtype.str, one.range)).encode())
        whole.update(np.ascontiguousarray(one.values).data)
        for name, array in made.extras(at).items():
            extras[f"{at} {name}"] = array
    spacings = [one.facts.plane.spacing_mm for one in made.pictures]
    return extra.digest(made.contract, whole.digest(), extras, spacings)
