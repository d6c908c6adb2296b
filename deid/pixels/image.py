"""What an object's pixels are: the Image Pixel Module in numbers (PS3.3 C.7.6.3)."""

import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

from deid.parse import Element, Encoding
from deid.pixels.attributes import find, number, text
from dicom.errors import DeidFault, NotClean

Array = npt.NDArray[Any]
"""A frame: (y, x) or (y, x, sample)."""

COLOURS: Final = frozenset(
    {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_RCT", "YBR_ICT"}
)
SUBSAMPLED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
_SINGLE: Final = frozenset({"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"})
_DESCRIPTORS: Final = (0x0028_1101, 0x0028_1102, 0x0028_1103)
_TABLES: Final = (0x0028_1201, 0x0028_1202, 0x0028_1203)
_SEGMENTED: Final = (0x0028_1221, 0x0028_1222, 0x0028_1223)
MAX_FRAME_BYTES: Final = 1 << 30
"""A frame is decoded whole; a larger one is taken for an attack on memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """The facts that turn bytes into pixels. `syntax` is the transfer syntax's UID."""

    syntax: str
    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    little: bool
    swapped: bool
    """Bytes stand in pairs of which the second is the first (PS3.5 8.2, OW in big endian)."""
    palette: npt.NDArray[np.uint8] | None = None
    """Red, green, blue of each index from `palette_start` on: (index, 3)."""
    palette_start: int = 0

    @property
    def sample_bytes(self) -> int:
        """Size of one sample's cell."""
        return (self.bits_allocated + 7) // 8

    @property
    def raw_bytes(self) -> int:
        """Size of a frame with a full set of samples for each pixel."""
        return self.rows * self.columns * self.samples * self.bits_allocated // 8


def read(elements: tuple[Element, ...], encoding: Encoding, pixels: Element, syntax: str) -> Image:
    """Read the Image Pixel Module. Raises DeidFault for what is missing, NotClean for the odd."""
    allocated = number(elements, 0x0028_0100, encoding)
    stored = number(elements, 0x0028_0101, encoding, allocated)
    photometric = text(elements, 0x0028_0004).upper()
    palette, start = None, 0
    if photometric == "PALETTE COLOR":
        palette, start = _palette(elements, encoding)
    high = number(elements, 0x0028_0102, encoding, stored - 1)
    if pixels.undefined and syntax != RLELossless:
        high = stored - 1  # such streams hold values, not cells
    image = Image(
        syntax=syntax,
        rows=number(elements, 0x0028_0010, encoding),
        columns=number(elements, 0x0028_0011, encoding),
        frames=_frames(elements),
        samples=number(elements, 0x0028_0002, encoding, 1),
        photometric=photometric,
        planar=number(elements, 0x0028_0006, encoding, 0),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=number(elements, 0x0028_0103, encoding, 0) == 1,
        little=encoding.little,
        swapped=not encoding.little and allocated in {1, 8} and pixels.vr == "OW",
        palette=palette,
        palette_start=start,
    )
    _check(image)
    return image


def _frames(elements: tuple[Element, ...]) -> int:
    written = text(elements, 0x0028_0008) or "1"
    if not written.isascii() or not written.isdigit() or not int(written):
        raise DeidFault("(0028,0008) is no number of frames")
    return int(written)


def _check(image: Image) -> None:
    """Refuse what no reader here knows how to show."""
    known = _SINGLE if image.samples == 1 else COLOURS if image.samples == 3 else frozenset()
    if image.photometric not in known:
        raise NotClean("(0028,0004) is not one that can be looked at with these samples per pixel")
    sizes = {1, 8, 16, 32} if image.samples == 1 else {8, 16, 32}
    # In big endian readers do not agree where the words of 32 bits, and single bits, stand.
    sizes -= set() if image.little else {1, 32}
    if image.bits_allocated not in sizes:
        raise NotClean("(0028,0100): cells of this size cannot be looked into")
    if image.planar not in {0, 1}:
        raise NotClean("(0028,0006): samples in this order cannot be looked into")
    if not image.bits_stored <= image.high_bit + 1 <= image.bits_allocated:
        raise DeidFault("(0028,0101) and (0028,0102) do not fit into (0028,0100)")
    if not image.rows or not image.columns or image.raw_bytes > MAX_FRAME_BYTES:
        raise DeidFault("(0028,0010) and (0028,0011) give frames of no possible size")


def _palette(
    elements: tuple[Element, ...], encoding: Encoding
) -> tuple[npt.NDArray[np.uint8], int]:
    """Expand a palette, segmented or not (PS3.3 C.7.6.3.1.5 and C.7.9.2)."""
    tables = _TABLES if find(elements, _TABLES[0]) else _SEGMENTED
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    try:
        for tag in _DESCRIPTORS:
            element = find(elements, tag)
            count, start, bits = encoding.short.iter_unpack(element.value)  # type: ignore[union-attr]  # None ends in the fault below
            dataset.add_new(tag, "US", [count[0], start[0], bits[0]])
        for tag in tables:
            value = bytes(find(elements, tag).value)  # type: ignore[union-attr]  # as above
            dataset.add_new(tag, "OW", value if encoding.little else _swap(value))
        first = start[0]
        indices = np.arange(first, first + (count[0] or 1 << 16))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd lengths are common, and padded by pydicom
            colours = apply_color_lut(indices, dataset)
    except (AttributeError, IndexError, TypeError, ValueError, NotImplementedError):
        # An attribute that is not there, a value of another shape, a table that pydicom refuses.
        raise NotClean("the palette cannot be read, and the pixels not be looked at") from None
    widest = max(int(colours.max()), 1)
    scaled = colours if widest < 256 else colours >> (widest.bit_length() - 8)
    return scaled.astype(np.uint8), int(first)


def _swap(value: bytes) -> bytes:
    return np.frombuffer(value, ">u2").astype("<u2").tobytes()
