"""Decode one frame into an array, whatever its transfer syntax (PS3.3 C.7.6.3, PS3.5 8)."""

import io
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID

from dicom.codestream import precision_bits
from dicom.errors import CannotUnderstand
from dicom.part10 import read_elements

Array = npt.NDArray[Any]
"""(y, x), or (y, x, sample)."""
MOST_PIXELS: Final = 100_000_000
"""Of one frame that is decoded."""

_TAGS: Final = (
    0x0028_0002, 0x0028_0004, 0x0028_0006, 0x0028_0008, 0x0028_0010, 0x0028_0011, 0x0028_0034,
    0x0028_0100, 0x0028_0101, 0x0028_0102, 0x0028_0103, 0x0028_0120, 0x0028_0121, 0x0028_1050,
    0x0028_1051, 0x0028_1052, 0x0028_1053, 0x0028_1056, 0x0028_1101, 0x0028_1102, 0x0028_1103,
    0x0028_1201, 0x0028_1202, 0x0028_1203, 0x0028_1221, 0x0028_1222, 0x0028_1223, 0x0028_3000,
    0x0028_3010, 0x2050_0020, 0x5200_9229, 0x5200_9230,
)  # fmt: skip
"""The Image Pixel, Modality LUT, VOI LUT and Palette modules, and the functional groups."""


def described(head: bytes, transfer_syntax_uid: str) -> Dataset:
    """Read what says how pixels are to be read and shown. Raises CannotUnderstand."""
    return read_elements(io.BytesIO(head), transfer_syntax_uid, _TAGS)


def decoded(head: Dataset, transfer_syntax_uid: str, frame: bytes, *, raw: bool) -> Array:
    """Decode a compressed frame; `raw` leaves colours in the space that the codec gives.

    Raises CannotUnderstand, and whatever a codec raises.
    """
    _require_sizes(head)
    found = precision_bits(frame)
    if found is not None and found > int(head.BitsAllocated):
        raise CannotUnderstand(
            f"its samples have {found} bits, Bits Allocated says {head.BitsAllocated}"
        )
    try:
        decoder = get_decoder(UID(transfer_syntax_uid))
    except NotImplementedError:
        raise CannotUnderstand("no codec here reads its transfer syntax") from None
    if not decoder.is_available:
        raise CannotUnderstand("the codec for its transfer syntax is not installed")
    array, _ = decoder.as_array(
        encapsulate([frame], has_bot=False), index=0, raw=raw, **_options(head)
    )
    return np.asarray(array)


def native(head: Dataset, frame: bytes) -> Array:
    """Read a native frame, little endian, that begins with its first bit."""
    _require_sizes(head)
    rows, columns, samples = int(head.Rows), int(head.Columns), int(head.get("SamplesPerPixel", 1))
    allocated = int(head.get("BitsAllocated", 0))
    if not allocated:  # Float Pixel Data has no such attribute, or says 32 or 64
        allocated = len(frame) * 8 // (rows * columns)
    if allocated == 1:
        bits = np.unpackbits(np.frombuffer(frame, np.uint8), bitorder="little")
        return bits[: rows * columns].reshape(rows, columns)
    values = np.frombuffer(frame, f"<u{allocated // 8}")
    if samples == 1:
        return values.reshape(rows, columns)
    if str(head.PhotometricInterpretation) in {"YBR_FULL_422", "YBR_PARTIAL_422"}:
        return _whole_colours(values, rows, columns)
    if int(head.get("PlanarConfiguration", 0)) == 1:
        return values.reshape(samples, rows, columns).transpose(1, 2, 0)
    return values.reshape(rows, columns, samples)


def values(head: Dataset, cells: Array) -> Array:
    """Give the values in cells of which not all bits are stored (PS3.5 8.1.1)."""
    allocated, stored = int(head.BitsAllocated), int(head.get("BitsStored", head.BitsAllocated))
    high = int(head.get("HighBit", stored - 1))
    if not 0 < stored <= high + 1 <= allocated or allocated == 1:
        raise_on = allocated != 1
        if raise_on:
            raise CannotUnderstand("(0028,0101) and (0028,0102) do not fit into (0028,0100)")
        return cells
    unsigned = cells.astype(np.dtype(f"<u{allocated // 8}"), copy=True)
    unsigned <<= allocated - 1 - high
    if int(head.get("PixelRepresentation", 0)):
        signed = unsigned.view(np.dtype(f"<i{allocated // 8}"))
        return signed >> (allocated - stored)
    return unsigned >> (allocated - stored)


def rgb(array: Array, photometric: str) -> Array:
    """Give colours as red, green and blue, eight bits each."""
    if photometric.startswith("YBR"):
        return convert_color_space(np.ascontiguousarray(array), "YBR_FULL", "RGB")
    return array


def little_endian(array: Array, head: Dataset) -> bytes:
    """Give decoded values as native cells, colour by pixel."""
    letter = "i" if int(head.get("PixelRepresentation", 0)) else "u"
    return array.astype(f"<{letter}{int(head.BitsAllocated) // 8}", copy=False).tobytes()


def _options(head: Dataset) -> Mapping[str, Any]:
    samples = int(head.SamplesPerPixel)
    return {
        "rows": int(head.Rows),
        "columns": int(head.Columns),
        "number_of_frames": 1,
        "samples_per_pixel": samples,
        "bits_allocated": int(head.BitsAllocated),
        "bits_stored": int(head.BitsStored),
        "pixel_representation": int(head.PixelRepresentation),
        "photometric_interpretation": str(head.PhotometricInterpretation),
        **(
            {"planar_configuration": int(head.get("PlanarConfiguration", 0))} if samples > 1 else {}
        ),
    }


def _require_sizes(head: Dataset) -> None:
    pixels = int(head.get("Rows") or 0) * int(head.get("Columns") or 0)
    if not 0 < pixels <= MOST_PIXELS:
        raise CannotUnderstand(f"a frame has none, or more than {MOST_PIXELS} pixels")


def _whole_colours(values: Array, rows: int, columns: int) -> Array:
    """Give every pixel the colour that it shares with its neighbour (PS3.3 C.7.6.3.1.2)."""
    pairs = values.reshape(rows, columns // 2, 4)
    out = np.empty((rows, columns // 2, 2, 3), values.dtype)
    out[..., 0, 0], out[..., 1, 0] = pairs[..., 0], pairs[..., 1]
    out[..., 1] = pairs[..., None, 2]
    out[..., 2] = pairs[..., None, 3]
    return out.reshape(rows, columns, 3)
