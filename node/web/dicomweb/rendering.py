"""Show a frame in eight bits: modality LUT, window, palette, polarity (PS3.3 C.11, PS3.4 N.2)."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from dicom.errors import CannotUnderstand
from node.web.dicomweb.pixels import Array, decoded, native, rgb, values
from node.web.dicomweb.wish import Window, Wish

_FLOAT_BITS: Final = 32

Shown = npt.NDArray[np.uint8]
"""(y, x), or (y, x, 3) as red, green, blue."""


def rendered(
    head: Dataset, transfer_syntax_uid: str, frame: bytes, number: int, wish: Wish, *, native: bool
) -> Shown:
    """Show one frame of an object; `number` is from 1, `native` whether it is not compressed.

    Raises CannotUnderstand, and whatever a codec raises.
    """
    samples = int(head.get("SamplesPerPixel", 1))
    photometric = str(head.get("PhotometricInterpretation", "MONOCHROME2"))
    array = _array(head, transfer_syntax_uid, frame, is_native=native)
    if samples == 1:
        shown = _palette(array, head) if photometric == "PALETTE COLOR" else (
            _grey(array, head, number, wish, is_inverted=_is_inverted(head, photometric))
        )  # fmt: skip
    elif samples in {3, 4}:
        shown = _eight_bits(array[..., :3], int(head.get("BitsStored", 8)))
        shown = rgb(shown, photometric) if native else shown
    else:
        raise CannotUnderstand(f"(0028,0002): {samples} samples for each pixel cannot be shown")
    return _fitted(_cut(_square(shown, head), wish.region), wish)


def window_of(head: Dataset, number: int) -> Window | None:
    """Find the first window that an object names for a frame, in its functional groups first."""
    held = _group(head, number, "FrameVOILUTSequence") or head
    center, width = _first(held.get("WindowCenter")), _first(held.get("WindowWidth"))
    if center is None or width is None:
        return None
    return Window(center, width, str(held.get("VOILUTFunction") or "LINEAR").upper())


def windowed(array: Array, window: Window) -> Array:
    """Give values from 0 to 1 by a window (PS3.3 C.11.2.1.2, C.11.2.1.3)."""
    center, width, x = window.center, window.width, array.astype(np.float64)
    if window.function == "SIGMOID" and width > 0:
        with np.errstate(over="ignore"):
            sigmoid: Array = 1 / (1 + np.exp(-4 * (x - center) / width))
        return sigmoid
    if window.function == "LINEAR_EXACT" and width > 0:
        exact: Array = ((x - center) / width + 0.5).clip(0, 1)
        return exact
    if width <= 1:
        step: Array = (x > center - 0.5).astype(np.float64)
        return step
    linear: Array = ((x - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1)
    return linear


def _array(head: Dataset, syntax: str, frame: bytes, *, is_native: bool) -> Array:
    if not is_native:
        return decoded(head, syntax, frame, raw=False)
    cells = native(head, frame)
    if cells.dtype.itemsize * 8 >= _FLOAT_BITS and "BitsStored" not in head:
        return cells.view(np.dtype(f"<f{cells.dtype.itemsize}"))
    return values(head, cells)


def _grey(array: Array, head: Dataset, number: int, wish: Wish, *, is_inverted: bool) -> Shown:
    """Show values; of whole numbers each that occurs is looked at once, not every pixel."""
    if array.dtype.kind not in "iu" or array.dtype.itemsize > 2:
        return _shades(array, head, number, wish, is_inverted=is_inverted)
    low = int(array.min())
    places = array.astype(np.int32) - low
    occurring = np.flatnonzero(np.bincount(places.ravel()))
    table = np.zeros(int(occurring[-1]) + 1, np.uint8)
    levels = (occurring + low).astype(array.dtype)
    table[occurring] = _shades(levels, head, number, wish, is_inverted=is_inverted)
    shown: Shown = table[places]
    return shown


def _shades(array: Array, head: Dataset, number: int, wish: Wish, *, is_inverted: bool) -> Shown:
    """Give values of any shape as greys from 0 to 255."""
    padding = _padding(array, head)
    light = _modality(array, head, number)
    window = wish.window or window_of(head, number)
    if window is None and head.get("VOILUTSequence"):
        looked_up = apply_voi(np.asarray(light).astype(np.int64), head)
        bits = int(head.VOILUTSequence[0].LUTDescriptor[2])
        shown = looked_up.astype(np.float64) / ((1 << bits) - 1)
    else:
        shown = windowed(light, window or _everything(light, padding))
    if is_inverted:
        shown = 1 - shown
    if padding is not None:
        shown[padding] = 0
    eight: Shown = (np.nan_to_num(shown).clip(0, 1) * 255 + 0.5).astype(np.uint8)
    return eight


def _modality(array: Array, head: Dataset, number: int) -> Array:
    """Apply the Modality LUT or the rescale, of the frame's functional groups first."""
    if head.get("ModalityLUTSequence"):
        return apply_modality_lut(array, head)
    held = _group(head, number, "PixelValueTransformationSequence") or head
    slope, intercept = _first(held.get("RescaleSlope")), _first(held.get("RescaleIntercept"))
    if slope is None or intercept is None or (slope == 1 and intercept == 0):
        return array
    rescaled: Array = array * slope + intercept
    return rescaled


