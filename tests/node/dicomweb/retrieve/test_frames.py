"""WADO-RS frames and bulk data: the very pixels, decoded or as they are compressed."""

import numpy as np
import pytest
from pydicom.encaps import generate_frames

OCTETS = "application/octet-stream"
EXPLICIT = "1.2.840.10008.1.2.1"


def pixels(held, number):
    frames = int(held.dataset.get("NumberOfFrames") or 1)
    array = held.dataset.pixel_array
    return array if frames == 1 else array[number - 1]


def compressed(held, number):
    frames = int(held.dataset.get("NumberOfFrames") or 1)
    return list(generate_frames(held.dataset.PixelData, number_of_frames=frames))[number - 1]


@pytest.mark.parametrize(
    ("name", "number"),
    [("ct", 1), ("mr-implicit", 1), ("mr-big-endian", 1), ("mr-rle", 1), ("jpeg-ls", 10),
     ("jpeg-2000", 1), ("jpeg-2000-lossless", 5), ("multi-frame", 3), ("deflated", 1),
     ("multi-frame-big-endian", 7), ("multi-frame-rle", 2), ("jpeg-lossless", 1), ("dose", 15),
     ("palette", 1)],
)  # fmt: skip
def test_frames_are_the_pixels(shelf, hold, name, number):
    """A frame as octets is the array that pydicom decodes, in little endian, in any encoding."""
    held = hold(name)
    ((head, body),) = shelf.parts(shelf.get(f"{held.url}/frames/{number}"))
    expected = pixels(held, number)
    assert head["content-type"] == f"{OCTETS}; transfer-syntax={EXPLICIT}"
    assert head["content-location"].endswith(f"{held.url}/frames/{number}")
    found = np.frombuffer(body, expected.dtype.newbyteorder("<")).reshape(expected.shape)
    assert (found == expected).all()
    assert shelf.get(f"{held.url}/frames/{number}", OCTETS).content == body


@pytest.mark.parametrize(
    ("name", "number", "media_type"),
    [("jpeg-baseline", 1, "image/jpeg"), ("jpeg-ls", 4, "image/jls"), ("jpeg-2000", 1, "image/jp2"),
     ("mr-rle", 1, "image/dicom-rle"), ("offset-table", 120, "image/jpeg"),
     ("jpeg-lossless", 1, "image/jpeg")],
)  # fmt: skip
def test_frames_come_as_they_are_compressed(shelf, hold, name, number, media_type):
    """Under its own media type a frame is the compressed bytes, named by transfer syntax."""
    held = hold(name)
    accept = f'multipart/related; type="{media_type}"'
    ((head, body),) = shelf.parts(shelf.get(f"{held.url}/frames/{number}", accept))
    assert head["content-type"] == f"{media_type}; transfer-syntax={held.syntax}"
    assert body == compressed(held, number)
    alone = shelf.get(f"{held.url}/frames/{number}", f"{media_type}; transfer-syntax={held.syntax}")
    assert alone.content == body


def test_what_no_codec_reads_comes_as_it_is_stored(shelf, hold):
    """Where nothing here decodes a frame, who takes anything is given it compressed; others 406."""
    held = hold("jpeg-extended")
    ((head, body),) = shelf.parts(shelf.get(f"{held.url}/frames/1"))
    assert head["content-type"] == f"image/jpeg; transfer-syntax={held.syntax}"
    assert body == compressed(held, 1)
    assert shelf.get(f"{held.url}/frames/1", OCTETS).status_code == 406


def test_any_transfer_syntax_is_the_stored_one(shelf, hold):
    """transfer-syntax=* gives octets that nobody had to decode, as OHIF asks."""
    held = hold("jpeg-ls")
    accept = f"multipart/related; type={OCTETS}; transfer-syntax=*"
    ((head, body),) = shelf.parts(shelf.get(f"{held.url}/frames/1", accept))
    assert head["content-type"] == f"{OCTETS}; transfer-syntax={held.syntax}"
    assert body == compressed(held, 1)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_frames_of_single_bits_begin_with_a_byte(shelf, hold, number):
    """A segmentation's frame is packed, eight pixels to a byte, the first in the lowest bit."""
    held = hold("segmentation")
    body = shelf.get(f"{held.url}/frames/{number}", OCTETS).content
    expected = pixels(held, number)
    bits = np.unpackbits(np.frombuffer(body, np.uint8), bitorder="little")[: expected.size]
    assert (bits.reshape(expected.shape) == expected).all()
    assert len(body) == (expected.size + 7) // 8


