"""The precision that a compressed frame has, whatever holds it and whatever is in its way."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.codestream import precision_bits


def j2k(ssiz):
    return b"\xff\x4f\xff\x51" + bytes(38) + bytes([ssiz]) + bytes(10)


def jpeg(marker, bits, before=b""):
    return b"\xff\xd8" + before + bytes([0xFF, marker, 0, 11, bits]) + bytes(9)


APP0 = b"\xff\xe0\x00\x04ab"
BOXES = b"\x00\x00\x00\x0c\x6a\x50\x20\x20\x0d\x0a\x87\x0a" + bytes(60)
FRAMES = {
    "JPEG 2000": (j2k(15), 16), "of signed samples": (j2k(0x80 | 11), 12),
    "in a JP2 file": (BOXES + j2k(7), 8), "JPEG": (jpeg(0xC0, 8, APP0), 8),
    "lossless JPEG": (jpeg(0xC3, 16), 16), "JPEG-LS": (jpeg(0xF7, 12, APP0), 12),
    "filled up": (jpeg(0xC1, 12, b"\xff"), 12),
    "tables first": (jpeg(0xC3, 14, b"\xff\xc4\0\3x"), 14),
    "cut": (j2k(15)[:40], None), "without a frame header": (b"\xff\xd8" + APP0, None),
    "RLE": (bytes(64), None), "nothing": (b"", None),
}  # fmt: skip


@pytest.mark.parametrize("what", FRAMES)
def test_the_precision_is_read(what):
    """Every kind of JPEG says how long its samples are; what is none says nothing."""
    frame, bits = FRAMES[what]
    assert precision_bits(frame) == bits


@given(st.binary(max_size=200), st.sampled_from([b"", b"\xff\xd8", b"\xff\x4f\xff\x51"]))
def test_any_bytes_are_read_to_their_end(data, start):
    """Garbage ends in a number or in None, and it ends."""
    assert precision_bits(start + data) in {None, *range(256)}
