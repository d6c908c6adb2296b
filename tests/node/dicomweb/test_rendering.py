"""Frames are shown as PS3.3 says: windows, LUTs, polarity, padding, palettes, odd cells."""

import io
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset

from dicom.errors import CannotUnderstand
from node.web.dicomweb.developing import answer, serve
from node.web.dicomweb.picture import encoded, resized
from node.web.dicomweb.pixels import native, values
from node.web.dicomweb.rendering import rendered, window_of, windowed
from node.web.dicomweb.wish import FORMATS, Window, Wish

EXPLICIT = "1.2.840.10008.1.2.1"


def head(**changes):
    """The attributes of a 2 x 2 image of 16 bits."""
    made = Dataset()
    facts = {
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "Rows": 2, "Columns": 2,
        "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0,
    }  # fmt: skip
    for keyword, value in (facts | changes).items():
        setattr(made, keyword, value)
    made.set_original_encoding(False, True, "iso8859")
    return made


def item(**attributes):
    made = Dataset()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def show(dataset, cells, number=1, **wish):
    frame = np.asarray(cells, f"<u{dataset.BitsAllocated // 8}").tobytes()
    shown = rendered(dataset, EXPLICIT, frame, number, Wish(**wish), native=True)
    return shown.ravel().tolist()


def by_the_standard(x, window):
    """PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 and .2, word for word, with a range from 0 to 1."""
    c, w = window.center, window.width
    if window.function == "SIGMOID":
        return 1 / (1 + math.exp(-4 * (x - c) / w))
    if window.function == "LINEAR_EXACT":
        if x <= c - w / 2:
            return 0
        return 1 if x > c + w / 2 else (x - c) / w + 0.5
    if x <= c - 0.5 - (w - 1) / 2:
        return 0
    if x > c - 0.5 + (w - 1) / 2:
        return 1
    return (x - (c - 0.5)) / (w - 1) + 0.5


@given(
    st.integers(-4096, 4096),
    st.integers(1, 4096),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    st.lists(st.integers(-5000, 5000), min_size=1, max_size=20),
)
def test_windows_are_those_of_the_standard(center, width, function, listed):
    """Each window function gives what PS3.3 C.11.2.1 writes, value by value."""
    window = Window(float(center), float(width), function)
    found = windowed(np.array(listed), window)
    expected = [by_the_standard(x, window) for x in listed if abs(x - center) / width < 100]
    found = [y for x, y in zip(listed, found, strict=True) if abs(x - center) / width < 100]
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "cells", "expected"),
    [
        ({}, [0, 100, 200, 400], [0, 64, 128, 255]),
        ({"PhotometricInterpretation": "MONOCHROME1"}, [0, 100, 200, 400], [255, 191, 128, 0]),
        ({"PresentationLUTShape": "INVERSE"}, [0, 0, 400, 400], [255, 255, 0, 0]),
        ({"WindowCenter": 100.5, "WindowWidth": 201}, [0, 100, 200, 400], [0, 128, 255, 255]),
        ({"WindowCenter": [100.5, 7], "WindowWidth": [201, 3]}, [0, 100, 200, 9],
         [0, 128, 255, 11]),
        ({"PixelPaddingValue": 400}, [0, 100, 200, 400], [0, 128, 255, 0]),
        ({"PixelPaddingValue": 300, "PixelPaddingRangeLimit": 400}, [0, 300, 200, 400],
         [0, 0, 255, 0]),
        ({"RescaleSlope": -1, "RescaleIntercept": 0}, [0, 100, 200, 400], [255, 191, 128, 0]),
        ({"BitsStored": 12, "HighBit": 11}, [0xF000, 0xF800, 0, 0xFFF], [0, 128, 0, 255]),
        ({"BitsStored": 12, "HighBit": 15}, [0x000F, 0x800F, 0, 0xFFF0], [0, 128, 0, 255]),
        ({"PixelRepresentation": 1}, [0x8000, 0, 0, 0x7FFF], [0, 128, 128, 255]),
        ({"PixelRepresentation": 1, "BitsStored": 12, "HighBit": 11}, [0x800, 0, 0, 0x7FF],
         [0, 128, 128, 255]),
        ({}, [7, 7, 7, 7], [128, 128, 128, 128]),
    ],
)  # fmt: skip
def test_grey_values(changes, cells, expected):
    """Windows, polarity, padding, rescale and stored bits give the right greys."""
    found = show(head(**changes), cells)
    assert found == pytest.approx(expected, abs=1)


def test_a_voi_lut_is_applied():
    """Without a window, a VOI LUT says how values are shown."""
    table = item(LUTDescriptor=[4, 0, 16], LUTData=struct.pack("<4H", 0, 65535, 0, 65535))
    table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "OW"
    found = show(head(VOILUTSequence=[table]), [0, 1, 2, 3])
    assert found == [0, 255, 0, 255]


def test_a_frame_has_its_own_window_and_rescale():
    """Functional groups of the frame go before those that all share, and before the image's."""
    own = item(
        FrameVOILUTSequence=[item(WindowCenter=50, WindowWidth=10)],
        PixelValueTransformationSequence=[item(RescaleSlope=2, RescaleIntercept=1)],
    )
    shared = item(FrameVOILUTSequence=[item(WindowCenter=500, WindowWidth=10)])
    multi = head(
        PerFrameFunctionalGroupsSequence=[item(), own],
        SharedFunctionalGroupsSequence=[shared],
        WindowCenter=1, WindowWidth=2,
    )  # fmt: skip
    assert window_of(multi, 1).center == 500
    assert window_of(multi, 2).center == 50
    assert show(multi, [0, 10, 30, 40], number=2) == [0, 0, 255, 255]


