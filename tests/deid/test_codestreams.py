"""Single streams lose what stands beside their pixels, and decode as before."""

import io
import struct
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from deid.codestreams import Cut, Stream, cuts, left_of
from dicom.errors import NotClean

pytestmark = pytest.mark.p4

CANARY = b"Doe^Jane 12345678"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body) + 8, kind) + body


COMMENT = segment(0xFE, CANARY)
EXIF = segment(0xE1, b"Exif\0\0" + CANARY)
COMMENT_2000 = segment(0x64, b"\0\1" + CANARY)


def saved(kind: str, **options) -> bytes:
    """Draw a gradient with an edge, so that wrong colours show, and write it."""
    y, x = np.mgrid[0:24, 0:32]
    grey = (x * 7 + y * 3 + 90 * (x > y)) % 256
    array = np.stack([grey, (grey * 2) % 256, 255 - grey], axis=-1)
    stream = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(stream, kind, **options)
    return stream.getvalue()


def plain_jpeg(**options) -> bytes:
    return saved("JPEG", **options)


def codestream(**options) -> bytes:
    """Write JPEG 2000 without the comment that its encoder leaves."""
    return left(saved("JPEG2000", no_jp2=True, irreversible=False, **options), "jpeg 2000")


def decoded(stream: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(stream)))


def found(stream: bytes, family="jpeg") -> tuple[Cut, ...]:
    return cuts(Stream([memoryview(stream)]), family)


def left(stream: bytes, family="jpeg") -> bytes:
    whole = Stream([memoryview(stream)])
    return b"".join(left_of(whole, cuts(whole, family)))


def behind_start(stream: bytes, *more: bytes) -> bytes:
    return stream[:2] + b"".join(more) + stream[2:]


def before_end(stream: bytes, *more: bytes) -> bytes:
    return stream[:-2] + b"".join(more) + stream[-2:]


PLANTED = {
    "comment": (COMMENT,),
    "Exif": (EXIF,),
    "fill bytes before a comment": (b"\xff\xff\xff" + COMMENT,),
    "Photoshop": (segment(0xED, b"Photoshop 3.0\0" + CANARY),),
    "colour profile": (segment(0xE2, b"ICC_PROFILE\0\1\1" + CANARY),),
    "SPIFF": (segment(0xE8, b"SPIFF\0\1\0" + CANARY), segment(0xE8, b"\0\0\0\1\xff\xd8")),
    "thumbnail of JFIF": (segment(0xE0, b"JFXX\0\x10" + CANARY),),
    "false colour transform": (segment(0xEE, CANARY),),
    "several": (COMMENT, EXIF, COMMENT, segment(0xEF, CANARY)),
    "empty comment": (segment(0xFE, b""),),
    "start of an image in it": (segment(0xE1, plain_jpeg()[:300] + CANARY),),
}


@pytest.mark.parametrize("name", PLANTED)
@pytest.mark.parametrize("progressive", [False, True])
def test_segments_leave_a_jpeg(name, progressive):
    """Whatever a segment is called, it goes, and the rest of the stream stays bit for bit."""
    clean = plain_jpeg(progressive=progressive)
    head = clean[:20]
    assert head[6:10] == b"JFIF"
    planted = head + b"".join(PLANTED[name]) + clean[20:]
    assert len(found(planted)) == len(PLANTED[name])
    assert left(planted) == clean


def test_segments_between_and_behind_scans_leave_a_jpeg():
    """Comments behind coded data, where few readers look, are found as well."""
    clean = plain_jpeg(progressive=True)
    scans = [at for at in range(len(clean) - 1) if clean[at : at + 2] == b"\xff\xc4"]
    middle = clean[: scans[-1]] + COMMENT + clean[scans[-1] :]
    for planted in (middle, before_end(clean, COMMENT, EXIF)):
        assert left(planted) == clean


def test_a_thumbnail_leaves_jfif_and_names_leave_adobe():
    """JFIF and Adobe segments are cut down to what tells the colours, and decode alike."""
    clean = plain_jpeg()
    thumbnail = segment(0xE0, clean[6:18] + b"\2\1" + CANARY[:6])
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1")
    longer = segment(0xEE, b"Adobe\0\x64\0\0\0\0\1" + CANARY)
    assert left(clean[:2] + thumbnail + longer + clean[20:]) == clean[:20] + adobe + clean[20:]


@pytest.mark.parametrize("transform", [0, 1])
def test_colours_are_told_as_before(transform):
    """Adobe's colour transform is kept, for it decides how samples become colours."""
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes([transform]))
    clean = plain_jpeg()
    stream = clean[:2] + adobe + clean[20:]  # without JFIF, as Adobe's writers do
    planted = stream[:2] + EXIF + stream[2:]
    assert left(planted) == stream
    assert np.array_equal(decoded(stream), decoded(planted))


def test_what_stands_behind_the_end_is_cut():
    """Bytes behind a stream's end go, padding excepted, and a second stream is refused."""
    clean = plain_jpeg()
    assert left(clean + CANARY) == clean
    assert found(clean + b"\0\0\xff\0") == ()
    assert left(behind_start(clean, COMMENT) + b"\0") == clean
    with pytest.raises(NotClean, match="second stream"):
        found(clean + clean)


