"""Comments and application data leave compressed pixel data; what is decoded stays the same."""

import importlib.util
import io
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames, parse_basic_offsets

from deid import parse
from deid.container import open_part10
from deid.parse import EXPLICIT_LITTLE, fragments
from deid.segments import VIDEO_REMARK, Stripped, strip, words
from dicom.errors import DeidFault, NotClean

pytestmark = pytest.mark.p4

JPEG = "1.2.840.10008.1.2.4.50"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_XL = "1.2.840.10008.1.2.4.110"
H264 = "1.2.840.10008.1.2.4.102"
RLE = "1.2.840.10008.1.2.5"
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
CANARY = b"Doe^Jane 12345678"


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


COMMENT = segment(0xFE, CANARY)
EXIF = segment(0xE1, b"Exif\0\0" + CANARY)
COMMENT_2000 = segment(0x64, b"\0\1" + CANARY)


def plain_jpeg(**options) -> bytes:
    """Draw a gradient with an edge, and write it."""
    y, x = np.mgrid[0:24, 0:32]
    image = Image.fromarray(((x * 7 + y * 3 + 90 * (x > y)) % 256).astype(np.uint8))
    stream = io.BytesIO()
    image.save(stream, "JPEG", **options)
    return stream.getvalue()


def value_of(*frames: bytes, has_bot=True, per_frame=1) -> memoryview:
    value = encapsulate(list(frames), fragments_per_frame=per_frame, has_bot=has_bot)
    return memoryview(value + END)


def stripped(value: memoryview, syntax=JPEG, **options) -> Stripped:
    return strip(value, EXPLICIT_LITTLE, transfer_syntax_uid=syntax, **options)


def joined(result: Stripped) -> bytes:
    return b"".join(result.chunks)


def bare(stream: bytes, syntax: str) -> bytes:
    """Strip one stream; what is left of it, without padding."""
    value = joined(stripped(value_of(stream), syntax))
    return b"".join(list(fragments(memoryview(value), EXPLICIT_LITTLE))[1:])


def behind_start(stream: bytes, *more: bytes) -> bytes:
    return stream[:2] + b"".join(more) + stream[2:]


def test_a_stream_without_segments_is_one_untouched_slice():
    """Where nothing is to be cut, the value is the input itself."""
    value = value_of(plain_jpeg(), plain_jpeg(quality=50))
    result = stripped(value, frames=2)
    assert result.removed == 0
    assert len(result.chunks) == 1
    assert result.chunks[0] is value


def test_the_colour_transform_of_jpeg_ls_is_kept():
    """HP's transform decides about colours: it stays, but no word behind it."""
    _, value, syntax, _ = next(each for each in REAL.values() if each[2] == JPEG_LS)
    stream = next(generate_frames(bytes(value), number_of_frames=1))
    transform = segment(0xE8, b"mrfx\1")
    longer = segment(0xE8, b"mrfx\1" + CANARY)
    left = bare(behind_start(stream, longer, COMMENT), syntax)
    assert left.rstrip(b"\0") == behind_start(stream, transform).rstrip(b"\0")


@pytest.mark.parametrize("has_bot", [True, False])
@pytest.mark.parametrize("per_frame", [1, 2])
def test_offset_tables_follow_the_frames(has_bot, per_frame):
    """After a cut every table still points to where its frame begins, and says how long it is."""
    clean = [plain_jpeg(quality=quality) for quality in (40, 60, 80, 95)]
    planted = [
        clean[0],
        behind_start(clean[1], COMMENT, EXIF),
        clean[2],
        behind_start(clean[3], EXIF),
    ]
    value = value_of(*planted, has_bot=has_bot, per_frame=per_frame)
    if not has_bot and per_frame > 1:  # told by how each begins
        assert len(list(fragments(value, EXPLICIT_LITTLE))) == 9
    result = stripped(value, frames=4)
    after = joined(result)
    frames = list(generate_frames(after[:-8], number_of_frames=4))
    for got, wanted in zip(frames, clean, strict=True):
        assert got.rstrip(b"\0") == wanted.rstrip(b"\0")
    assert parse_basic_offsets(after) == (list(result.offsets) if has_bot else [])
    first = 8 + 4 * 4 * has_bot
    for offset, length, frame in zip(result.offsets, result.lengths, frames, strict=True):
        assert after[first + offset :][:4] == b"\xfe\xff\x00\xe0"
        assert length == len(frame)
    assert all(length % 2 == 0 for length in result.lengths)
    assert result.extended_offset_table() == struct.pack("<4Q", *result.offsets)
    assert result.extended_offset_table_lengths() == struct.pack("<4Q", *result.lengths)
    parse._fragments_end(memoryview(after), 0, len(after), EXPLICIT_LITTLE)


