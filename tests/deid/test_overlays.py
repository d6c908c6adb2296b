"""Bits of native pixel data that belong to no sample: cleared where they say something."""

import importlib.util
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid import overlays, parse
from deid.container import open_part10
from deid.overlays import (
    Layout,
    clear,
    embedded,
    is_clean,
    layout_of,
    refuse_embedded,
    stored_samples,
)
from deid.parse import EXPLICIT_BIG, EXPLICIT_LITTLE, Element
from dicom.errors import DeidFault, NotClean

pytestmark = pytest.mark.p4


def layout(samples=4, *, allocated=16, stored=12, high=None, signed=False, **more) -> Layout:
    return Layout(allocated, stored, stored - 1 if high is None else high, signed, samples, **more)


def cells(*values, kind="<u2") -> memoryview:
    return memoryview(np.array(values, kind).tobytes())


def cleared(value, form) -> bytes:
    return b"".join(clear(value, form))


@pytest.mark.parametrize(
    ("before", "after", "form"),
    [
        ((0x1001, 0xF002, 3, 4), (1, 2, 3, 4), layout()),
        # The overlay below the samples: bits 15 to 4 are stored.
        ((0x0011, 0x0020, 0x0031, 4), (0x10, 0x20, 0x30, 0), layout(high=15)),
        # The overlay on both sides: bits 11 to 4 are stored.
        ((0xF011, 0x0021, 0x0FF0, 1), (0x10, 0x20, 0xFF0, 0), layout(stored=8, high=11)),
        # Signed: the sign of bit 11 is repeated in what was an overlay.
        ((0x1001, 0x1801, 0x0801, 0), (1, 0xF801, 0xF801, 0), layout(signed=True)),
        ((0xE801, 0x0001, 0xF801, 0), (0xF801, 1, 0xF801, 0), layout(signed=True)),
        # Signed, the sign repeated in some samples only: with an overlay declared, or one bit
        # above the sign, that may be its shape.
        ((0xF801, 0x0801, 1, 0), (0xF801, 0xF801, 1, 0), layout(signed=True, overlaid=True)),
        ((0xC001, 0x4001, 1, 0), (0xC001, 0xC001, 1, 0), layout(stored=15, signed=True)),
        # Signed, and the overlay below: nothing is above the sign.
        ((0x8013, 0x7FF1, 0, 0), (0x8010, 0x7FF0, 0, 0), layout(high=15, signed=True)),
    ],
)
def test_bits_that_say_something_are_cleared(before, after, form):
    """An overlay's bits become zero, or the sign in signed data; samples keep their codes."""
    assert cleared(cells(*before), form) == bytes(cells(*after))
    assert not is_clean(cells(*before), form)
    assert is_clean(cells(*after), form)


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ((1, 2, 0xFFF, 0), layout()),
        ((0xFFFF, 0x8000, 1, 0), layout(stored=16)),
        ((0xF801, 0xFFFF, 0x07FF, 0), layout(signed=True)),
        ((0x0801, 0x0FFF, 0x07FF, 0), layout(signed=True)),
        ((0x0801, 0xFFFF, 0x07FF, 0), layout(signed=True)),
        ((0xF830, 1, 0xF830, 2), layout(padding=0xF830)),
        ((0x8000, 0xF801, 0x07FF, 2), layout(signed=True, padding=0x8000)),
    ],
    ids=["zero", "none unused", "repeated", "not repeated", "mixed", "padding", "signed padding"],
)
def test_bits_that_say_nothing_stay(values, form):
    """Zeros, a repeated sign and whole padding values pass as a slice of the input."""
    value = cells(*values)
    chunks = list(clear(value, form))
    assert [type(chunk) for chunk in chunks] == [memoryview]
    assert chunks[0].obj is value.obj
    assert bytes(chunks[0]) == bytes(value)
    assert is_clean(value, form)


@pytest.mark.parametrize("kind", ["<u2", ">u2", "u1", "<u4", ">u4", "<u8"])
def test_every_cell_size_and_order_is_cleared(kind):
    """Cells of 8 to 64 bits in both byte orders lose exactly the bits that are not stored."""
    bits = np.dtype(kind).itemsize * 8
    form = layout(3, allocated=bits, stored=bits - 2, little=not kind.startswith(">"))
    top = 1 << (bits - 1)
    value = cells(top | 5, 6, top >> 1, kind=kind)
    assert cleared(value, form) == bytes(cells(5, 6, 0, kind=kind))


