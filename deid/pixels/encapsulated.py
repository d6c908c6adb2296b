"""Tell the frames of encapsulated pixel data apart, and put new ones in their place (PS3.5 A.4)."""

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deid.container import Chunk
from deid.parse import UNDEFINED, Element, Encoding, fragments
from deid.pixels.attributes import find
from deid.pixels.spill import Spill
from dicom.errors import DeidFault, NotClean

EXTENDED_OFFSETS: Final = 0x7FE0_0001
EXTENDED_LENGTHS: Final = 0x7FE0_0002
_ITEM: Final = b"\xfe\xff\x00\xe0"
_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LONG: Final = struct.Struct("<L")
_STARTS: Final = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51")
"""How a stream of JPEG or JPEG-LS, or of JPEG 2000, begins."""

Frame = tuple[memoryview, ...]
"""The fragments of one frame."""


@dataclass(frozen=True, slots=True)
class Encapsulated:
    """Pixel data taken apart."""

    frames: tuple[Frame, ...]
    with_offsets: bool
    """Whether there is a Basic Offset Table."""
    with_extended: bool
    """Whether there is an Extended Offset Table."""


def split(
    pixels: Element, elements: tuple[Element, ...], encoding: Encoding, frames: int
) -> Encapsulated:
    """Take pixel data apart into frames.

    Raises NotClean where fragments cannot be told to which frame they belong: bytes that are
    looked at as part of another frame were not looked at.
    """
    offsets, *rest = fragments(pixels.value, encoding)
    extended = find(elements, EXTENDED_OFFSETS)
    table = _table(bytes(offsets), "L")
    if extended is not None and not table:
        table = _table(bytes(extended.value), "Q")
    if frames == 1:
        grouped: list[Frame] = [tuple(rest)] if rest else []
    elif len(rest) == frames:
        grouped = [(fragment,) for fragment in rest]
    else:
        begins = _offsets_begin(rest, table) if table else _streams_begin(rest)
        grouped = [tuple(rest[a:b]) for a, b in zip(begins, [*begins[1:], len(rest)], strict=True)]
    if len(grouped) != frames or any(not frame for frame in grouped):
        raise NotClean("(7FE0,0010): fragments do not match (0028,0008), frames cannot be told")
    return Encapsulated(tuple(grouped), bool(len(offsets)), extended is not None)


def _table(value: bytes, kind: str) -> list[int]:
    try:
        return [offset for (offset,) in struct.iter_unpack(f"<{kind}", value)]
    except struct.error:
        raise DeidFault("(7FE0,0010): the table of offsets is broken off") from None


def _offsets_begin(rest: Sequence[memoryview], table: list[int]) -> list[int]:
    """Find the fragment at which each frame begins, by the table of offsets."""
    starts: dict[int, int] = {}
    position = 0
    for number, fragment in enumerate(rest):
        starts[position] = number
        position += 8 + len(fragment)
    begins = [starts.get(offset, -1) for offset in table]
    if begins[:1] != [0] or begins != sorted(set(begins)):
        raise NotClean("(7FE0,0010): the table of offsets does not fit the fragments")
    return begins


def _streams_begin(rest: Sequence[memoryview]) -> list[int]:
    return [n for n, each in enumerate(rest) if bytes(each[:4]).startswith(_STARTS)] or [0]


def join(
    parts: Encapsulated, replaced: Iterable[bytes | None]
) -> tuple[tuple[Chunk, ...], dict[int, tuple[str, bytes]]]:
    """Write the value of Pixel Data: frames that are None stay byte for byte as they are.

    Returns its chunks, and the Extended Offset Table where there was one. Raises NotClean when a
    frame is too long to be written.
    """
    places: list[tuple[int, int]] = []
    position = 0
    body = Spill()
    for frame, new in zip(parts.frames, replaced, strict=True):
        length = _unchanged(frame, body) if new is None else _fresh(new, body)
        size = len(new) if new is not None else sum(map(len, frame))
        places.append((position, size))
        position += length
    table = _offset_table(places if parts.with_offsets else [])
    chunks = (table, *body.chunks(), _END)
    if not parts.with_extended:
        return chunks, {}
    starts, sizes = (struct.pack(f"<{len(places)}Q", *each) for each in zip(*places, strict=True))
    return chunks, {EXTENDED_OFFSETS: ("OV", starts), EXTENDED_LENGTHS: ("OV", sizes)}


def _unchanged(frame: Frame, body: Spill) -> int:
    """Pass a frame's fragments on; return the length with their items' heads."""
    for fragment in frame:
        body.add(_ITEM + _LONG.pack(len(fragment)))
        body.keep(fragment)
    return sum(8 + len(fragment) for fragment in frame)


def _fresh(new: bytes, body: Spill) -> int:
    """Write a new frame as one fragment of even length."""
    padding = len(new) % 2
    if len(new) + padding >= UNDEFINED:
        raise NotClean("(7FE0,0010): a frame is too long for a fragment")
    body.add(_ITEM + _LONG.pack(len(new) + padding) + new + b"\0" * padding)
    return 8 + len(new) + padding


def _offset_table(places: Sequence[tuple[int, int]]) -> bytes:
    """Write the Basic Offset Table; an empty one where an offset is too large for it."""
    if places and places[-1][0] >= UNDEFINED:
        places = []
    table = struct.pack(f"<{len(places)}L", *(start for start, _ in places))
    return _ITEM + _LONG.pack(len(table)) + table
