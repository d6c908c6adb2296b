"""Comment and application segments in compressed pixel data, read without decoding a pixel.

Cameras and converters write names, paths and whole headers there. They are only looked into:
a stream that names the patient is refused, every other one passes untouched.
"""

from collections.abc import Iterator
from typing import Final

JPEG_START: Final = b"\xff\xd8"
JPEG_2000_START: Final = b"\xff\x4f"
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD9)})
_SCAN: Final = 0xDA
_COMMENTS: Final = frozenset({*range(0xE0, 0xF0), 0xFE})
_TILE: Final = 0x90
_COMMENT_2000: Final = 0x64


def segments(fragment: memoryview) -> Iterator[bytes]:
    """Yield what APPn and COM segments hold (ITU-T T.81 B.1, T.800 A.9.2).

    Covers JPEG, JPEG-LS, JPEG 2000 and HTJ2K up to the first coded data of a fragment; other
    codecs of the standard have no such segments or, as video, are not looked into.
    """
    start = bytes(fragment[:2])
    if start == JPEG_START:
        yield from _marked(fragment, _SCAN, _COMMENTS)
    elif start == JPEG_2000_START:
        yield from _marked(fragment, _TILE, frozenset({_COMMENT_2000}))


def _marked(stream: memoryview, stop: int, wanted: frozenset[int]) -> Iterator[bytes]:
    position = 2
    while position + 4 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == stop:
            return
        if marker == 0xFF or marker in _STANDALONE:
            position += 1 if marker == 0xFF else 2
            continue
        length = stream[position + 2] << 8 | stream[position + 3]
        if marker in wanted:
            yield bytes(stream[position + 4 : position + 2 + length])
        position += 2 + length
