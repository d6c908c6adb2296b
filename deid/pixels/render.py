"""Show a frame as a reader of text wants it: in eight bits, inverted, turned, evened out."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from deid.pixels.image import Array, Image

Picture = npt.NDArray[np.uint8]
"""(y, x), or (y, x, 3) as red, green, blue."""

_NEAR_PIXELS: Final = 12
"""Text is compared with what is around it this far, a little more than it is high."""
_WIDE_PIXELS: Final = 36
_CONTRAST: Final = 45.0
"""Grey levels for each standard deviation of the wider surroundings."""
_CALM: Final = 0.016
"""Part of the whole range that counts as noise and is not raised."""
_WIDE_GAP: Final = 0.05
"""Part of all levels, taken as evenly spread, that a gap between two of them may be wide."""
_FEW_GAPS: Final = 16.0
_RED: Final = (1.402, 0.0)
_GREEN: Final = (-0.714136, -0.344136)
_BLUE: Final = (0.0, 1.772)


class Rendering(NamedTuple):
    """One picture of a frame."""

    picture: Picture
    quarters: int
    """How often numpy.rot90 turned it."""
    in_detail: bool
    """Whether a large one is also to be read piece by piece."""


def renderings(shown: Array, image: Image, photometric: str) -> Iterator[Rendering]:
    """Yield the pictures of a frame that are read.

    `shown` holds values, (y, x) or (y, x, sample). A frame is shown from its lowest to its
    highest value, as it is and inverted on its side; and with the contrast of each place raised
    to the same level, which brings out pale text that no single window would show, once more
    in both polarities and on the other side.
    """
    full = colours(shown, image, photometric)
    whole = _scaled(full)
    yield Rendering(whole, 0, in_detail=False)
    yield Rendering(np.rot90(255 - whole, 1), 1, in_detail=False)
    even = evened(_closed(full.mean(axis=2) if full.ndim == 3 else full))
    yield Rendering(even, 0, in_detail=True)
    yield Rendering(np.rot90(255 - even, 3), 3, in_detail=False)


def colours(shown: Array, image: Image, photometric: str) -> Array:
    """Give grey frames as they are, all others as red, green and blue of any range."""
    if photometric == "PALETTE COLOR" and image.palette is not None:
        index = shown.astype(np.int64) - image.palette_start
        entries: Array = image.palette[index.clip(0, len(image.palette) - 1)]
        return entries
    if photometric.startswith("YBR"):
        return _rgb(shown, float(1 << (image.bits_stored - 1)))
    return shown


def evened(light: Array) -> Picture:
    """Show how far each pixel (y, x) is from its surroundings, by what is usual around there."""
    light = light.astype(np.float64)
    away = light - _mean(light, _NEAR_PIXELS)
    usual = np.sqrt(_mean(away * away, _WIDE_PIXELS).clip(0)) + max(np.ptp(light) * _CALM, 1e-6)
    even: Picture = (128 + away / usual * _CONTRAST).clip(0, 255).astype(np.uint8)
    return even


def _closed(light: Array) -> Array:
    """Move values that stand far from all others up to them; the order of values stays.

    One pixel of a broken detector, or padding far below the image, would else take the whole
    range, and leave none of it to pale text.
    """
    levels, places = np.unique(light, return_inverse=True)
    gaps = np.diff(levels.astype(np.float64))
    if not gaps.size:
        return light
    widest = max(gaps.size * _WIDE_GAP, _FEW_GAPS) * float(np.median(gaps))
    moved = np.concatenate(([0.0], np.minimum(gaps, widest).cumsum()))
    closed: Array = moved[places].reshape(light.shape)
    return closed


def _mean(light: npt.NDArray[np.float64], reach: int) -> npt.NDArray[np.float64]:
    """Average each pixel's square of `reach` pixels to each side; the edge goes on as it ends."""
    padded = np.pad(light, ((reach + 1, reach), (reach + 1, reach)), "edge")
    sums = padded.cumsum(axis=0).cumsum(axis=1)
    side = 2 * reach + 1
    corners = sums[side:, side:] + sums[:-side, :-side] - sums[side:, :-side] - sums[:-side, side:]
    mean: npt.NDArray[np.float64] = corners / side**2
    return mean


def _scaled(full: Array) -> Picture:
    """Spread values from the lowest to the highest over eight bits."""
    low, high = float(full.min()), float(full.max())
    scaled = (full.astype(np.float64) - low) * (255 / max(high - low, 1.0))
    return scaled.astype(np.uint8)


def _rgb(ybr: Array, grey: float) -> Array:
    """Turn YBR_FULL into RGB (PS3.3 C.7.6.3.1.2); `grey` stands for no colour."""
    light = ybr[..., 0].astype(np.float32)
    blue, red = (ybr[..., each].astype(np.float32) - grey for each in (1, 2))
    rows = [light + of_red * red + of_blue * blue for of_red, of_blue in (_RED, _GREEN, _BLUE)]
    return np.stack(rows, axis=-1).round().clip(0, 2 * grey - 1)
