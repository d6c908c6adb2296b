"""Prepare a whole-slide image: tiles that show tissue, made when they are asked for."""

import hashlib
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import Contract, Input, Normalise
from ai.header import Part10, Plane, Source
from ai.inputs import extra, levels, resample, slide, tensor, wanted
from ai.inputs.axis import Axis, asked
from ai.inputs.levels import Levels
from ai.inputs.slide import GLASS, Facts, Level
from ai.prepared import Spot, Tensors
from ai.volume import MAX_BYTES
from dicom.errors import BadAnswer, Unsuitable
from dicom.frames import MOST_FRAMES
from dicom.part10 import text

Array = npt.NDArray[Any]
TISSUE_AT_MOST: Final = 230
"""A pixel shows tissue where its darkest colour, of 0 to 255, is no brighter than this."""
TISSUE_SHARE: Final = 0.05
"""A tile is given where at least this share of its pixels shows tissue."""
AS_FINE: Final = 1.1
"""Pixels that are this many times as large as is wanted count as small enough."""
FINE_ENOUGH: Final = 1.5
"""A level whose pixels are this many times as large as is wanted does not hold what is wanted."""
MOST_COARSE: Final = 64
"""What is wanted is not resampled out of a level that is so many times as fine."""
THREADS: Final = 4
"""How many tiles are decoded at a time."""
_LOOKED_AT_PIXELS: Final = 2**20
"""As many pixels are looked at for tissue at a time."""
_HASHED_BYTES: Final = 64 << 20
_COARSE_PIXELS: Final = 16
"""Tissue is looked for on the coarsest level on which a tile still has so many rows."""


@dataclass(frozen=True, slots=True)
class TilesGrid:
    """Over one slide: one value for each tile that was given."""

    shape: tuple[int, int]
    """Rows and columns of tiles."""
    places: Sequence[tuple[int, int]]
    """Of each item: its row and column among the tiles."""
    axes: tuple[Axis, Axis]
    """Of the first tile over the total pixel matrix, along y and x."""

    @property
    def items(self) -> int:
        """Number of tiles that are given."""
        return len(self.places)

    def labels(self, array: Array) -> Sequence[npt.NDArray[np.uint8]]:
        """Make a map with one pixel for each tile, 0 where there is none. Raises BadAnswer."""
        return [self._laid(array, np.uint8)]

    def values(self, array: Array) -> Sequence[npt.NDArray[np.float32]]:
        """Make a map with one pixel for each tile, 0 where there is none. Raises BadAnswer."""
        return [self._laid(array, np.float32)]

    def image(self, item: int) -> int | None:
        """Say that every tile is of the one slide; None where there is no such tile."""
        return 0 if 0 <= item < self.items else None

    def spot(self, item: float, row: float, column: float) -> Spot | None:
        """Find the place in the total pixel matrix; None where it lies outside."""
        which = math.floor(item)
        if not 0 <= which < self.items:
            return None
        down, across = self.tile(which)
        y, x = down.pixel(row), across.pixel(column)
        return None if y is None or x is None else Spot(0, y, x)

    def tile(self, item: int) -> tuple[Axis, Axis]:
        """Lay one tile over the total pixel matrix."""
        y, x = (
            replace(axis, start=place * axis.given * axis.scale)
            for axis, place in zip(self.axes, self.places[item], strict=True)
        )
        return y, x

    def flipped(self, axis: str) -> "TilesGrid":
        """Give the grid of the same tiles, each mirrored along "x" or "y"."""
        y, x = self.axes
        return replace(self, axes=(y.flipped(), x) if axis == "y" else (y, x.flipped()))

    def _laid(self, array: Array, dtype: Any) -> Array:
        if array.size != self.items or (array.ndim and len(array) != self.items):
            raise BadAnswer(f"the answer is {list(array.shape)} for {self.items} tiles")
        out = np.zeros(self.shape, dtype)
        rows, columns = np.array(self.places, np.intp).reshape(-1, 2).T
        out[rows, columns] = array.reshape(-1)
        return out


