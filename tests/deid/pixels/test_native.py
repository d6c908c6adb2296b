"""Native frames: bytes to cells and back, and the values in cells."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid.pixels import cells, native
from deid.pixels.image import Image
from dicom.errors import NotClean

GREY = Image(
    syntax="1.2.840.10008.1.2.1",
    rows=4,
    columns=6,
    frames=1,
    samples=1,
    photometric="MONOCHROME2",
    planar=0,
    bits_allocated=8,
    bits_stored=8,
    high_bit=7,
    signed=False,
    little=True,
    swapped=False,
)


def layout(**changes):
    return dataclasses.replace(GREY, **changes)


LAYOUTS = {
    "eight bits": layout(),
    "sixteen": layout(bits_allocated=16, bits_stored=12, high_bit=11),
    "big endian": layout(bits_allocated=16, bits_stored=16, high_bit=15, little=False),
    "swapped": layout(little=False, swapped=True),
    "single bits": layout(bits_allocated=1, bits_stored=1, high_bit=0),
    "by pixel": layout(samples=3, photometric="RGB"),
    "by plane": layout(samples=3, photometric="RGB", planar=1),
    "shared colours": layout(samples=3, photometric="YBR_FULL_422"),
    "thirty-two": layout(bits_allocated=32, bits_stored=32, high_bit=31),
}


def size_bytes(image):
    return native.frame_bytes(image, 48 if image.photometric == "YBR_FULL_422" else 1 << 20)


@pytest.mark.parametrize("name", LAYOUTS)
@given(st.data())
def test_what_is_not_changed_comes_back(name, data):
    """In every layout cells that are left alone become the bytes that they came from."""
    image = LAYOUTS[name]
    size = size_bytes(image)
    frame = data.draw(st.binary(min_size=size, max_size=size))
    assert native.encode(native.decode(frame, image), image, frame) == frame


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_box_of_cells_is_a_box_of_the_image(name):
    """A cell that is changed changes the pixel that pydicom shows at its place, and no other."""
    from pydicom.pixels import get_decoder

    image = LAYOUTS[name]
    frame = bytes(size_bytes(image))
    array = native.decode(frame, image)
    array[1, 2:4] = 1
    changed = native.encode(array, image, frame)
    syntax = image.syntax if image.little else "1.2.840.10008.1.2.2"
    seen, _ = get_decoder(syntax).as_array(
        changed,
        index=0,
        raw=True,
        rows=image.rows,
        columns=image.columns,
        number_of_frames=1,
        samples_per_pixel=image.samples,
        bits_allocated=image.bits_allocated,
        bits_stored=image.bits_stored,
        pixel_representation=0,
        photometric_interpretation=image.photometric,
        planar_configuration=image.planar,
        pixel_keyword="PixelData",
        pixel_vr="OW",
    )
    wanted = np.zeros(array.shape, int)
    wanted[1, 2:4] = 1
    assert (seen == wanted).all()


def test_full_samples_under_a_name_for_shared_ones_are_read():
    """Pixel data called 4:2:2 that is as long as 4:4:4 is read as what it is."""
    image = LAYOUTS["shared colours"]
    assert native.frame_bytes(image, 4 * 6 * 2) == 48
    assert native.frame_bytes(image, 4 * 6 * 3) == 72
    assert native.decode(bytes(range(72)), image).shape == (4, 6, 3)


def test_single_bits_that_share_a_byte_are_refused():
    """Frames of which one ends within a byte cannot be cleaned one by one."""
    with pytest.raises(NotClean, match="share bytes"):
        native.frame_bytes(layout(bits_allocated=1, columns=5, frames=2), 100)


@pytest.mark.parametrize(
    ("signed", "high_bit", "cell", "value"),
    [
        (False, 11, 0xF123, 0x123),
        (True, 11, 0x0FFF, -1),
        (True, 11, 0xF7FF, 0x7FF),
        (False, 15, 0x123F, 0x123),
        (True, 15, 0x8000, -2048),
    ],
)
def test_values_are_taken_out_of_cells(signed, high_bit, cell, value):
    """A value is the stored bits up to HighBit, with their sign, whatever stands beside them."""
    image = layout(bits_allocated=16, bits_stored=12, high_bit=high_bit, signed=signed)
    assert cells.values(np.array([[cell]], np.uint16), image)[0, 0] == value
