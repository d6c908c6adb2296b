"""Tell the frames of an object's pixel data apart, so that one is read without the others.

Native pixels lie at a fixed distance (PS3.5 8.1.1); fragments are told apart by the Extended or
Basic Offset Table, by their number, or by the end of a codestream (PS3.5 A.4).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

from dicom.encoding import BIG_ENDIAN, UNDEFINED_LENGTH
from dicom.errors import CannotUnderstand, DoesNotMatch
from dicom.places import Finder, Fragment, Place, dataset_of

PIXEL_DATA: Final = 0x7FE0_0010
MOST_FRAMES: Final = 1 << 20
FLOATS: Final = {0x7FE0_0008: 4, 0x7FE0_0009: 8}
"""Float Pixel Data and Double Float Pixel Data, with the bytes of a value."""

_EXTENDED: Final = 0x7FE0_0001
_EXTENDED_LENGTHS: Final = 0x7FE0_0002
_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x0028_0002, 0x0028_0004, 0x0028_0008
_ROWS, _COLUMNS, _ALLOCATED = 0x0028_0010, 0x0028_0011, 0x0028_0100
_KEPT: Final = frozenset({_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED})
_HALVED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422"})
"""Native, two pixels share their colour: two samples for each instead of three."""
_IS_CHARACTERS: Final = 12  # PS3.5 6.2
_END_BYTES: Final = 16
_END_MARKER: Final = b"\xff\xd9"

Extent = tuple[int, int]
"""Where bytes begin in the stream, and how many they are."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the frames of one object lie; worth keeping, for it takes a walk to make."""

    transfer_syntax_uid: str
    rows: int
    columns: int
    samples: int
    bits_allocated: int
    photometric: str
    frames: int
    pixels: Place
    """Relative to the dataset."""
    dataset_start: int
    """In the stream that `places.dataset_of` gives, as are the extents."""
    extents: tuple[tuple[Extent, ...], ...] | None
    """The fragments of each frame; None where pixels are native."""

    @property
    def is_encapsulated(self) -> bool:
        """Whether frames are compressed, or at least in fragments."""
        return self.extents is not None

    @property
    def frame_bits(self) -> int:
        """The size of a native frame."""
        bits = self.rows * self.columns * self.samples * self.bits_allocated
        return bits * 2 // 3 if self.photometric in _HALVED and self.samples == 3 else bits

    def size_bytes(self, number: int) -> int:
        """Give the size of a frame, by its number from 1, as `frame` gives it."""
        if self.extents is None:
            return (self.frame_bits + 7) // 8
        return sum(length for _, length in self.extents[number - 1])


def layout(part10: BinaryIO, transfer_syntax_uid: str) -> Layout:
    """Find the frames of a Part 10 file of ours.

    Raises DoesNotMatch where it has no pixel data, CannotUnderstand where frames cannot be told
    apart, or are not all there.
    """
    stream, start = dataset_of(part10, transfer_syntax_uid)
    finder = Finder(stream, start, transfer_syntax_uid)
    order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
    known: dict[int, int | str] = {}
    tables: dict[int, Place] = {}
    pixels = None
    for place in finder.top():
        if place.tag in _KEPT:
            known[place.tag] = _fact(place.tag, finder.value(place, 64), order)
        elif place.tag in {_EXTENDED, _EXTENDED_LENGTHS}:
            tables[place.tag] = place
        elif place.tag == PIXEL_DATA or place.tag in FLOATS:
            pixels = place
            break
    if pixels is None:
        raise DoesNotMatch("the instance has no pixel data")
    frames = _whole(known, _FRAMES, 1) or 1
    if frames > MOST_FRAMES:
        raise CannotUnderstand(f"(0028,0008) says more than {MOST_FRAMES} frames")
    extents = None
    if pixels.length == UNDEFINED_LENGTH:
        extents = _extents(finder, pixels, tables, frames, start)
    found = Layout(
        transfer_syntax_uid, _whole(known, _ROWS), _whole(known, _COLUMNS),
        _whole(known, _SAMPLES, 1), FLOATS.get(pixels.tag, 0) * 8 or _whole(known, _ALLOCATED),
        str(known.get(_PHOTOMETRIC, "")), frames, pixels, start, extents,
    )  # fmt: skip
    _check(found, finder.size_bytes)
    return found


def frame(part10: BinaryIO, where: Layout, number: int) -> bytes:
    """Read a frame by its number from 1: native in little endian, or its joined fragments.

    Frames of single bits are moved so that they begin with a byte. Raises DoesNotMatch where
    there is no such frame, CannotUnderstand where bytes are missing.
    """
    if not 1 <= number <= where.frames:
        raise DoesNotMatch(f"there is no frame {number}: the instance has {where.frames}")
    stream, _ = dataset_of(part10, where.transfer_syntax_uid)
    if where.extents is not None:
        return b"".join(_read(stream, *extent) for extent in where.extents[number - 1])
    first_bit = (number - 1) * where.frame_bits
    first, behind = first_bit // 8, (first_bit + where.frame_bits + 7) // 8
    step = _word_bytes(where)
    start, end = first // step * step, -(-behind // step) * step
    value = _read(stream, where.dataset_start + where.pixels.start + start, end - start)
    if step > 1:
        value = _swapped(value, step)
    value = value[first - start : behind - start] if end - start > behind - first else value
    return _moved(value, first_bit % 8, where.frame_bits) if where.frame_bits % 8 else value


def head(part10: BinaryIO, where: Layout) -> bytes:
    """Read the encoded dataset up to its pixel data."""
    stream, start = dataset_of(part10, where.transfer_syntax_uid)
    return _read(stream, start, where.pixels.header)