@dataclass(frozen=True, slots=True)
class PreparedTiles:
    """A slide, ready to be asked about. Implements ai.prepared.Prepared."""

    source: Source
    grid: TilesGrid
    pixel_digest: str
    images: Input
    extras: Tensors
    level: Level
    levels: Levels
    is_sequence: bool = False

    @property
    def batches(self) -> int:
        """Requests that make up the whole."""
        return -(-self.grid.items // self.per_batch)

    @property
    def per_batch(self) -> int:
        """Tiles in one request; the last may have fewer."""
        return max(1, self.images.preparation.batch)

    def tensors(self, batch: int) -> Tensors:
        """Make the arrays of one request. Raises Unsuitable where a frame cannot be decoded."""
        begin = batch * self.per_batch
        if not 0 <= begin < self.grid.items:
            raise IndexError(f"there is no request {batch}")
        which = range(begin, min(begin + self.per_batch, self.grid.items))
        with ThreadPoolExecutor(min(THREADS, len(which))) as threads:
            made = list(threads.map(self.values, which))
        dtype = tensor.dtype(self.images, made[0].dtype)
        items = np.stack([tensor.cast(one, dtype) for one in made])
        return {
            self.images.name: tensor.laid_out(items, tensor.layout(self.images)),
            **self.extras,
        }

    def flipped(self, axis: str) -> "PreparedTiles":
        """Give the same, each tile mirrored along "x" or "y". Raises BadAnswer for "z"."""
        if axis == "z":
            raise BadAnswer("tiles have no z to be mirrored along")
        mirrored = hashlib.sha256(f"{self.pixel_digest} flipped {axis}".encode()).hexdigest()
        return replace(self, grid=self.grid.flipped(axis), pixel_digest=mirrored)

    def values(self, item: int) -> Array:
        """Make one tile (y, x, c) as it is given, before its type is changed."""
        y, x = self.grid.tile(item)
        top, bottom = _reach(y)
        left, right = _reach(x)
        stored = self.level.rectangle(top, left, bottom, right)
        # The same tile over the rectangle alone.
        axes = (
            replace(y, stored=bottom - top, start=y.start - top),
            replace(x, stored=right - left, start=x.start - left),
        )
        tables = (resample.taps(axes[0]), resample.taps(axes[1]))
        return self.levels.apply(resample.plane(stored, axes, tables, GLASS))


def prepare(contract: Contract, series: Sequence[Part10]) -> PreparedTiles:
    """Choose the level that fits best, and find its tiles with tissue. Raises Unsuitable."""
    images = extra.image_input(contract)
    how = images.preparation
    if tensor.colours(images) == 1:
        raise Unsuitable("tiles are in colour, and the model takes grey")
    found = slide.levels(series)
    for facts in found:
        wanted.check(facts.name, facts.acquired, contract.wants)
    facts = choose(found, how.spacing_mm)
    level = Level(facts, series[facts.index])
    axes = _axes(facts, images)
    _check_size(images, axes)
    rows, columns = (math.ceil(axis.stored / (axis.given * axis.scale) - 1e-6) for axis in axes)
    if rows * columns > MOST_FRAMES:
        raise Unsuitable(f"{facts.name}: {rows} x {columns} tiles are too many to look at")
    places = tissue(_coarse(found, facts, axes, series, level), axes, (rows, columns))
    if not places:
        raise Unsuitable("no tile of the slide shows tissue")
    extra.check_batches(images, len(places))
    spacing = [axis.scale * mm for axis, mm in zip(axes, facts.spacing_mm, strict=True)]
    extras = extra.fill(contract, facts.head, (0.0, *spacing))
    made = PreparedTiles(
        source=_source(facts),
        grid=TilesGrid((rows, columns), places, axes),
        pixel_digest=extra.digest(contract, _digest(level), extras, places, facts.spacing_mm),
        images=images,
        extras=extras,
        level=level,
        levels=levels.over(how.window or (0.0, 255.0), how),
    )
    if how.normalise is Normalise.ZSCORE:
        given = (made.values(item) for item in range(made.grid.items))
        made = replace(made, levels=levels.scored(made.levels, given))
    return made


def choose(found: Sequence[Facts], spacing_mm: tuple[float, ...] | None) -> Facts:
    """Choose the coarsest level that holds all that is wanted; without a wish the finest.

    `found` stands finest first. Raises Unsuitable where even the finest is too coarse.
    """
    wanted_mm = asked(spacing_mm, -2)
    if wanted_mm <= 0:
        return found[0]
    fine = [one for one in found if one.spacing_mm[0] <= AS_FINE * wanted_mm]
    best = fine[-1] if fine else found[0]
    if best.spacing_mm[0] > FINE_ENOUGH * wanted_mm:
        words = f"its finest level has a pixel every {best.spacing_mm[0]:g} mm"
        raise Unsuitable(f"{best.name}: {words}; {wanted_mm:g} mm is wanted")
    return best


def tissue(level: Level, axes: tuple[Axis, Axis], shape: tuple[int, int]) -> list[tuple[int, int]]:
    """List the tiles that show tissue, row by row, as far as a level of the slide shows it."""
    rows, columns = shape
    height, width = (
        axis.given * axis.scale * here / axis.stored
        for axis, here in zip(axes, level.facts.shape, strict=True)
    )

    at_once = max(1, int(_LOOKED_AT_PIXELS / (height * width)))
    begins = [_span(column, width, level.facts.shape[1])[0] for column in range(columns)]

    def of_row(row: int) -> list[tuple[int, int]]:
        top, bottom = _span(row, height, level.facts.shape[0])
        shown = []
        for first in range(0, columns, at_once):
            last = min(first + at_once, columns) - 1
            left, right = begins[first], _span(last, width, level.facts.shape[1])[1]
            if level.is_bare(top, left, bottom, right):
                continue
            pixels = level.rectangle(top, left, bottom, right)
            dark = (pixels.min(axis=2) <= TISSUE_AT_MOST).sum(axis=0)
            counts = np.add.reduceat(dark, np.subtract(begins[first : last + 1], left))
            # What a tile has beyond the slide's edge is glass.
            enough = np.flatnonzero(counts >= TISSUE_SHARE * height * width)
            shown += [(row, first + int(column)) for column in enough]
        return shown

    with ThreadPoolExecutor(THREADS) as threads:
        return [place for places in threads.map(of_row, range(rows)) for place in places]


def _span(which: int, length: float, end: int) -> tuple[int, int]:
    begin = min(round(which * length), end - 1)
    return begin, max(begin + 1, min(round((which + 1) * length), end))


def _axes(facts: Facts, images: Input) -> tuple[Axis, Axis]:
    how = images.preparation
    made = []
    for which in (-2, -1):
        here_mm, stored, tile = facts.spacing_mm[which], facts.shape[which], facts.tile[which]
        wanted_mm = asked(how.spacing_mm, which) or here_mm
        scale = wanted_mm / here_mm
        scale = 1.0 if abs(scale - 1) < 1e-3 else scale
        if not 1 / MOST_COARSE < scale < MOST_COARSE:
            words = f"its pixels are {here_mm:g} mm apart; {wanted_mm:g} mm is wanted"
            raise Unsuitable(f"{facts.name}: {words}")
        size = int(asked(how.size, which)) or max(1, round(tile / scale))
        made.append(Axis(stored, size, scale))
    return made[0], made[1]


def _coarse(
    found: Sequence[Facts],
    chosen: Facts,
    axes: tuple[Axis, Axis],
    series: Sequence[Part10],
    level: Level,
) -> Level:
    """Choose the level on which tissue is looked for: as coarse as it may be, for speed."""
    for facts in reversed(found):
        rows = axes[0].given * axes[0].scale * facts.shape[0] / chosen.shape[0]
        ratio = facts.shape[0] * chosen.shape[1] / (facts.shape[1] * chosen.shape[0])
        if facts is chosen:
            break
        if rows >= _COARSE_PIXELS and abs(ratio - 1) < 0.02:
            return Level(facts, series[facts.index])
    return level


def _reach(axis: Axis) -> tuple[int, int]:
    """Say from which to which stored pixel a tile needs them, neighbours included."""
    margin = 0 if axis.is_same_scale else math.ceil(axis.scale) + 1
    begin = max(0, math.floor(axis.start + 1e-6) - margin)
    end = math.ceil(axis.start + axis.given * axis.scale - 1e-6) + margin
    return begin, min(axis.stored, end)


def _check_size(images: Input, axes: tuple[Axis, Axis]) -> None:
    values = tensor.dtype(images, np.dtype(np.float32)).itemsize * 3
    if images.preparation.batch * axes[0].given * axes[1].given * values > MAX_BYTES:
        raise Unsuitable("the tensor is larger than 2 GiB")


def _source(facts: Facts) -> Source:
    return Source(
        study_instance_uid=facts.identity[0],
        series_instance_uid=facts.identity[1],
        references=(facts.reference,),
        head=facts.head,
        frame_of_reference_uid=text(facts.head, "FrameOfReferenceUID"),
        planes=(Plane(facts.shape, facts.spacing_mm),),
    )


def _digest(level: Level) -> bytes:
    """Hash the stored frames as they are: they need not be decoded for it."""
    with memoryview(level.part10) as whole, ThreadPoolExecutor(THREADS) as threads:

        def piece(begin: int) -> bytes:
            return hashlib.sha256(whole[begin : begin + _HASHED_BYTES]).digest()

        begins = range(level.facts.end, len(whole), _HASHED_BYTES)
        return hashlib.sha256(b"".join(threads.map(piece, begins))).digest()
