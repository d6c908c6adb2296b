"""Clear bits of uncompressed pixel data in which something can hide; samples stay as they are.

A cell has Bits Allocated bits and a sample fills Bits Stored of them, up to High Bit (PS3.5
8.1.1). The rest once held overlays ((60xx,0102) Overlay Bit Position) and holds anything that a
writer put there. Bits that say nothing stay, for readers that do not mask rely on them: zeros;
the sign repeated above negative samples of signed data; a cell that as a whole is the declared
padding value. Where any cell says more, all of them are filled: above High Bit with the sign in
signed data, everywhere else with zeros. What follows the last sample becomes zero.

Samples outside what Bits Stored can hold, as faulty writers leave them, lose what is beyond, for
nothing tells it from an overlay; PS3.5 has no other reading of such cells.

The pixel data is looked through in blocks of a few MB and never copied whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from deid.parse import Element, Encoding, name
from dicom.errors import NotClean

Chunk = bytes | memoryview
_Cells = npt.NDArray[Any]

BLOCK_BYTES: Final = 4 << 20
_FRAMES: Final = 0x0028_0008
_PHOTOMETRIC: Final = 0x0028_0004
_SAMPLES_PER_PIXEL: Final = 0x0028_0002
_PADDING: Final = 0x0028_0120
_DESCRIBING: Final = (
    *(0x0028_0010, 0x0028_0011, 0x0028_0100),
    *(0x0028_0101, 0x0028_0102, 0x0028_0103),
)
"""Rows, Columns, Bits Allocated, Bits Stored, High Bit, Pixel Representation."""
_BITS_ALLOCATED: Final = 0x0100
_BIT_POSITION: Final = 0x0102
_DATA: Final = 0x3000
_WHOLE_BYTES: Final = frozenset({8, 16, 32, 64})


@dataclass(frozen=True, slots=True)
class Layout:
    """How samples lie in native pixel data (PS3.3 C.7.6.3, PS3.5 8.1.1)."""

    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    """PixelRepresentation is 1."""
    samples: int
    """In all frames together, as they are stored; see `stored_samples`."""
    little: bool = True
    padding: int | None = None
    """PixelPaddingValue as it is written in a cell, unsigned; None where there is none."""
    overlaid: bool = False
    """An overlay group says that it stands in these cells; see `embedded`."""

    def check(self) -> None:
        """Raise NotClean where the numbers cannot describe pixel data."""
        fits = 0 < self.bits_stored <= self.high_bit + 1 <= self.bits_allocated
        if not fits or self.samples < 0:
            raise NotClean("the bits of the pixel data do not fit one another")
        if self.bits_stored < self.bits_allocated and self.bits_allocated not in _WHOLE_BYTES:
            raise NotClean("pixel cells that are no whole bytes cannot be looked into")

    @property
    def size_bytes(self) -> int:
        """Bytes that the samples fill, without padding.

        In big endian an odd last byte lies behind its padding (PS3.5 7.3, 8.1.1).
        """
        size = (self.samples * self.bits_allocated + 7) // 8
        return size if self.little else size + size % 2

    @property
    def cell(self) -> np.dtype[Any]:
        """A cell as numpy reads it."""
        return np.dtype(f"{'<' if self.little else '>'}u{self.bits_allocated // 8}")

    @property
    def stored(self) -> int:
        """The bits of a cell that hold the sample."""
        return ((1 << self.bits_stored) - 1) << (self.high_bit + 1 - self.bits_stored)

    @property
    def above(self) -> int:
        """The bits of a cell above High Bit."""
        return ((1 << self.bits_allocated) - 1) & ~((1 << (self.high_bit + 1)) - 1)

    @property
    def unused(self) -> int:
        """The bits of a cell that belong to no sample."""
        return ((1 << self.bits_allocated) - 1) & ~self.stored


def number_of_frames(elements: tuple[Element, ...]) -> int:
    """Read NumberOfFrames; 1 where there is none. Raises NotClean where it is no number."""
    values = (each.value for each in elements if each.tag == _FRAMES)
    text = bytes(next(values, b"")).strip(b"\0 ") or b"1"
    if not text.isdigit() or len(text) > 9:
        raise NotClean(f"{name(_FRAMES)} is no number of frames")
    return int(text)


def layout_of(elements: tuple[Element, ...], encoding: Encoding) -> Layout:
    """Read the layout of native pixel data from the dataset that it stands in.

    Raises NotClean where an attribute that describes the pixels is missing or cannot be read.
    """
    values = {element.tag: element.value for element in elements}
    rows, columns, allocated, stored, high, representation = (
        _short(values.get(tag), tag, encoding) for tag in _DESCRIBING
    )
    colours = 1
    if _SAMPLES_PER_PIXEL in values:
        colours = _short(values[_SAMPLES_PER_PIXEL], _SAMPLES_PER_PIXEL, encoding)
    photometric = bytes(values.get(_PHOTOMETRIC, b"")).decode("ascii", "replace").strip("\0 ")
    padding = values.get(_PADDING)
    return Layout(
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=representation == 1,
        samples=stored_samples(rows, columns, number_of_frames(elements), colours, photometric),
        little=encoding.little,
        padding=_short(padding, _PADDING, encoding) if padding and allocated == 16 else None,
        overlaid=bool(embedded(elements, little=encoding.little)),
    )


def _short(value: memoryview | None, tag: int, encoding: Encoding) -> int:
    if value is None or len(value) < 2:
        raise NotClean(f"{name(tag)} is missing, the pixel data cannot be looked into")
    (number,) = encoding.short.unpack_from(value)
    return int(number)


def stored_samples(
    rows: int, columns: int, frames: int, samples_per_pixel: int, photometric: str
) -> int:
    """Count the samples that native pixel data holds.

    YBR_FULL_422 stores two colour samples for two pixels (PS3.3 C.7.6.3.1.2).
    """
    per_pixel = 2 if photometric == "YBR_FULL_422" else samples_per_pixel
    return rows * columns * frames * per_pixel


def embedded(elements: tuple[Element, ...], *, little: bool = True) -> tuple[int, ...]:
    """List the overlay groups (60xx) that say their bits stand in the pixel data.

    Such a group has a bit position other than 0, or several bits allocated and no Overlay Data
    (PS3.3 C.9.2.1, and its retired form in 2004).
    """
    order: Literal["little", "big"] = "little" if little else "big"
    found: dict[int, dict[int, int]] = {}
    for element in elements:
        group, number = element.tag >> 16, element.tag & 0xFFFF
        if group >> 8 == 0x60 and not group & 1:
            found.setdefault(group, {})[number] = int.from_bytes(element.value[:2], order)
    return tuple(sorted(group for group, values in found.items() if _is_embedded(values)))


def _is_embedded(values: dict[int, int]) -> bool:
    """Judge an overlay group by the first two bytes of its values."""
    without_data = values.get(_BITS_ALLOCATED, 1) > 1 and _DATA not in values
    return values.get(_BIT_POSITION, 0) != 0 or without_data


def refuse_embedded(elements: tuple[Element, ...], *, little: bool = True) -> None:
    """Raise NotClean where an overlay stands in pixel data whose bits cannot be cleared."""
    groups = embedded(elements, little=little)
    if groups:
        raise NotClean(
            f"({groups[0]:04X},0102): an overlay is embedded in compressed pixel data, "
            "whose bits cannot be cleared without coding it anew"
        )


def clear(value: memoryview, layout: Layout) -> Iterator[Chunk]:
    """Yield the value field of native Pixel Data with nothing hidden in it.

    Blocks that are right as they are come as slices of the input, so a clean value is not
    copied; length and order of the bytes stay. Looking takes one pass ahead of the first chunk
    and, where something was found, a second one. Raises NotClean, on the first step, where the
    layout's numbers do not fit one another.
    """
    samples, rest = _parted(value, layout)
    if not _says_nothing(samples, layout):
        yield from _cleared(samples, layout)
    elif samples:
        yield samples
    for block in _blocks(rest, 1):
        yield bytes(len(block)) if _is_said(block) else block


def is_clean(value: memoryview, layout: Layout) -> bool:
    """Whether `clear` would give the value back as it is. Raises as `clear` does."""
    samples, rest = _parted(value, layout)
    behind = any(_is_said(block) for block in _blocks(rest, 1))
    return not behind and _says_nothing(samples, layout)


def _parted(value: memoryview, layout: Layout) -> tuple[memoryview, memoryview]:
    """Part the whole cells that hold samples from what follows them."""
    layout.check()
    end = min(layout.size_bytes, len(value))
    if layout.unused:
        end -= end % layout.cell.itemsize  # where the value breaks off inside a cell
    return value[:end], value[end:]


def _says_nothing(samples: memoryview, layout: Layout) -> bool:
    """Whether the unused bits are zero or repeat the sign, apart from padding.

    Signed data may mix both, as some writers do. Not so where an overlay is declared, or where
    the one bit above the sign would tell an overlay's shape by being zero or the sign.
    """
    if not layout.unused:
        return True
    blocks = [_cells(each, layout) for each in _blocks(samples, layout.cell.itemsize)]
    fills = [False, True] if layout.signed else [False]
    if any(all(_is_filled(each, layout, signed=signed) for each in blocks) for signed in fills):
        return True
    may_mix = layout.signed and not layout.overlaid and layout.above.bit_count() > 1
    return may_mix and all(_is_mixed(each, layout) for each in blocks)


def _is_mixed(cells: _Cells, layout: Layout) -> bool:
    """Whether each cell by itself has zeros or the sign in its unused bits."""
    repeated = cells == _filled(cells, layout, signed=True)
    return bool(np.all(repeated | (cells & layout.unused == 0)))


def _is_filled(cells: _Cells, layout: Layout, *, signed: bool) -> bool:
    """Whether a block's unused bits are as `_filled` makes them; the usual case is quick."""
    if not signed and not np.bitwise_or.reduce(cells) & layout.unused:
        return True
    if signed and layout.high_bit + 1 == layout.bits_stored:
        numbers = cells.view(layout.cell.str.replace("u", "i"))
        limit = 1 << layout.high_bit
        if -limit <= numbers.min() and numbers.max() < limit:
            return True
        if layout.padding is None:
            return False
    return np.array_equal(cells, _filled(cells, layout, signed=signed))


def _filled(cells: _Cells, layout: Layout, *, signed: bool) -> _Cells:
    """Fill the unused bits with the sign above High Bit where `signed`, and else with zeros."""
    filled = cells & layout.stored
    if signed:
        negative = cells & (1 << layout.high_bit) != 0
        filled |= negative * filled.dtype.type(layout.above)
    if layout.padding is not None:
        filled = np.where(cells == layout.padding, cells, filled)
    return filled


def _cleared(samples: memoryview, layout: Layout) -> Iterator[Chunk]:
    for block in _blocks(samples, layout.cell.itemsize):
        cells = _cells(block, layout)
        filled = _filled(cells, layout, signed=layout.signed)
        same = np.array_equal(cells, filled)
        yield block if same else filled.astype(layout.cell, copy=False).tobytes()


def _is_said(block: memoryview) -> bool:
    return bool(np.frombuffer(block, np.uint8).any())


def _blocks(value: memoryview, cell_bytes: int) -> Iterator[memoryview]:
    size = BLOCK_BYTES - BLOCK_BYTES % cell_bytes
    for start in range(0, len(value), size):
        yield value[start : start + size]


def _cells(block: memoryview, layout: Layout) -> _Cells:
    return np.frombuffer(block, layout.cell)
