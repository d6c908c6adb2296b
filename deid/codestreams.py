"""Find what one compressed frame carries beside its pixels: what to cut, and what to put instead.

Streams are followed marker by marker and box by box (ITU-T T.81 B, T.87 C, T.800 A and I, T.814;
ISO/IEC 18181-2), also behind and between scans and in tile-part headers. No pixel is decoded.
What is not known to belong to an image is cut where lengths tell its bounds, and refused where
it might matter to the pixels.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from dicom.errors import NotClean

_JPEG_START: Final = b"\xff\xd8"
_JPEG_2000_START: Final = b"\xff\x4f\xff\x51"
_JPEG_XL_START: Final = b"\xff\x0a"
_JP2_START: Final = b"\0\0\0\x0cjP  \r\n\x87\n"
_JXL_START: Final = b"\0\0\0\x0cJXL \r\n\x87\n"
STARTS: Final = {
    "jpeg": (_JPEG_START,),
    "jpeg 2000": (_JPEG_2000_START, _JP2_START),
    "jpeg xl": (_JPEG_XL_START, _JXL_START),
}
"""How the streams of each family begin."""

_CODED: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""The next marker behind coded data of JPEG, which writes FF as FF 00 (T.81 B.1.1.5)."""
_CODED_LS: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""The same for JPEG-LS, which stuffs a bit instead of a byte (T.87 A.1)."""
_END_2000: Final = re.compile(rb"\xff\xd9")
_NO_PADDING: Final = re.compile(rb"[^\x00\xff]")

_NO_FILL: Final = re.compile(rb"[^\xff]")

_END, _SCAN, _COMMENT, _LS_FRAME = 0xD9, 0xDA, 0xFE, 0xF7
_LONELY: Final = frozenset({0x01, *range(0xD0, 0xD8)})
_APPLICATION: Final = range(0xE0, 0xF0)
_OF_THE_IMAGE: Final = frozenset(
    {*range(0xC0, 0xD0), _SCAN, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, _LS_FRAME, 0xF8}
)
_KEPT_APPLICATION: Final = {0xE0: (b"JFIF\0", 12, b"\0\0"), 0xEE: (b"Adobe", 12, b"")} | {
    0xE8: (b"mrfx", 5, b"")
}
"""Marker to how the segment begins, how much of it is kept, and what follows it: JFIF with no
thumbnail (T.871 10.1), and the colour transforms of Adobe and of HP's JPEG-LS."""

_TILE, _DATA, _COMMENT_2000 = 0x90, 0x93, 0x64
_LONELY_2000: Final = frozenset({_END, _DATA, *range(0x30, 0x40)})
_OF_THE_IMAGE_2000: Final = _LONELY_2000 | frozenset(
    {*range(0x50, 0x60), 0x60, 0x61, 0x63, *range(0x70, 0x80)}
)
_KEPT_BOXES: Final = frozenset(
    {b"jP  ", b"ftyp", b"jp2h", b"jp2c", b"JXL ", b"jxll", b"jxlc", b"jxlp"}
)


@dataclass(frozen=True, slots=True)
class Cut:
    """A range of a stream that is left out, and the bytes that stand there instead."""

    start: int
    end: int
    instead: bytes = b""
    padding: bool = False
    """It holds nothing; it goes only where something else goes."""


