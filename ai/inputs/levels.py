"""Turn values into what a model expects of them: a window, then a normalised range."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.contract import Normalise, Preparation

Array = npt.NDArray[Any]
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Levels:
    """Cut to a window, then `gain * value + offset`."""

    window: Range | None = None
    gain: float = 1.0
    offset: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether values stay what they are."""
        return self.window is None and self.gain == 1 and self.offset == 0

    def apply(self, values: Array) -> Array:
        """Give new values; whole numbers stay whole where only a window is cut."""
        out = values
        if self.window is not None:
            low, high = self.window
            if values.dtype.kind in "iu":
                limits = np.iinfo(values.dtype)
                is_whole = low == int(low) and high == int(high)
                if is_whole and limits.min <= low and high <= limits.max:
                    out = np.clip(values, int(low), int(high))
                else:
                    out = np.clip(values.astype(np.float32), low, high)
            else:
                out = np.clip(values, low, high)
        if self.gain == 1 and self.offset == 0:
            return out
        out = np.multiply(out, np.float32(self.gain), dtype=np.float32)
        out += np.float32(self.offset)
        return out

    def mirrored(self, turn: float) -> "Levels":
        """Give what does the same to `turn - value` (an image whose lowest value is white)."""
        window = self.window and (turn - self.window[1], turn - self.window[0])
        return replace(self, window=window, gain=-self.gain, offset=self.offset + self.gain * turn)


def over(range_: Range, preparation: Preparation) -> Levels:
    """Give the levels of a preparation, for values that are to lie in `range_`.

    Of a z-score this is the window alone; `scored` goes on from there.
    """
    normalise, window = preparation.normalise, preparation.window
    if normalise in {Normalise.NONE, Normalise.ZSCORE}:
        return Levels(window)
    low, high = range_
    # All values alike: there is no range, and each of them is its lowest.
    unit = 1 / (high - low) if high > low else 0.0
    levels = Levels((low, high), unit, -low * unit)
    if normalise is Normalise.SYMMETRIC:
        levels = replace(levels, gain=2 * levels.gain, offset=2 * levels.offset - 1)
    return levels


def scored(levels: Levels, given: Iterable[Array]) -> Levels:
    """Add what makes the mean 0 and the standard deviation 1 over all that is given.

    Pieces are joined as they come, each in double precision (Chan, Golub and LeVeque 1979), so
    that the whole is never held at once.
    """
    count, mean, squares = 0, 0.0, 0.0
    for piece in given:
        size, middle = piece.size, float(piece.mean(dtype=np.float64))
        spread = float(piece.var(dtype=np.float64)) * size
        apart = middle - mean
        total = count + size
        squares += spread + apart * apart * count * size / total
        mean += apart * size / total
        count = total
    deviation = math.sqrt(squares / count) if count else 0.0
    gain = 1 / deviation if deviation > 1e-12 else 0.0
    return replace(levels, gain=gain, offset=-mean * gain)