def test_frames_that_stay_are_slices_of_the_input():
    """Only a frame that was cut is written anew; its neighbours are one slice."""
    clean = plain_jpeg()
    value = value_of(*[clean] * 3, behind_start(clean, COMMENT), *[clean] * 3)
    result = stripped(value, frames=7)
    slices = [chunk for chunk in result.chunks if isinstance(chunk, memoryview)]
    assert all(chunk.obj is value.obj for chunk in slices)
    assert sum(len(chunk) for chunk in result.chunks if isinstance(chunk, bytes)) < 60
    assert len(slices) == 4


def test_a_wrong_offset_table_is_not_believed():
    """A table that points beside the fragments is replaced where the frames can be told."""
    planted = behind_start(plain_jpeg(), COMMENT)
    value = bytearray(value_of(planted, planted))
    value[12:16] = struct.pack("<L", 4)
    result = stripped(memoryview(bytes(value)), frames=2)
    assert parse_basic_offsets(joined(result)) == list(result.offsets)
    assert CANARY not in joined(result)


def test_frames_that_cannot_be_told_apart_are_refused():
    """Fragments that may belong to one frame or another are refused."""
    value = value_of(plain_jpeg(), plain_jpeg(), has_bot=False, per_frame=3)
    with pytest.raises(NotClean, match="told apart"):
        stripped(value, frames=3)


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">L4s", len(body) + 8, kind) + body


def test_video_passes_only_where_it_may():
    """Video is refused unless it is let pass, and always where it carries sound."""
    film = b"\0\0\0\1\x67" + bytes(20) + b"\0\0\1\x06" + CANARY
    with pytest.raises(NotClean, match="video"):
        stripped(value_of(film), H264)
    result = stripped(value_of(film), H264, video="pass")
    assert result.remark == VIDEO_REMARK
    assert any(CANARY in word for word in words(result.chunks[0]))
    track = box(b"hdlr", bytes(8) + b"soun" + bytes(12))
    for loud in (film + b"\0\0\1\xc0" + bytes(8), box(b"ftyp", b"mp42") + track):
        with pytest.raises(NotClean, match="sound"):
            stripped(value_of(loud), H264, video="pass")
    numbers = box(b"ftyp", b"mp42") + box(b"mdat", b"\0\0\1\xc5" + bytes(8))
    assert stripped(value_of(numbers), H264, video="pass").removed == 0


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.4.94", "1.2.3", "1.2.840.10008.1.2.1"])
def test_unknown_codecs_are_refused(syntax):
    """What nobody here can follow does not pass."""
    with pytest.raises(NotClean):
        stripped(value_of(plain_jpeg()), syntax)


def test_rle_passes_as_it_is():
    """RLE has no place for words, and is not looked into."""
    value = value_of(bytes(70))
    assert stripped(value, RLE).chunks == (value,)


@given(st.binary(max_size=200), st.sampled_from([JPEG, JPEG_2000, JPEG_XL, RLE, H264]))
def test_garbage_is_refused_or_passed(data, syntax):
    """Whatever the bytes, the outcome is a value or NotClean."""
    starts = {JPEG: b"\xff\xd8", JPEG_2000: b"\xff\x4f\xff\x51", JPEG_XL: b"\xff\x0a"}
    for value in (memoryview(data), value_of(starts.get(syntax, b"\1\2") + data)):
        try:
            result = stripped(value, syntax, video="pass")
        except NotClean:
            continue
        assert len(joined(result)) <= len(value)