class Stream:
    """The bytes of one frame, which may lie in several fragments; nothing is joined."""

    def __init__(self, pieces: Sequence[memoryview]) -> None:
        """Take the fragments' values in order."""
        self._pieces = [piece for piece in pieces if len(piece)]
        self._starts = [0, *accumulate(len(piece) for piece in self._pieces)]
        self.size = self._starts[-1]

    def read(self, at: int, length: int) -> bytes:
        """Copy some bytes; fewer where the stream ends."""
        return b"".join(self.slices(at, min(at + length, self.size)))

    def slices(self, start: int, end: int) -> Iterator[memoryview]:
        """Yield a range as slices of the fragments that hold it."""
        index = bisect_right(self._starts, start) - 1
        while start < end and index < len(self._pieces):
            offset = start - self._starts[index]
            piece = self._pieces[index][offset : offset + end - start]
            yield piece
            start += len(piece)
            index += 1

    def search(self, pattern: re.Pattern[bytes], at: int) -> int:
        """Find the first match of one or two bytes at or behind a position; -1 for none."""
        index = bisect_right(self._starts, at) - 1
        while index < len(self._pieces):
            start, end = self._starts[index], self._starts[index + 1]
            found = pattern.search(self._pieces[index], max(at - start, 0))
            if found is not None:
                return start + found.start()
            if end - 1 >= at and pattern.match(self.read(end - 1, 2)):
                return end - 1
            index += 1
        return -1


def cuts(stream: Stream, family: str) -> tuple[Cut, ...]:
    """Find what a stream of a family of codecs holds beside its pixels; in order, none twice.

    Raises NotClean for a stream that does not begin as its family does, breaks off inside a
    segment, holds a segment that nobody knows, or is followed by another stream.
    """
    head = stream.read(0, 12)
    if stream.size == 0:
        return ()
    if not head.startswith(STARTS[family]):
        raise NotClean("pixel data does not begin as its transfer syntax says")
    found = tuple(_FOLLOWED[family](stream))
    return found if any(not each.padding for each in found) else ()


def _jpeg(stream: Stream) -> Iterator[Cut]:
    """Walk JPEG and JPEG-LS from marker to marker, over coded data too."""
    coded, once = _CODED, dict(_KEPT_APPLICATION)
    at = 2
    while at < stream.size:
        marker, start, end = _segment(stream, at, _LONELY | {_END})
        if marker == _END:
            yield from _behind(stream, end)
            return
        if marker in _APPLICATION or marker == _COMMENT:
            segment = stream.read(start, end - start)
            instead = _instead(segment, once.pop(marker, None))
            if instead != segment:
                yield Cut(at, end, instead)
        elif marker not in _OF_THE_IMAGE | _LONELY:
            raise NotClean(f"pixel data holds a segment that nobody knows (FF{marker:02X})")
        coded = _CODED_LS if marker == _LS_FRAME else coded
        at = stream.search(coded, end) if marker == _SCAN else end
        if at < 0:
            return


def _segment(stream: Stream, at: int, lonely: frozenset[int]) -> tuple[int, int, int]:
    """Read the marker at a position, behind fill bytes; say where its segment starts and ends."""
    head = stream.read(at, 4)
    if head[:2] == b"\xff\xff":  # fill bytes (T.81 B.1.1.2)
        at = max(stream.search(_NO_FILL, at) - 1, at)
        head = stream.read(at, 4)
    if len(head) < 2 or head[0] != 0xFF:
        raise NotClean("pixel data has no marker where its stream must have one")
    marker = head[1]
    if marker in lonely:
        return marker, at, at + 2
    end = at + 2 + int.from_bytes(head[2:4], "big")
    if len(head) < 4 or end < at + 4 or end > stream.size:
        raise NotClean(f"pixel data breaks off inside a segment (FF{marker:02X})")
    return marker, at, end


def _instead(segment: bytes, kept: tuple[bytes, int, bytes] | None) -> bytes:
    """Say what stands for an application segment: nothing, or what a decoder needs of it."""
    body = segment[4:]
    if kept is None or not body.startswith(kept[0]) or len(body) < kept[1]:
        return b""
    needed = body[: kept[1]] + kept[2]
    return segment[:2] + (len(needed) + 2).to_bytes(2, "big") + needed


def _behind(stream: Stream, end: int) -> Iterator[Cut]:
    """Cut what stands behind the end of a stream, and the padding (PS3.5 A.4)."""
    padding = stream.search(_NO_PADDING, end) < 0
    if not padding and stream.read(end, 2) in {_JPEG_START, _JPEG_2000_START[:2]}:
        raise NotClean("pixel data holds a second stream where one frame must stand")
    if end < stream.size:
        yield Cut(end, stream.size, padding=padding)