def test_signed_cells_of_64_bits_are_filled():
    """The widest cells have their sign repeated without an overflow."""
    form = layout(2, allocated=64, stored=60, signed=True)
    value = cells(1 << 59, 1 << 62, kind="<u8")
    assert cleared(value, form) == bytes(cells(0xF8 << 56, 0, kind="<u8"))


def test_what_follows_the_last_sample_is_zeroed():
    """Bytes behind the pixels hold no text afterwards; a zero byte of padding is let be."""
    form = layout(2, allocated=8, stored=8)
    assert cleared(memoryview(b"\1\2Doe^Jane"), form) == b"\1\2" + bytes(8)
    assert cleared(memoryview(b"\1\2\0\0"), form) == b"\1\2\0\0"
    assert not is_clean(memoryview(b"\1\2x\0"), form)


def test_an_odd_last_byte_in_big_endian_stays():
    """Where words are swapped the last sample lies behind its padding, and is kept."""
    form = layout(3, allocated=8, stored=8, little=False)
    assert cleared(memoryview(b"\2\1\0\3"), form) == b"\2\1\0\3"


def test_pixel_data_that_breaks_off_is_cleared_as_far_as_it_goes():
    """Missing samples are no reason to pass hidden bits."""
    assert cleared(cells(0x1001, 2), layout(100)) == bytes(cells(1, 2))
    assert cleared(memoryview(bytes(cells(1)) + b"x"), layout(100)) == bytes(cells(1)) + b"\0"


@pytest.mark.parametrize(
    "form",
    [
        layout(allocated=16, stored=0),
        layout(allocated=8, stored=12),
        layout(allocated=16, stored=12, high=10),
        layout(allocated=16, stored=12, high=16),
        layout(allocated=12, stored=10),
        layout(-1),
    ],
)
def test_numbers_that_do_not_fit_are_refused(form):
    """A layout that cannot be, or whose cells are no bytes, is refused."""
    with pytest.raises(NotClean):
        cleared(cells(1), form)


def test_single_bits_have_nothing_unused():
    """Segmentations of one bit per pixel pass as they are."""
    form = Layout(1, 1, 0, signed=False, samples=16)
    assert cleared(memoryview(b"\xff\x01"), form) == b"\xff\x01"


@given(
    st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=40),
    st.integers(1, 16),
    st.integers(0, 15),
    st.booleans(),
)
def test_samples_never_change_and_nothing_is_left(values, stored, spare, signed):
    """Whatever the cells hold, each sample keeps its code and the outcome is clean."""
    high = min(stored - 1 + spare, 15)
    form = layout(len(values), stored=stored, high=high, signed=signed)
    value = cells(*values)
    after = cleared(value, form)
    codes = [each & form.stored for each in values]
    assert [each & form.stored for each in np.frombuffer(after, "<u2").tolist()] == codes
    assert is_clean(memoryview(after), form)
    assert cleared(memoryview(after), form) == after


def test_blocks_join_without_a_seam(monkeypatch):
    """What lies in many blocks is cleared like what lies in one, and clean blocks are slices."""
    monkeypatch.setattr(overlays, "BLOCK_BYTES", 8)
    values = [1, 2, 3, 4, 0x1005, 6, 7, 8, 9]
    chunks = list(clear(cells(*values), layout(9)))
    assert b"".join(chunks) == bytes(cells(1, 2, 3, 4, 5, 6, 7, 8, 9))
    assert [type(chunk) for chunk in chunks] == [memoryview, bytes, memoryview]


def test_memory_stays_flat():
    """Clearing 64 MB takes a few blocks of memory, not another 64 MB."""
    value = memoryview(np.full(32 << 20, 0x1001, "<u2").tobytes())
    tracemalloc.start()
    size = sum(len(chunk) for chunk in clear(value, layout(32 << 20)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == len(value)
    assert peak < 8 * overlays.BLOCK_BYTES


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((2, 3, 4, 1, "MONOCHROME2"), 24),
        ((2, 3, 1, 3, "RGB"), 18),
        ((2, 4, 1, 3, "YBR_FULL_422"), 16),
    ],
)
def test_samples_are_counted_as_stored(shape, wanted):
    """Frames and colours count, and halved colours count half."""
    assert stored_samples(*shape) == wanted