def test_memory_stays_flat():
    """Stripping 32 MB of frames copies none of them."""
    scan = plain_jpeg()[:-2] + b"\x11" * (4 << 20)
    value = value_of(*[behind_start(scan, COMMENT) + b"\xff\xd9"] * 8)
    tracemalloc.start()
    result = stripped(value, frames=8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.removed == 8
    assert sum(len(chunk) for chunk in result.chunks) == len(value) - 8 * len(COMMENT) - 8 * (
        len(COMMENT) % 2
    )
    assert peak < 1 << 20


def real_files() -> list[Path]:
    """List the DICOM files of pydicom and pydicom-data."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    found = [file for folder in folders for file in sorted((folder / "data").rglob("*.dcm"))]
    return [file for file in found if file.read_bytes()[128:132] == b"DICM"]


def compressed() -> dict[str, tuple[bytes, memoryview, str, int]]:
    """Give each real object with compressed pixels: file, value, transfer syntax, frames."""
    found = {}
    for path in real_files():
        file = path.read_bytes()
        try:
            opened = open_part10(memoryview(file))
            elements = parse.read(opened.dataset, opened.encoding)
        except DeidFault:
            continue
        values = {each.tag: each for each in elements}
        pixels = values.get(0x7FE0_0010)
        if pixels is not None and pixels.undefined:
            count = values.get(0x0028_0008)
            frames = int(bytes(count.value).strip(b"\0 ") or 1) if count else 1
            found[path.name] = file, pixels.value, opened.transfer_syntax_uid, frames
    return found


REAL = compressed()
DECODED = {JPEG, "1.2.840.10008.1.2.4.51", JPEG_LS, "1.2.840.10008.1.2.4.81", JPEG_2000} | {
    "1.2.840.10008.1.2.4.91"
}
"""What Pillow and pyjpegls decode."""
NOT_DECODED = {
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
}
"""JPEG samples of 12 bits, and JPEG 2000 that Pillow finds broken: stripping is not compared."""


def planted_in(stream: bytes) -> bytes:
    """Plant a comment where the codec of a stream may have one."""
    if stream[:2] == b"\xff\xd8":
        return behind_start(stream, COMMENT, EXIF)
    if stream[:2] == b"\xff\x4f":
        at = stream.index(b"\xff\x52")
        return stream[:at] + COMMENT_2000 + stream[at:]
    return stream


def test_real_objects_are_many():
    """The real objects cover the codecs of still images."""
    assert len(REAL) > 15
    assert {JPEG, JPEG_LS, JPEG_2000, RLE} <= {syntax for _, _, syntax, _ in REAL.values()}


@pytest.mark.parametrize("name", REAL)
def test_real_streams_lose_what_is_planted(name):
    """A comment planted into each frame of a real object leaves no trace."""
    _, value, syntax, frames = REAL[name]
    before = stripped(value, syntax, frames=frames)
    streams = list(generate_frames(bytes(value), number_of_frames=frames))
    after = stripped(value_of(*map(planted_in, streams)), syntax, frames=frames)
    left = [
        list(generate_frames(joined(each), number_of_frames=frames)) for each in (before, after)
    ]
    without = [[each.rstrip(b"\0\xff") for each in streams] for streams in left]
    assert without[0] == without[1]
    assert CANARY not in joined(after)
    assert stripped(memoryview(joined(after)), syntax, frames=frames).removed == 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", [name for name, each in REAL.items() if each[2] in DECODED and name not in NOT_DECODED]
)
def test_real_pixels_decode_as_before(name):
    """Every sample of a real object has the value that it had before stripping."""
    file, value, syntax, frames = REAL[name]
    before = pydicom.dcmread(io.BytesIO(file))
    wanted = before.pixel_array
    after = pydicom.dcmread(io.BytesIO(file))
    after.PixelData = joined(stripped(value, syntax, frames=frames))
    assert np.array_equal(after.pixel_array, wanted)
