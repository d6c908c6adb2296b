"""From a frame's cells to the values in them, and which value is black."""

import numpy as np

from deid.pixels.image import Array, Image


def values(cells: Array, image: Image) -> Array:
    """Take the stored values out of cells: the bits up to HighBit, with their sign (PS3.5 8.1.1).

    Cells of one bit and of eight full bits are values already.
    """
    width = cells.dtype.itemsize * 8
    if image.bits_allocated == 1 or (image.bits_stored == width and not image.signed):
        return cells
    raised = cells << (width - 1 - image.high_bit)
    if image.signed:
        raised = raised.view(np.dtype(f"i{cells.dtype.itemsize}"))
    return raised >> (width - image.bits_stored)


def black(cells: Array, shown: Array, image: Image, photometric: str) -> Array:
    """Say what a cell of the darkest pixel holds, one number for each sample.

    Of grey frames it is the darkest value that the frame holds, so that no window or statistic
    of it changes; of a palette the darkest entry; of YBR no light and no colour.
    """
    if photometric == "PALETTE COLOR" and image.palette is not None:
        index = image.palette_start + int(image.palette.sum(axis=1, dtype=np.int64).argmin())
        return np.array(index << (image.high_bit + 1 - image.bits_stored), cells.dtype)
    if photometric.startswith("YBR"):
        grey = 1 << (image.bits_stored - 1)
        floor = grey >> 3 if photometric == "YBR_PARTIAL_422" else 0
        return np.array([floor, grey, grey], cells.dtype)
    if photometric == "RGB":
        return np.zeros(3, cells.dtype)
    darkest = shown.argmax() if photometric == "MONOCHROME1" else shown.argmin()
    cell = int(cells.reshape(-1)[darkest])
    spreads_sign = image.high_bit + 1 == image.bits_stored and cell == int(
        shown.reshape(-1)[darkest]
    ) % (1 << cells.dtype.itemsize * 8)
    if cells.dtype.kind == "u" and not spreads_sign:
        # Bits beside the value may hold an overlay: they go from the box as well.
        cell &= ((1 << image.bits_stored) - 1) << (image.high_bit + 1 - image.bits_stored)
    return np.array(cell, cells.dtype)
