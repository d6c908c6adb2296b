"""Frames and fragments: told apart, and put together again."""

import struct

import pytest

from deid.parse import EXPLICIT_LITTLE, Element
from deid.pixels import encapsulated
from dicom.errors import DeidFault, NotClean

PIXELS = 0x7FE0_0010
END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def item(content):
    return b"\xfe\xff\x00\xe0" + struct.pack("<L", len(content)) + content


def value(table, *fragments):
    return item(table) + b"".join(map(item, fragments)) + END


def split(raw, frames, *others):
    pixels = Element(PIXELS, "OB", memoryview(raw), undefined=True)
    return encapsulated.split(pixels, (*others, pixels), EXPLICIT_LITTLE, frames)


def frames(parts):
    return [b"".join(frame) for frame in parts.frames]


JPEG = b"\xff\xd8\xff\xe0"


@pytest.mark.parametrize(
    ("raw", "count", "wanted"),
    [
        (value(b"", b"ab", b"cd"), 1, [b"abcd"]),
        (value(b"", b"ab", b"cd"), 2, [b"ab", b"cd"]),
        (value(struct.pack("<2L", 0, 20), b"ab", b"cd", b"ef"), 2, [b"abcd", b"ef"]),
        (value(b"", JPEG + b"ab", b"cd", JPEG + b"ef"), 2, [JPEG + b"abcd", JPEG + b"ef"]),
    ],
)
def test_fragments_find_their_frames(raw, count, wanted):
    """Frames are told by their number, by the table of offsets, or by how streams begin."""
    assert frames(split(raw, count)) == wanted


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (value(b""), 1),
        (value(b"", b"ab", b"cd", b"ef"), 2),
        (value(b"", b"ab"), 3),
        (value(struct.pack("<2L", 0, 12), b"ab", b"cd", b"ef"), 2),
        (value(struct.pack("<2L", 10, 0), b"ab", b"cd", b"ef"), 2),
        (value(struct.pack("<3L", 0, 10, 20), b"ab", b"cd", b"ef", b"gh"), 2),
    ],
)
def test_frames_that_cannot_be_told_are_refused(raw, count):
    """Bytes that might belong to another frame were not looked at: nothing passes."""
    with pytest.raises(NotClean):
        split(raw, count)


def test_a_broken_table_is_refused():
    """A table of offsets that breaks off says nothing about frames."""
    with pytest.raises(DeidFault):
        split(value(b"\0\0\0\0\0\0", b"ab", b"cd", b"ef"), 2)


def test_only_a_new_frame_is_written_anew():
    """Frames that stay keep their fragments byte for byte; the table follows the new length."""
    raw = value(struct.pack("<3L", 0, 20, 30), b"ab", b"cd", b"ef", b"gh")
    parts = split(raw, 3)
    chunks, changed = encapsulated.join(parts, [None, b"12345", None])
    table = struct.pack("<3L", 0, 20, 34)
    assert b"".join(chunks) == value(table, b"ab", b"cd", b"12345\0", b"gh")
    assert changed == {}
    kept = [bytes(chunk) for chunk in chunks if isinstance(chunk, memoryview)]
    assert kept == [b"ab", b"cd", b"gh"]


def test_nothing_new_gives_the_same_bytes():
    """Put together without a new frame, the value is what it was."""
    raw = value(struct.pack("<2L", 0, 10), b"ab", b"cd")
    assert b"".join(encapsulated.join(split(raw, 2), [None, None])[0]) == raw


def test_an_extended_offset_table_follows():
    """Where offsets are of 64 bits, starts and lengths are written anew."""
    starts = Element(0x7FE0_0001, "OV", memoryview(struct.pack("<2Q", 0, 10)))
    parts = split(value(b"", b"ab", b"cd"), 2, starts)
    chunks, changed = encapsulated.join(parts, [b"123", None])
    assert b"".join(chunks) == value(b"", b"123\0", b"cd")
    assert changed[0x7FE0_0001] == ("OV", struct.pack("<2Q", 0, 12))
    assert changed[0x7FE0_0002] == ("OV", struct.pack("<2Q", 3, 2))
