"""Say how one axis of what a model is given lies over the same axis of the stored images.

Pure geometry. Places along an axis are measured in its own pixels from the outer edge of the
first, so that 0.5 is the middle of the first pixel.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ai.contract import Preparation
from dicom.errors import Unsuitable

_EXACT: Final = 1e-9
MOST_PIXELS: Final = 65_535
"""Along an axis that is resampled; as many as DICOM has rows."""


@dataclass(frozen=True, slots=True)
class Axis:
    """An affine map: the place `start + scale * given` of the stored axis was given."""

    stored: int
    """Pixels of the stored axis."""
    given: int
    """Pixels of what the model is given."""
    scale: float = 1.0
    """Stored pixels that one given pixel spans."""
    start: float = 0.0
    """The stored place at the outer edge of the first given pixel; negative where it is padded."""
    is_flipped: bool = False
    """Whether the given pixels are in reverse order."""

    @property
    def is_plain(self) -> bool:
        """Whether each pixel is given as it is stored, in its order."""
        return self.is_same_scale and self.start == 0 and self.given == self.stored

    @property
    def is_same_scale(self) -> bool:
        """Whether given pixels are stored ones, moved, cut or mirrored at most."""
        return abs(self.scale - 1) < _EXACT and abs(self.start - round(self.start)) < _EXACT

    def flipped(self) -> "Axis":
        """Give the same in reverse order."""
        return replace(self, is_flipped=not self.is_flipped)

    def to_stored(self, given: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Find the stored places of given ones."""
        places = np.asarray(given, dtype=np.float64)
        if self.is_flipped:
            places = self.given - places
        return self.start + self.scale * places

    def to_given(self, stored: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Find the given places of stored ones."""
        places = (np.asarray(stored, dtype=np.float64) - self.start) / self.scale
        return self.given - places if self.is_flipped else places

    def pixel(self, given: float) -> float | None:
        """Find the stored place of a given one; None outside what is stored or given."""
        place = float(self.to_stored(given))
        if not (0 <= given <= self.given and -_EXACT <= place <= self.stored + _EXACT):
            return None
        return min(max(place, 0.0), float(self.stored))

    def nearest(self) -> npt.NDArray[np.intp]:
        """Find the given pixel at the middle of each stored one; -1 where none was given."""
        places = np.floor(self.to_given(np.arange(self.stored) + 0.5) + _EXACT).astype(np.intp)
        places[(places < 0) | (places >= self.given)] = -1
        return places


def plan(stored: int, spacing_mm: float, preparation: Preparation, which: int) -> Axis:
    """Lay a prepared axis over a stored one: resampled first, then made as large as is asked.

    `which` is the axis' place from the end (-1 for x) in spacing_mm and size of the preparation.
    `spacing_mm` is 0 where nobody calibrated it; then the axis cannot be resampled and is left.
    Raises Unsuitable where the axis would become too long.
    """
    axis = Axis(stored, stored)
    wanted_mm = asked(preparation.spacing_mm, which)
    if wanted_mm > 0 and spacing_mm > 0 and abs(wanted_mm / spacing_mm - 1) > 1e-4:
        scale = wanted_mm / spacing_mm
        given = max(1, round(stored / scale))
        if given > MOST_PIXELS:
            raise Unsuitable(f"an axis of {given} pixels comes of a spacing of {wanted_mm:g} mm")
        # Both have the same middle: what does not come out even is shared by the two ends.
        axis = Axis(stored, given, scale, (stored - given * scale) / 2)
    size = int(asked(preparation.size, which))
    if size in {0, axis.given}:
        return axis
    if preparation.fit == "stretch":
        return Axis(stored, size, stored / size)
    # A whole number of pixels, so that what was not resampled is only moved.
    before = (size - axis.given) // 2
    return replace(axis, given=size, start=axis.start - axis.scale * before)


def asked(values: tuple[float, ...] | None, which: int) -> float:
    """Give what a preparation asks for along an axis, counted from the end; 0 for nothing."""
    if values is None or len(values) < -which:
        return 0
    return values[which]
