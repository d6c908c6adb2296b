"""Resample images linearly, one axis after the other.

Where pixels become smaller, values lie on the straight line between the middles of their
neighbours. Where they become larger, that line is averaged over what each pixel gains, so that
fine patterns fade instead of turning into false ones. Both keep constants and slopes as they are.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.inputs.axis import Axis

Array = npt.NDArray[Any]
_POINT: Final = 1e-6
"""A window narrower than this is a point."""
_NOTHING: Final = 1e-9
"""A weight smaller than this comes of rounding."""


@dataclass(frozen=True, slots=True)
class Taps:
    """Which stored pixels make up each given pixel, and with which weights that add up to 1."""

    indices: npt.NDArray[np.intp]
    """(given, taps), each within the stored axis."""
    weights: npt.NDArray[np.float32]
    """(given, taps)."""
    inside: npt.NDArray[np.bool_]
    """(given,): whether anything is stored there; else the pixel is filled."""


def taps(axis: Axis) -> Taps:
    """Work out the taps of an axis. Pixels beyond the last repeat it."""
    unflipped = axis.flipped() if axis.is_flipped else axis
    middles = unflipped.to_stored(np.arange(axis.given) + 0.5)
    inside = (middles > -_POINT) & (middles < axis.stored + _POINT)
    width = max(axis.scale - 1, 0.0)
    count = int(np.ceil(width)) + 2
    # From here on places are indices: 0 is the middle of the first pixel.
    places = np.clip(middles - 0.5, 0, axis.stored - 1)
    first = np.floor(places - width / 2 + _POINT).astype(np.intp)
    indices = first[:, np.newaxis] + np.arange(count)
    distance = places[:, np.newaxis] - indices
    if width < _POINT:
        weights = np.maximum(0, 1 - np.abs(distance))
    else:
        weights = _hat_area(distance + width / 2) - _hat_area(distance - width / 2)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[np.abs(weights) < _NOTHING] = 0
    indices = np.clip(indices, 0, axis.stored - 1)
    if axis.is_flipped:
        indices, weights, inside = indices[::-1], weights[::-1], inside[::-1]
    return Taps(indices, weights.astype(np.float32), inside)


def _hat_area(place: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give the area of a triangle of height 1 over -1 to 1, left of a place."""
    left = np.clip(place + 1, 0, 1)
    right = np.clip(place, 0, 1)
    return left * left / 2 + right - right * right / 2


def along(array: Array, axis: int, by: Taps) -> npt.NDArray[np.float32]:
    """Resample an array along one of its axes; what is outside holds the nearest value."""
    shape = [1] * array.ndim
    shape[axis] = -1
    out: npt.NDArray[np.float32] | None = None
    for tap in range(by.indices.shape[1]):
        weights = by.weights[:, tap]
        if not weights.any():
            continue
        part = np.take(array, by.indices[:, tap], axis=axis).astype(np.float32, copy=False)
        if not (weights == 1).all():
            part = part * weights.reshape(shape)
        out = part if out is None else np.add(out, part, out=out)
    assert out is not None  # the weights of each pixel add up to 1
    return out


def plane(stored: Array, axes: tuple[Axis, Axis], tables: tuple[Taps, Taps], fill: float) -> Array:
    """Make the given (y, x) or (y, x, c) out of a stored one; what lies outside is `fill`.

    Nothing is computed, and the type stays, where pixels are only moved, cut or mirrored.
    """
    if all(axis.is_plain and not axis.is_flipped for axis in axes):
        return stored
    out = stored
    for which, (axis, table) in enumerate(zip(axes, tables, strict=True)):
        if axis.is_same_scale:
            out = np.take(out, table.indices[np.arange(axis.given), _whole(table)], axis=which)
        else:
            out = along(out, which, table)
    for which, table in enumerate(tables):
        if not table.inside.all():
            out = out if out is not stored else stored.copy()
            np.moveaxis(out, which, 0)[~table.inside] = fill
    return out


def _whole(table: Taps) -> npt.NDArray[np.intp]:
    """Which tap has all the weight, for pixels that are stored ones."""
    which: npt.NDArray[np.intp] = table.weights.argmax(axis=1)
    return which