def _read(stream: BinaryIO, at: int, size: int) -> bytes:
    stream.seek(at)
    found = stream.read(size)
    if len(found) != size:
        raise CannotUnderstand("the pixel data breaks off")
    return found


def _fact(tag: int, value: bytes, order: str) -> int | str:
    if tag in {_PHOTOMETRIC, _FRAMES}:
        return value.decode("ascii", "replace").strip("\0 ")
    return int(struct.unpack_from(order + "H", value)[0]) if len(value) >= 2 else 0


def _whole(known: dict[int, int | str], tag: int, default: int = 0) -> int:
    found = known.get(tag, default)
    if isinstance(found, int):
        return found
    text = found.partition("\\")[0].strip()
    if text and not (text.isascii() and text.isdigit() and len(text) <= _IS_CHARACTERS):
        raise CannotUnderstand("(0028,0008) is no number of frames")
    return int(text or default)


def _check(where: Layout, size_bytes: int) -> None:
    if where.is_encapsulated:
        return
    needed = (where.frames * where.frame_bits + 7) // 8
    if not where.frame_bits:
        raise CannotUnderstand("(0028,0010), (0028,0011) and (0028,0100) give no size of a frame")
    if needed > where.pixels.length or where.pixels.start + where.pixels.length > size_bytes:
        raise CannotUnderstand("the pixel data is shorter than its frames")


def _extents(
    finder: Finder, pixels: Place, tables: dict[int, Place], frames: int, start: int
) -> tuple[tuple[Extent, ...], ...]:
    items = finder.fragments(pixels)
    basic = next(items, None)
    if basic is None:
        raise CannotUnderstand("the pixel data has no offset table")
    if tables.keys() == {_EXTENDED, _EXTENDED_LENGTHS}:
        found = _by_extended(finder, tables, basic.start + basic.length, frames, start)
        if found is not None:
            return found
    fragments = []
    for one in items:
        fragments.append(one)
        if len(fragments) > MOST_FRAMES:
            raise CannotUnderstand(f"the pixel data has more than {MOST_FRAMES} fragments")
    offsets = _numbers(finder, Place(0, b"", 0, basic.start, basic.length), "L")
    grouped = _grouped(finder, fragments, offsets, frames)
    return tuple(tuple((start + one.start, one.length) for one in group) for group in grouped)


def _by_extended(
    finder: Finder, tables: dict[int, Place], first: int, frames: int, start: int
) -> tuple[tuple[Extent, ...], ...] | None:
    """Use the Extended Offset Table (PS3.3 C.7.6.3.1.8), which knows one fragment for a frame.

    None where it cannot be true: then the fragments themselves have the word.
    """
    offsets = _numbers(finder, tables[_EXTENDED], "Q")
    lengths = _numbers(finder, tables[_EXTENDED_LENGTHS], "Q")
    if len(offsets) != frames or len(lengths) != frames:
        return None
    for offset, length in zip(offsets, lengths, strict=True):
        if not finder.is_fragment(first + offset, length):
            return None
    return tuple(
        ((start + first + offset + 8, length),)
        for offset, length in zip(offsets, lengths, strict=True)
    )


def _numbers(finder: Finder, place: Place, code: str) -> Sequence[int]:
    size = struct.calcsize("<" + code)
    count = min(place.length // size, MOST_FRAMES)
    return struct.unpack(f"<{count}{code}", finder.value(place, count * size))


def _grouped(
    finder: Finder, fragments: list[Fragment], offsets: Sequence[int], frames: int
) -> list[list[Fragment]]:
    """Say which fragments make which frame."""
    if frames == 1:
        return [fragments]
    if len(fragments) == frames:
        return [[one] for one in fragments]
    if len(offsets) == frames and fragments:
        begins = {one.header - fragments[0].header: at for at, one in enumerate(fragments)}
        starts = [begins.get(offset, -1) for offset in offsets]
        if starts[0] == 0 and all(one < two for one, two in pairwise(starts)):
            ends = [*starts[1:], len(fragments)]
            return [fragments[one:two] for one, two in zip(starts, ends, strict=True)]
    groups: list[list[Fragment]] = [[]]
    for one in fragments:
        groups[-1].append(one)
        last = max(one.length - _END_BYTES, 0)
        tail = Place(0, b"", 0, one.start + last, one.length - last)
        if _END_MARKER in finder.value(tail, _END_BYTES):
            groups.append([])
    groups = [group for group in groups if group]
    if len(groups) != frames:
        raise CannotUnderstand("nothing says which fragments of the pixel data make which frame")
    return groups


def _moved(value: bytes, first_bit: int, bits: int) -> bytes:
    """Give bits a byte to begin with; the first bit is the lowest one (PS3.5 8.1.1)."""
    whole = int.from_bytes(value, "little") >> first_bit & ((1 << bits) - 1)
    return whole.to_bytes((bits + 7) // 8, "little")


def _word_bytes(where: Layout) -> int:
    """Say how many bytes are to be turned round together: 1 where none are.

    Bytes, and bits, in OW stand in words (PS3.5 8.2).
    """
    if where.transfer_syntax_uid != BIG_ENDIAN:
        return 1
    size = where.bits_allocated // 8
    if where.pixels.vr == b"OW" and size > 2:
        raise CannotUnderstand("writers disagree on what 32-bit pixels in big endian mean")
    return max(size, 2 if where.pixels.vr == b"OW" else 1)


def _swapped(value: bytes, step: int) -> bytes:
    swapped = bytearray(len(value))
    for i in range(step):
        swapped[i::step] = value[step - 1 - i :: step]
    return bytes(swapped)