def test_colours_by_palette():
    """Values below, within and above the palette have its first, own and last colour."""
    palette = head(
        PhotometricInterpretation="PALETTE COLOR", BitsAllocated=8, BitsStored=8, HighBit=7
    )
    for at, colour in enumerate(("Red", "Green", "Blue")):
        setattr(palette, f"{colour}PaletteColorLookupTableDescriptor", [2, 10, 16])
        palette[f"{colour}PaletteColorLookupTableDescriptor"].VR = "US"
        data = struct.pack("<2H", 0x1000 * (at + 1), 0xFF00)
        setattr(palette, f"{colour}PaletteColorLookupTableData", data)
    found = show(palette, [0, 10, 11, 200])
    assert found == [0x10, 0x20, 0x30, 0x10, 0x20, 0x30, 255, 255, 255, 255, 255, 255]


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_by_plane_and_by_pixel(planar):
    """Red, green and blue come the same, however they are laid out."""
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3) * 20
    cells = image.transpose(2, 0, 1) if planar else image
    colour = head(SamplesPerPixel=3, PhotometricInterpretation="RGB", BitsAllocated=8, BitsStored=8,
                  HighBit=7, PlanarConfiguration=planar)  # fmt: skip
    assert show(colour, cells) == image.ravel().tolist()


def test_halved_colours_are_shared_by_two_pixels():
    """Native YBR_FULL_422 has two pixels' light and one colour for both."""
    dataset = head(SamplesPerPixel=3, PhotometricInterpretation="YBR_FULL_422", BitsAllocated=8)
    found = native(dataset, bytes([10, 20, 128, 129, 30, 40, 130, 131]))
    assert found.reshape(-1, 3).tolist() == [[10, 128, 129], [20, 128, 129], [30, 130, 131],
                                             [40, 130, 131]]  # fmt: skip


@pytest.mark.parametrize(
    ("wish", "shape"),
    [
        ({"size": (10, 10)}, (10, 10)),
        ({"size": (10, 4)}, (4, 4)),
        ({"size": (10, 10), "enlarge": False}, (2, 2)),
        ({"region": (0, 0, 1, 2)}, (2, 1)),
        ({"region": (1, 1, 9, 9)}, (1, 1)),
        ({"region": (0, 0, 0, 0)}, (2, 2)),
    ],
)
def test_sizes_and_regions(wish, shape):
    """A picture has the size that its region and viewport give."""
    frame = np.arange(4, dtype="<u2").tobytes()
    shown = rendered(head(), EXPLICIT, frame, 1, Wish(**wish), native=True)
    assert shown.shape == shape


def test_a_negative_side_turns_the_picture_over():
    """A region with a negative width is seen from behind (PS3.18 8.3.5.1.3)."""
    assert show(head(), [0, 100, 200, 400], region=(0, 0, -2, 2)) == [64, 0, 255, 128]


def test_pixels_that_are_not_square():
    """Pixels twice as high as wide make a picture twice as high."""
    frame = np.arange(4, dtype="<u2").tobytes()
    shown = rendered(head(PixelAspectRatio=[2, 1]), EXPLICIT, frame, 1, Wish(), native=True)
    assert shown.shape == (4, 2)


@pytest.mark.parametrize(
    ("changes", "wish"),
    [
        ({"Rows": 0}, {}),
        ({"Rows": 60_000, "Columns": 60_000}, {}),
        ({"BitsStored": 17}, {}),
        ({"BitsStored": 12, "HighBit": 5}, {}),
        ({"SamplesPerPixel": 2}, {}),
        ({}, {"region": (5, 5, 1, 1)}),
    ],
)
def test_what_cannot_be_shown(changes, wish):
    """Attributes that contradict each other, and regions outside, are refused with words."""
    with pytest.raises((CannotUnderstand, ValueError)):
        show(head(**changes), [0, 1, 2, 3], **wish)


def test_pictures_have_a_limit():
    """No picture of more than a hundred million pixels is made."""
    with pytest.raises(CannotUnderstand):
        resized(np.zeros((2, 2), np.uint8), 100_000, 100_000)


@pytest.mark.parametrize("media_type", FORMATS)
def test_pictures_are_written(media_type):
    """Grey and coloured pictures are written in each format."""
    for shape in ((5, 4), (5, 4, 3)):
        image = Image.open(io.BytesIO(encoded(np.zeros(shape, np.uint8), media_type, 90)))
        assert image.size == (4, 5)


def test_signed_values_keep_their_sign():
    """Cells of fewer stored bits give negative values where their highest stored bit is set."""
    dataset = head(BitsStored=12, HighBit=11, PixelRepresentation=1)
    found = values(dataset, np.array([[0xFFF, 0x800], [0x7FF, 0x1FFF]], "<u2"))
    assert found.tolist() == [[-1, -2048], [2047, -1]]


def test_the_child_answers_what_it_cannot_do():
    """A task that fails is answered by words without a value of the object; the next is done."""
    told, body = answer({"do": "decode", "syntax": "1.2.3"}, [b"\x10\0\x10\0PN\x04\0DOE^", b""])
    assert (told["size"], body) == (0, b"")
    assert "DOE" not in told["fault"]
    out = io.BytesIO()
    task = b'{"do": "nothing", "sizes": [2]}\nab'
    serve(io.BytesIO(task * 2), out)
    assert out.getvalue().count(b'"fault"') == 2
