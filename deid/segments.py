"""Take comments and application data out of compressed pixel data; the pixels stay as coded.

JPEG, JPEG-LS, JPEG 2000, HTJ2K and JPEG XL have room for names, dates, thumbnails and whole
headers beside their pixels. What a decoder needs is passed on as slices of the input, bit for
bit; offset tables follow. Kept are JFIF without its thumbnail and the colour transforms of Adobe
and of HP's JPEG-LS. Left out are comments, every other APPn segment (Exif, XMP, ICC profiles,
SPIFF, IPTC), boxes that are no part of the image, and whatever stands behind a stream's end.
A stream that cannot be followed is refused.

Not looked into: the colour profile of a JP2 header, names of frames inside a JPEG XL codestream,
and the unused bytes of an RLE header. Video is not taken apart either: where the caller lets it
pass, its readable text is there to be searched (`words`), and one with sound is refused.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from deid.codestreams import STARTS, Cut, Stream, cuts, left_of
from deid.parse import ITEM, SEQUENCE_END, Encoding
from dicom.errors import NotClean

Chunk = bytes | memoryview
Video = Literal["refuse", "pass"]

_ROOT: Final = "1.2.840.10008.1.2."
_FAMILIES: Final = {
    _ROOT + code: family
    for family, codes in {
        "jpeg": [f"4.{number}" for number in (*range(50, 67), 70, 80, 81)],
        "jpeg 2000": [f"4.{number}" for number in (90, 91, 92, 93, 201, 202, 203)],
        "jpeg xl": ["4.110", "4.111", "4.112"],
        "video": [
            *(f"4.{number}" for number in range(100, 109)),
            *(f"4.{number}.1" for number in range(100, 107)),
        ],
        "bare": ["5", "1.98", "8.1"],
    }.items()
    for code in codes
}
"""Encapsulated transfer syntaxes (PS3.5 Annex A.4); bare ones have no place for segments."""
_SOUND: Final = re.compile(rb"\x00\x00\x01[\xbd\xc0-\xdf]")
"""An audio or private stream of MPEG (ISO/IEC 13818-1 Table 2-22); no video holds these bytes."""
_SOUND_TRACK: Final = re.compile(rb"hdlr.{8}soun", re.DOTALL)
"""A sound track of an MP4 file (ISO/IEC 14496-12 8.4.3)."""
_WORDS: Final = re.compile(rb"(?:[\x20-\x7e]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}){6,}")
_LONGEST_ITEM: Final = 0xFFFF_FFFE
VIDEO_REMARK: Final = "video was searched for text, not taken apart"


@dataclass(frozen=True, slots=True)
class Stripped:
    """Encapsulated pixel data without segments that a decoder can do without."""

    chunks: tuple[Chunk, ...]
    """The value field, delimiter included: slices of the input and a few bytes of our own."""
    removed: int
    """How many segments, boxes and endings were cut, or cut down."""
    offsets: tuple[int, ...]
    """Where each frame's first item begins behind the Basic Offset Table, in bytes."""
    lengths: tuple[int, ...]
    """How long each frame's fragments are together, padding included, in bytes."""
    remark: str = ""

    def extended_offset_table(self) -> bytes:
        """Write the value of Extended Offset Table (7FE0,0001), OV (PS3.3 C.7.6.3.1.8)."""
        return struct.pack(f"<{len(self.offsets)}Q", *self.offsets)

    def extended_offset_table_lengths(self) -> bytes:
        """Write the value of Extended Offset Table Lengths (7FE0,0002), OV."""
        return struct.pack(f"<{len(self.lengths)}Q", *self.lengths)


@dataclass(frozen=True, slots=True)
class _Fragment:
    """Where an item of the value field lies: its tag, its value, its end."""

    item: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Frame:
    """The fragments of one frame, and what is cut out of them taken together."""

    fragments: tuple[_Fragment, ...]
    cuts: tuple[Cut, ...]

    @property
    def length(self) -> int:
        """Bytes of the frame when it is written; one that was cut is one fragment."""
        cut = sum(each.end - each.start - len(each.instead) for each in self.cuts)
        rest = sum(each.end - each.start for each in self.fragments) - cut
        return rest + rest % 2 if self.cuts else rest

    @property
    def size(self) -> int:
        """The same with the headers of its items."""
        return self.length + 8 * (1 if self.cuts else len(self.fragments))


def strip(
    value: memoryview,
    encoding: Encoding,
    *,
    transfer_syntax_uid: str,
    frames: int = 1,
    video: Video = "refuse",
) -> Stripped:
    """Strip an encapsulated Pixel Data's value field (PS3.5 A.4), of `frames` frames.

    Where nothing is cut the value comes back as one slice. Otherwise each frame that was cut
    becomes one fragment, and the Basic Offset Table is written anew if there was one. Where
    `removed` is not 0 and the object has Extended Offset Tables, they have to be replaced.
    Raises NotClean for a stream that cannot be followed, frames that cannot be told apart, a
    codec not known here, video that must not pass, and video with sound.
    """
    family = _FAMILIES.get(transfer_syntax_uid)
    if family is None:
        raise NotClean("pixel data is compressed in a way that cannot be looked into")
    layout = _layout(value, encoding)
    if family == "video":
        return _video(value, layout, video)
    if family == "bare" or len(layout) == 1:
        return Stripped((value,), 0, (), ())
    written = [
        _Frame(group, cuts(Stream([value[each.start : each.end] for each in group]), family))
        for group in _grouped(value, layout, frames, family, encoding)
    ]
    removed = sum(not each.padding for frame in written for each in frame.cuts)
    offsets = [0]
    for frame in written[:-1]:
        offsets.append(offsets[-1] + frame.size)
    chunks = _chunks(value, layout[0], written, offsets, encoding) if removed else iter((value,))
    lengths = tuple(frame.length for frame in written)
    return Stripped(tuple(chunks), removed, tuple(offsets), lengths)