def overlay(group, **values) -> tuple[Element, ...]:
    numbers = {"allocated": 0x0100, "position": 0x0102, "data": 0x3000}
    return tuple(
        Element(group << 16 | numbers[name], "US", memoryview(struct.pack("<H", value)))
        for name, value in values.items()
    )


@pytest.mark.parametrize(
    ("elements", "groups"),
    [
        ((), ()),
        (overlay(0x6000, allocated=1, position=0, data=7), ()),
        (overlay(0x6000, allocated=16, position=12), (0x6000,)),
        (overlay(0x6002, allocated=16, position=0), (0x6002,)),
        (overlay(0x6002, allocated=16, position=0, data=1), ()),
        (overlay(0x6000, position=12) + overlay(0x601E, position=13), (0x6000, 0x601E)),
        (overlay(0x6001, position=12), ()),
    ],
)
def test_embedded_overlays_are_told_from_others(elements, groups):
    """A group whose bits lie in the pixel data is known by its position, or its missing data."""
    assert embedded(elements) == groups


def test_embedded_overlays_in_compressed_pixels_are_refused():
    """Where the bits cannot be cleared the object is refused; other overlays are no matter."""
    refuse_embedded(overlay(0x6000, allocated=1, position=0, data=7))
    with pytest.raises(NotClean, match="6000,0102"):
        refuse_embedded(overlay(0x6000, allocated=16, position=12))


def described(encoding, **changes) -> tuple[Element, ...]:
    """Write the attributes that describe pixel data; a change to None leaves one out."""
    texts = {"frames": (0x00280008, b"2 "), "photometric": (0x00280004, b"MONOCHROME2 ")}
    numbers = {
        "rows": (0x00280010, 3),
        "columns": (0x00280011, 5),
        "allocated": (0x00280100, 16),
        "stored": (0x00280101, 12),
        "high": (0x00280102, 11),
        "representation": (0x00280103, 1),
        "colours": (0x00280002, 1),
        "padding": (0x00280120, 0xF830),
    }
    encoded = {key: (tag, encoding.short.pack(value)) for key, (tag, value) in numbers.items()}
    found = texts | encoded
    for key, value in changes.items():
        found[key] = (found[key][0], value)
    return tuple(
        Element(tag, "US", memoryview(value)) for tag, value in found.values() if value is not None
    )


@pytest.mark.parametrize("encoding", [EXPLICIT_LITTLE, EXPLICIT_BIG])
def test_the_layout_is_read_from_the_dataset(encoding):
    """Every number that describes the pixels is found, in either byte order."""
    little = encoding is EXPLICIT_LITTLE
    wanted = layout(30, signed=True, padding=0xF830, little=little)
    assert layout_of(described(encoding), encoding) == wanted
    plain = described(encoding, padding=None, frames=None, colours=None)
    assert layout_of(plain, encoding) == layout(15, signed=True, little=little)
    overlaid = described(encoding) + overlay(0x6000, position=0x0C0C)
    assert layout_of(overlaid, encoding).overlaid


@pytest.mark.parametrize("changes", [{"rows": None}, {"stored": b""}, {"frames": b"many"}])
def test_pixels_that_nothing_describes_are_refused(changes):
    """Without its numbers pixel data cannot be looked into."""
    with pytest.raises(NotClean):
        layout_of(described(EXPLICIT_LITTLE, **changes), EXPLICIT_LITTLE)


ODD = {"badVR.dcm", "nested_priv_SQ.dcm"}
"""A number of frames that is none; pixel data without description."""


def native():
    """Give the real objects with native pixel data: name, elements, pixels, encoding."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    for file in sorted(file for each in folders for file in (each / "data").rglob("*.dcm")):
        try:
            opened = open_part10(memoryview(file.read_bytes()))
            elements = parse.read(opened.dataset, opened.encoding)
        except DeidFault:
            continue
        pixels = next((each for each in elements if each.tag == 0x7FE00010), None)
        if pixels is not None and not pixels.undefined and pixels.value:
            yield file.name, elements, pixels.value, opened.encoding


def test_real_pixels_stay_as_they_are():
    """No native pixel data of a real object is altered, for none of them hides anything."""
    looked_at = 0
    for name, elements, pixels, encoding in native():
        if name in ODD:
            with pytest.raises(NotClean):
                layout_of(elements, encoding)
            continue
        form = layout_of(elements, encoding)
        assert is_clean(pixels, form), name
        assert b"".join(clear(pixels, form)) == bytes(pixels)
        looked_at += 1
    assert looked_at > 30