def test_a_list_of_frames_keeps_its_order(shelf, hold):
    """Frames come in the order of the list, one part for each."""
    held = hold("multi-frame")
    parts = shelf.parts(shelf.get(f"{held.url}/frames/3,1,10"))
    assert [body for _, body in parts] == [pixels(held, one).tobytes() for one in (3, 1, 10)]


@pytest.mark.parametrize(
    ("name", "path", "asked"),
    [
        ("multi-frame", "frames/11", ("*/*", 404)),
        ("multi-frame", "frames/1,11", ("*/*", 404)),
        ("multi-frame", "frames/999999999", ("*/*", 404)),
        ("multi-frame", "frames/1,2", (OCTETS, 406)),
        ("ct", "frames/1", ("image/jls", 406)),
        ("jpeg-ls", "frames/1", ("image/jls; transfer-syntax=1.2.840.10008.1.2.4.81", 406)),
        ("report", "frames/1", ("*/*", 404)),
        ("multi-frame", "frames/" + "1," * 20_000 + "1", ("*/*", 400)),
        ("ct", "bulkdata/00100010/0/00100010", ("*/*", 404)),
        ("ct", "bulkdata/7FE00010", ("image/jpeg", 406)),
        ("ct", "bulkdata/00091234", ("*/*", 404)),
        ("report", "bulkdata/0040A730", ("*/*", 404)),
    ],
)
def test_what_is_not_there(shelf, hold, name, path, asked):
    """Frames and values that are not there are 404, forms that nobody has 406; with words."""
    accept, status = asked
    answer = shelf.get(f"{hold(name).url}/{path}", accept)
    assert answer.status_code == status
    if len(path) < 1000:
        assert answer.json()["detail"]


def test_a_frame_in_ranges(shelf, hold):
    """A range of a single frame is those bytes."""
    held = hold("ct")
    whole = pixels(held, 1).tobytes()
    answer = shelf.get(f"{held.url}/frames/1", OCTETS, Range="bytes=10-19")
    assert (answer.status_code, answer.content) == (206, whole[10:20])
    assert shelf.get(f"{held.url}/frames/1", OCTETS, Range="bytes=999999-").status_code == 416


@pytest.mark.parametrize("name", ["ct", "multi-frame", "mr-big-endian", "deflated", "dose"])
def test_bulk_data_of_native_pixels(shelf, hold, name):
    """Native pixel data is one value in little endian, whole or in ranges."""
    held = hold(name)
    url = f"{held.url}/bulkdata/7FE00010"
    expected = held.dataset.pixel_array.astype(held.dataset.pixel_array.dtype.newbyteorder("<"))
    ((_, body),) = shelf.parts(shelf.get(url))
    assert body[: expected.nbytes] == expected.tobytes()
    part = shelf.get(url, OCTETS, Range="bytes=100-199")
    assert (part.status_code, part.content) == (206, body[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(body)}"
    etag = part.headers["etag"]
    assert shelf.get(url, OCTETS, **{"If-None-Match": etag}).status_code == 304
    stale = shelf.get(url, OCTETS, Range="bytes=0-1", **{"If-Range": '"x"'})
    assert (stale.status_code, stale.content) == (200, body)


def test_bulk_data_of_compressed_pixels(shelf, hold):
    """Compressed pixel data comes as its frames, in a part each."""
    held = hold("jpeg-ls")
    accept = 'multipart/related; type="image/jls"'
    parts = shelf.parts(shelf.get(f"{held.url}/bulkdata/7FE00010", accept))
    assert [body for _, body in parts] == [compressed(held, one) for one in range(1, 11)]


def test_bulk_data_within_a_sequence(shelf, hold):
    """A value is found by the path through the items of sequences."""
    held = hold("report")
    path = "0040A730/0/0040A160"
    expected = held.dataset.ContentSequence[0].get("TextValue")
    answer = shelf.get(f"{held.url}/bulkdata/{path}", OCTETS)
    assert (answer.status_code == 404) == (expected is None)
    code = held.dataset.ContentSequence[0].ConceptNameCodeSequence[0].CodeMeaning
    found = shelf.get(f"{held.url}/bulkdata/0040A730/0/0040A043/0/00080104", OCTETS)
    assert found.content.decode("latin-1").strip() == code
