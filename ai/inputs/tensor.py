"""Lay a prepared array out as a tensor: its axes, their order, and the type of its values."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ai.contract import Input, InputKind
from ai.datatypes import DTYPES
from dicom.errors import Unsuitable

Array = npt.NDArray[Any]

_LAYOUTS: Final = {InputKind.VOLUME: "zyx", InputKind.TILES: "nyxc"}


def dtype(tensor: Input, values: np.dtype[Any]) -> np.dtype[Any]:
    """Give the type that an input tensor is sent in. `values` is what preparation makes."""
    if tensor.datatype:
        found = DTYPES.get(tensor.datatype)
        if found is None:
            raise Unsuitable(f"input {tensor.name} is {tensor.datatype}, which holds no images")
        return found
    return values if values.kind in "iu" else np.dtype(np.float32)


def cast(values: Array, to: np.dtype[Any]) -> Array:
    """Change values' type; rounded and clipped where it is whole numbers."""
    if values.dtype == to:
        return values
    if to.kind not in "iu":
        return values.astype(to)
    limits = np.iinfo(to)
    if values.dtype.kind in "iu":
        held = np.iinfo(values.dtype)
        if limits.min <= held.min and held.max <= limits.max:
            return values.astype(to)
        return np.clip(values, max(limits.min, held.min), min(limits.max, held.max)).astype(to)
    # Doubles hold the ends of 32 bits, and the clip keeps those of 64 from wrapping round.
    whole = np.rint(values, dtype=np.float64)
    return np.clip(whole, float(limits.min), np.nextafter(float(limits.max) + 1, 0)).astype(to)


def laid_out(items: Array, letters: str, colours: int = 1) -> Array:
    """Order axes as the letters of a layout say; `items` is (z or n, y, x), or (n, y, x, c).

    Letters are z or n for the items, y, x, c for colours and 1 for an axis of length one. Without
    a letter for items there has to be one. `colours` repeats grey along c.
    """
    # Beside z, "n" is a batch of one volume.
    n = "1" if "z" in letters else "z"
    letters = letters.replace("n", n)
    has_colours = items.ndim == 4
    here = "zyxc" if has_colours else "zyx"
    if "z" not in letters:
        if len(items) != 1:
            raise Unsuitable(f"layout {letters} has room for one image, {len(items)} are given")
        items, here = items[0], here[1:]
    order = [here.index(letter) for letter in letters if letter in here]
    turned = items.transpose(order)
    new = [at for at, letter in enumerate(letters) if letter not in here]
    turned = np.expand_dims(turned, tuple(new))
    if not has_colours and colours > 1 and "c" in letters:
        turned = np.repeat(turned, colours, axis=letters.index("c"))
    return np.ascontiguousarray(turned)


def layout(tensor: Input) -> str:
    """Give a tensor's layout, or what its kind has by default."""
    return tensor.preparation.layout or _LAYOUTS.get(tensor.kind, "nyx")


def colours(tensor: Input) -> int:
    """Say how many colours a tensor has: what is declared, 1 without an axis of them, else 0."""
    letters = layout(tensor)
    if "c" not in letters:
        return 1
    declared = tensor.shape[letters.index("c")] if len(tensor.shape) == len(letters) else -1
    return max(declared, 0)