def _everything(light: Array, padding: npt.NDArray[np.bool_] | None) -> Window:
    seen = light if padding is None else light[~padding]
    seen = seen[np.isfinite(seen)] if seen.dtype.kind == "f" else seen
    low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0)
    return Window((low + high) / 2, max(high - low, 1e-9), "LINEAR_EXACT")


def _padding(array: Array, head: Dataset) -> npt.NDArray[np.bool_] | None:
    """Find pixels that belong to no image (PS3.3 C.7.5.1.1.2)."""
    value = _first(head.get("PixelPaddingValue"))
    if value is None:
        return None
    limit = _first(head.get("PixelPaddingRangeLimit"))
    low, high = sorted((value, value if limit is None else limit))
    found: npt.NDArray[np.bool_] = (array >= low) & (array <= high)
    return found if found.any() and not found.all() else None


def _palette(array: Array, head: Dataset) -> Shown:
    colours = apply_color_lut(np.ascontiguousarray(array), head)
    return _eight_bits(colours, colours.dtype.itemsize * 8)


def _eight_bits(array: Array, bits: int) -> Shown:
    eight: Shown = (array >> (bits - 8) if bits > 8 else array).astype(np.uint8)
    return eight


def _is_inverted(head: Dataset, photometric: str) -> bool:
    inverse = str(head.get("PresentationLUTShape") or "").upper() == "INVERSE"
    return (photometric == "MONOCHROME1") != (inverse and photometric != "MONOCHROME1")


def _group(head: Dataset, number: int, name: str) -> Dataset | None:
    """Find a functional group: the frame's own, or the one that all share (PS3.3 C.7.6.16)."""
    frames: Sequence[Dataset] = head.get("PerFrameFunctionalGroupsSequence") or ()
    shared: Sequence[Dataset] = head.get("SharedFunctionalGroupsSequence") or ()
    for holder in (*frames[number - 1 : number], *shared[:1]):
        found = holder.get(name)
        if found:
            group: Dataset = found[0]
            return group
    return None


def _first(value: Any) -> float | None:
    if isinstance(value, (str, int, float)):
        found = value
    elif value is None or not len(value):
        return None
    else:
        found = value[0]
    try:
        number = float(found)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _square(shown: Shown, head: Dataset) -> Shown:
    """Stretch pixels that are not square (PS3.3 C.7.6.3.1.7)."""
    ratio = head.get("PixelAspectRatio")
    if ratio is None or len(ratio) != 2 or not all(int(one) > 0 for one in ratio):
        return shown
    vertical, horizontal = int(ratio[0]), int(ratio[1])
    if vertical == horizontal or max(vertical, horizontal) > 8 * min(vertical, horizontal):
        return shown
    from node.web.dicomweb.picture import resized

    rows, columns = shown.shape[:2]
    if vertical > horizontal:
        return resized(shown, columns, round(rows * vertical / horizontal))
    return resized(shown, round(columns * horizontal / vertical), rows)


def _cut(shown: Shown, region: Sequence[float] | None) -> Shown:
    if region is None:
        return shown
    left, top, width, height = region
    rows, columns = shown.shape[:2]
    width, height = width or columns - left, height or rows - top
    x, y = max(int(left), 0), max(int(top), 0)
    cut = shown[y : y + max(int(abs(height)), 1), x : x + max(int(abs(width)), 1)]
    if not cut.size:
        raise CannotUnderstand("the region lies outside of the image")
    return cut[:: -1 if height < 0 else 1, :: -1 if width < 0 else 1]


def _fitted(shown: Shown, wish: Wish) -> Shown:
    if wish.size is None:
        return shown
    from node.web.dicomweb.picture import resized

    rows, columns = shown.shape[:2]
    scale = min(wish.size[0] / columns, wish.size[1] / rows)
    if scale >= 1 and not wish.enlarge:
        return shown
    return resized(shown, max(round(columns * scale), 1), max(round(rows * scale), 1))