def words(value: memoryview) -> Iterator[bytes]:
    """Yield what reads as text in a value field: runs of six characters and more, in UTF-8.

    For the self-check of what cannot be taken apart. Text in other encodings is not found.
    """
    for found in _WORDS.finditer(value):
        yield found.group()


def _layout(value: memoryview, encoding: Encoding) -> list[_Fragment]:
    """Find the items of the value field, the Basic Offset Table first."""
    found: list[_Fragment] = []
    at = 0
    while at + 8 <= len(value):
        group, number = encoding.tag.unpack_from(value, at)
        (length,) = encoding.long.unpack_from(value, at + 4)
        tag = group << 16 | number
        if tag == SEQUENCE_END:
            break
        if tag != ITEM or at + 8 + length > len(value):
            raise NotClean("encapsulated pixel data breaks off")
        found.append(_Fragment(at, at + 8, at + 8 + length))
        at += 8 + length
    if not found:
        raise NotClean("encapsulated pixel data has no Basic Offset Table")
    return found


def _video(value: memoryview, layout: list[_Fragment], video: Video) -> Stripped:
    if video == "refuse":
        raise NotClean("video may carry words beside its frames, and sound; it was not let pass")
    stream = Stream([value[each.start : each.end] for each in layout[1:]])
    is_mp4 = stream.read(4, 4) == b"ftyp"
    if (_SOUND_TRACK if is_mp4 else _SOUND).search(value):
        raise NotClean("video carries sound, which cannot be listened to")
    return Stripped((value,), 0, (), (), VIDEO_REMARK)


def _grouped(
    value: memoryview,
    layout: list[_Fragment],
    frames: int,
    family: str,
    encoding: Encoding,
) -> list[tuple[_Fragment, ...]]:
    """Tell which fragments make up each frame: by the offset table, by number, or by look."""
    table, fragments = layout[0], layout[1:]
    firsts = _firsts(value, table, fragments, encoding)
    if not firsts and len(fragments) == frames:
        firsts = list(range(frames))
    if not firsts and frames <= 1:
        firsts = [0]
    if not firsts:
        starts = STARTS[family]
        firsts = [
            index
            for index, each in enumerate(fragments)
            if bytes(value[each.start : each.start + 12]).startswith(starts)
        ]
        if len(firsts) != frames or firsts[0] != 0:
            raise NotClean("the frames of the pixel data cannot be told apart")
    bounds = zip(firsts, [*firsts[1:], len(fragments)], strict=True)
    return [tuple(fragments[first:behind]) for first, behind in bounds]


def _firsts(
    value: memoryview, table: _Fragment, fragments: list[_Fragment], encoding: Encoding
) -> list[int]:
    """Read the Basic Offset Table as numbers of fragments; none where it is empty or wrong."""
    if table.end == table.start or (table.end - table.start) % 4:
        return []
    numbers = {each.item - table.end: index for index, each in enumerate(fragments)}
    order = ">" if encoding.long.format.startswith(">") else "<"
    count = (table.end - table.start) // 4
    offsets = struct.unpack_from(f"{order}{count}L", value, table.start)
    firsts = [numbers.get(offset, -1) for offset in offsets]
    rising = all(before < after for before, after in pairwise(firsts))
    return firsts if rising and firsts[0] == 0 else []


def _chunks(
    value: memoryview,
    table: _Fragment,
    written: list[_Frame],
    offsets: list[int],
    encoding: Encoding,
) -> Iterator[Chunk]:
    """Write the value field anew; neighbours that stayed as they were are one slice."""
    yield _table(table, offsets, encoding)
    untouched = table.end
    for frame in written:
        if not frame.cuts:
            continue
        first, last = frame.fragments[0], frame.fragments[-1]
        if first.item > untouched:
            yield value[untouched : first.item]
        yield _item(frame.length, encoding)
        stream = Stream([value[each.start : each.end] for each in frame.fragments])
        length = 0
        for part in left_of(stream, frame.cuts):
            length += len(part)
            yield part
        if length % 2:
            yield b"\0"
        untouched = last.end
    yield value[untouched:]


def _table(table: _Fragment, offsets: list[int], encoding: Encoding) -> bytes:
    """Write the Basic Offset Table; empty where it was, or where its 32 bits do not suffice."""
    if table.end == table.start or offsets[-1] > 0xFFFF_FFFF:
        return _item(0, encoding)
    return _item(4 * len(offsets), encoding) + b"".join(map(encoding.long.pack, offsets))


def _item(length: int, encoding: Encoding) -> bytes:
    if length > _LONGEST_ITEM:
        raise NotClean("a frame of the pixel data is too long for one fragment")
    return encoding.tag.pack(ITEM >> 16, ITEM & 0xFFFF) + encoding.long.pack(length)