def _jpeg_2000(stream: Stream, start: int, *, boxed: bool = False) -> Iterator[Cut]:
    """Walk a JPEG 2000 codestream: main header, then tile-parts by their lengths.

    Inside tile-parts, and in a box, a comment is overwritten with zeros of the same length, for
    Psot, TLM segments and box lengths count the bytes.
    """
    at, tile, tile_length = start + 2, -1, 0
    while at < stream.size:
        marker, first, end = _segment(stream, at, _LONELY_2000)
        if marker == _END:
            if not boxed:
                yield from _behind(stream, end)
            return
        if marker == _TILE:
            tile, tile_length = first, int.from_bytes(stream.read(first + 6, 4), "big")
        elif marker == _COMMENT_2000:
            in_place = boxed or tile >= 0
            yield from _comment_2000(stream, Cut(first, end), in_place=in_place)
        elif marker not in _OF_THE_IMAGE_2000:
            raise NotClean(f"pixel data holds a segment that nobody knows (FF{marker:02X})")
        at = _behind_tile(stream, end, tile, tile_length) if marker == _DATA else end
        if at < 0:
            return


def _comment_2000(stream: Stream, segment: Cut, *, in_place: bool) -> Iterator[Cut]:
    start, end = segment.start + 4, segment.end
    if not in_place:
        yield segment
    elif any(stream.read(start, end - start)):
        yield Cut(start, end, bytes(end - start))


def _behind_tile(stream: Stream, data: int, tile: int, length: int) -> int:
    """Say where the next tile-part or the end begins; -1 where the stream breaks off before."""
    if tile < 0:
        raise NotClean("pixel data has tile data without a tile")
    if length == 0:  # the last one may leave its length open (T.800 A.4.2)
        return stream.search(_END_2000, data)
    if tile + length < data:
        raise NotClean("pixel data has a tile that is shorter than its header")
    return tile + length if tile + length < stream.size else -1


def _boxes(stream: Stream) -> Iterator[Cut]:
    """Walk the boxes of a JP2 or JPEG XL container; cut those that hold no part of the image."""
    at = 0
    while at + 8 <= stream.size:
        head = stream.read(at, 16)
        length, kind, body = int.from_bytes(head[:4], "big") or stream.size - at, head[4:8], at + 8
        if length == 1:
            length, body = int.from_bytes(head[8:], "big"), at + 16
        end = at + length
        if end < body or end > stream.size:
            raise NotClean("pixel data breaks off inside a box")
        if kind == b"jp2c":
            if stream.read(body, 4) != _JPEG_2000_START:
                raise NotClean("pixel data has a box without the codestream it promises")
            yield from _jpeg_2000(stream, body, boxed=True)
        elif kind not in _KEPT_BOXES:
            yield Cut(at, end)
        at = end
    yield from _behind(stream, at)


def _of_family_2000(stream: Stream) -> Iterator[Cut]:
    boxed = stream.read(0, len(_JP2_START)) == _JP2_START
    return _boxes(stream) if boxed else _jpeg_2000(stream, 0)


def _of_family_xl(stream: Stream) -> Iterator[Cut]:
    boxed = stream.read(0, len(_JXL_START)) == _JXL_START
    return _boxes(stream) if boxed else iter(())


_FOLLOWED: Final[Mapping[str, Callable[[Stream], Iterator[Cut]]]] = {
    "jpeg": _jpeg,
    "jpeg 2000": _of_family_2000,
    "jpeg xl": _of_family_xl,
}


def left_of(stream: Stream, removed: Sequence[Cut]) -> Iterator[bytes | memoryview]:
    """Yield what is left of a stream, slices and replacements in order."""
    yield from stream.slices(0, removed[0].start if removed else stream.size)
    for cut, after in pairwise((*removed, Cut(stream.size, stream.size))):
        if cut.instead:
            yield cut.instead
        yield from stream.slices(cut.end, after.start)