@pytest.mark.parametrize(
    "stream",
    [
        b"no image at all ",
        b"\xff\xd8\xff\xfe\0\xff" + CANARY,
        b"\xff\xd8\xff\xfe\0\1ab",
        b"\xff\xd8ab",
        behind_start(plain_jpeg(), segment(0xF3, CANARY)),
        behind_start(plain_jpeg(), b"\xff\x02\0\4ab"),
    ],
    ids=["none", "longer", "too short", "no marker", "unknown", "reserved"],
)
def test_streams_that_cannot_be_followed_are_refused(stream):
    """Nothing passes whose segments cannot be told from its pixels."""
    with pytest.raises(NotClean):
        found(stream)


@pytest.mark.parametrize("stream", [b"", b"\xff\xd8", plain_jpeg()[:-40]])
def test_a_stream_may_break_off_in_its_pixels(stream):
    """Nothing is refused for pixels that are missing: that is for whoever decodes them."""
    assert found(stream) == ()


@given(st.lists(st.integers(1, 1900), max_size=6))
def test_fragments_may_part_a_frame_anywhere(places):
    """Where a frame is parted makes no difference, even inside a marker."""
    planted = before_end(behind_start(plain_jpeg(progressive=True), COMMENT, EXIF), COMMENT)
    bounds = sorted({0, *(min(place, len(planted)) for place in places), len(planted)})
    pieces = [memoryview(planted[start:end]) for start, end in pairwise(bounds)]
    stream = Stream(pieces)
    removed = cuts(stream, "jpeg")
    assert removed == found(planted)
    assert b"".join(left_of(stream, removed)) == left(planted)


def test_comments_leave_a_jpeg_2000_codestream():
    """A comment in the main header goes; pixels decode as before."""
    clean = codestream()
    first = clean.index(b"\xff\x52")
    planted = clean[:first] + COMMENT_2000 + clean[first:]
    assert left(planted, "jpeg 2000") == clean
    assert np.array_equal(decoded(clean), decoded(planted))


def test_comments_of_tiles_are_overwritten_in_place():
    """In a tile-part's header a comment becomes zeros, for lengths elsewhere count its bytes."""
    clean = codestream(tile_size=(16, 16))
    tiles = clean.count(b"\xff\x90\0\x0a")
    assert tiles > 2
    start = clean.index(b"\xff\x90\0\x0a")
    (length,) = struct.unpack_from(">L", clean, start + 6)
    longer = struct.pack(">L", length + len(COMMENT_2000))
    planted = clean[: start + 6] + longer + clean[start + 10 : start + 12] + COMMENT_2000
    planted += clean[start + 12 :]
    after = left(planted, "jpeg 2000")
    assert CANARY not in after
    assert len(after) == len(planted)
    assert np.array_equal(decoded(after), decoded(clean))
    assert found(after, "jpeg 2000") == ()


def test_boxes_beside_the_codestream_are_cut():
    """Of a JP2 file the image is kept, and no XML, UUID or other box; comments become zeros."""
    clean = saved("JPEG2000", irreversible=False)
    at = clean.index(b"jp2c") - 4
    inside = clean.index(b"\xff\x52", at)
    grown = struct.unpack_from(">L", clean, at)[0]
    assert grown in {0, len(clean) - at}
    planted = b"".join(
        (
            clean[:at],
            box(b"xml ", CANARY),
            struct.pack(">L4s", 0, b"jp2c"),
            clean[at + 8 : inside],
            COMMENT_2000,
            clean[inside:],
        )
    )
    after = left(planted, "jpeg 2000")
    assert CANARY not in after
    assert np.array_equal(decoded(after), decoded(clean))


@pytest.mark.parametrize(
    "ending",
    [
        struct.pack(">L4sQ", 1, b"jp2c", 0),
        struct.pack(">L4s", 3, b"xml "),
        struct.pack(">L4s", 300, b"xml "),
        box(b"jp2c", b"no codestream"),
    ],
    ids=["long length of none", "shorter than its head", "longer than the stream", "no image"],
)
def test_boxes_that_cannot_be_followed_are_refused(ending):
    """A box whose length or content is not what it says is refused."""
    clean = saved("JPEG2000")
    with pytest.raises(NotClean):
        found(clean[: clean.index(b"jp2c") - 4] + ending, "jpeg 2000")


def test_boxes_of_jpeg_xl_are_cut():
    """Exif, XML and the way back to a JPEG leave a JPEG XL container; a bare codestream passes."""
    head = b"\0\0\0\x0cJXL \r\n\x87\n" + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    image = box(b"jxlc", b"\xff\x0a" + bytes(10))
    more = box(b"Exif", CANARY) + box(b"jbrd", CANARY) + box(b"brob", b"xml " + CANARY)
    assert left(head + more + image + box(b"xml ", CANARY), "jpeg xl") == head + image
    assert found(b"\xff\x0a" + bytes(30), "jpeg xl") == ()


@given(st.data())
def test_damaged_streams_keep_no_comment(data):
    """A stream that is damaged behind its comment is refused, or passes without the comment."""
    planted = bytearray(behind_start(plain_jpeg(), COMMENT))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(len(COMMENT) + 2, len(planted) - 1))
        planted[place] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(len(COMMENT) + 2, len(planted)))
    try:
        after = left(bytes(planted[:end]))
    except NotClean:
        return
    assert CANARY not in after
