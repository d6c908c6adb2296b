"""Frames of native pixel data: bytes to cells and back, each byte where it was (PS3.5 8)."""

from typing import Literal

import numpy as np

from deid.pixels.image import SUBSAMPLED, Array, Image
from dicom.errors import NotClean

Order = Literal["<", ">"]


def frame_bytes(image: Image, size_bytes: int) -> int:
    """Say how long a frame is; `size_bytes` is the length of all of them.

    Pixel data that is called 4:2:2 but is as long as 4:4:4 is 4:4:4. Raises NotClean where
    frames share bytes.
    """
    if image.bits_allocated == 1:
        bits = image.rows * image.columns
        if bits % 8 and image.frames > 1:
            raise NotClean("frames of single bits share bytes, which cannot be cleaned")
        return (bits + 7) // 8
    if _subsampled(image) and size_bytes < image.raw_bytes * image.frames:
        return image.raw_bytes // 3 * 2
    return image.raw_bytes


def decode(frame: bytes, image: Image) -> Array:
    """Turn a frame's bytes into cells, (y, x) or (y, x, sample), always writable.

    Cells are unsigned and hold every bit of the input; signs are in `cells.values`. Raises
    ValueError for bytes that are no frame of this image.
    """
    rows, columns, samples = image.rows, image.columns, image.samples
    if image.bits_allocated == 1:
        flat = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")
        return flat[: rows * columns].reshape(rows, columns)
    if image.swapped:
        frame = _swap(frame)
    order: Order = "<" if image.little else ">"
    cells = np.frombuffer(frame, np.dtype(f"{order}u{image.sample_bytes}"))
    cells = cells.astype(cells.dtype.newbyteorder("="))
    if samples == 1:
        return cells.reshape(rows, columns)
    if cells.size * 3 == rows * columns * samples * 2:
        return _spread(cells, rows, columns)
    if image.planar == 1:
        return np.ascontiguousarray(cells.reshape(samples, rows, columns).transpose(1, 2, 0))
    return cells.reshape(rows, columns, samples)


def encode(cells: Array, image: Image, original: bytes) -> bytes:
    """Turn cells into the bytes that they came from, but for what changed in them."""
    if image.bits_allocated == 1:
        return np.packbits(cells.reshape(-1), bitorder="little").tobytes()
    order: Order = "<" if image.little else ">"
    if len(original) * 3 == cells.nbytes * 2:
        cells = _gather(cells)
    elif image.samples > 1 and image.planar == 1:
        cells = cells.transpose(2, 0, 1)
    packed = cells.astype(cells.dtype.newbyteorder(order)).tobytes()
    return _swap(packed) if image.swapped else packed


def _subsampled(image: Image) -> bool:
    return image.samples == 3 and image.photometric in SUBSAMPLED


def _spread(cells: Array, rows: int, columns: int) -> Array:
    """Give each pixel the colour that it shares with its neighbour (PS3.3 C.7.6.3.1.2)."""
    pairs = cells.reshape(rows, columns // 2, 4)
    spread = np.empty((rows, columns, 3), cells.dtype)
    spread[:, 0::2, 0], spread[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    spread[..., 1], spread[..., 2] = (pairs[..., each].repeat(2, axis=1) for each in (2, 3))
    return spread


def _gather(cells: Array) -> Array:
    """Undo `_spread`."""
    halves = cells[:, 0::2, 0], cells[:, 1::2, 0], cells[:, 0::2, 1], cells[:, 0::2, 2]
    return np.stack(halves, axis=-1)


def _swap(frame: bytes) -> bytes:
    if len(frame) % 2:
        raise NotClean("frames of swapped bytes have an odd length, which cannot be cleaned")
    return np.frombuffer(frame, ">u2").astype("<u2").tobytes()
