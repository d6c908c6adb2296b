"""Frames are told apart in every way that the standard allows, and never by a guess."""

import contextlib
import importlib.util
import io
import struct
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.encaps import generate_frames

from dicom import frames, part10
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand, DoesNotMatch, Fault
from dicom.meta import read_meta
from dicom.places import Finder, dataset_of

EXPLICIT, BASELINE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
LIMIT = 1 << 16


def ours(dataset, syntax):
    """A Part 10 file as the node writes it."""
    return io.BytesIO(
        part10.file_meta(Arrival("1.2", "1.3", syntax, "", "", "", "", 0.0)) + dataset
    )


def long_element(group, number, vr, value):
    return struct.pack("<HH2s2xL", group, number, vr, len(value)) + value


def short_element(group, number, vr, value):
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def image(count, rows=2, columns=2, allocated=8):
    """The head of a grey image."""
    text = str(count).encode()
    return b"".join([
        short_element(0x28, 2, b"US", struct.pack("<H", 1)),
        short_element(0x28, 4, b"CS", b"MONOCHROME2 "),
        short_element(0x28, 8, b"IS", text + b" " * (len(text) % 2)),
        short_element(0x28, 0x10, b"US", struct.pack("<H", rows)),
        short_element(0x28, 0x11, b"US", struct.pack("<H", columns)),
        short_element(0x28, 0x100, b"US", struct.pack("<H", allocated)),
    ])  # fmt: skip


def item(value):
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value)) + value


def encapsulated(table, fragments, *, end=True):
    """Pixel data in fragments."""
    head = struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OB", 0xFFFFFFFF)
    closing = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) if end else b""
    return head + item(table) + b"".join(map(item, fragments)) + closing


def offsets(groups):
    """A Basic Offset Table for frames of these fragments."""
    found, at = [], 0
    for group in groups:
        found.append(at)
        at += sum(8 + len(one) for one in group)
    return struct.pack(f"<{len(found)}L", *found)


def real_files():
    """Yield every real object with pixels of known sizes."""
    store = importlib.util.find_spec("data_store")
    folders = [Path(pydicom.__file__).parent, *map(Path, store.submodule_search_locations)]
    for path in [file for folder in folders for file in (folder / "data").rglob("*.dcm")]:
        raw = path.read_bytes()
        if raw[128:132] != b"DICM":
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path, force=True, defer_size=1 << 16)
            try:
                count = int(dataset.get("NumberOfFrames") or 1)
            except ValueError:
                continue
        if "PixelData" in dataset and dataset.get("Rows"):
            yield path.name, dataset, raw, count


def test_real_frames_are_what_pydicom_finds():
    """In every real object at hand, frames are those that pydicom finds, or are refused."""
    refused, checked = [], 0
    for path, dataset, raw, count in real_files():
        meta = read_meta(raw)
        stream = ours(raw[meta.dataset_offset :], meta.transfer_syntax_uid)
        try:
            where = frames.layout(stream, meta.transfer_syntax_uid)
            found = [frames.frame(stream, where, number) for number in {1, count}]
        except CannotUnderstand:
            refused.append(path)
            continue
        assert where.frames == count
        if where.is_encapsulated:
            expected = list(generate_frames(dataset.PixelData, number_of_frames=count))
            assert found == [expected[number - 1] for number in {1, count}]
        elif dataset.BitsAllocated == 8 and meta.transfer_syntax_uid != BIG_ENDIAN:
            size = where.size_bytes(1)
            assert found[0] == dataset.PixelData[:size]
            assert found[-1] == dataset.PixelData[(count - 1) * size :][:size]
        checked += 1
    assert checked > 100
    # Cut off, or 32-bit pixels in big endian, of which writers disagree what they mean.
    assert sorted(refused) == ["MR_truncated.dcm", "rtdose_expb.dcm", "rtdose_expb_1frame.dcm"]


GROUPS = st.lists(
    st.lists(st.binary(min_size=2, max_size=20).map(lambda one: one + one[: len(one) % 2]),
             min_size=1, max_size=4),
    min_size=1, max_size=6,
)  # fmt: skip


@given(GROUPS)
def test_the_basic_offset_table_tells_frames_apart(groups):
    """Fragments are joined to frames as the Basic Offset Table says."""
    fragments = [one for group in groups for one in group]
    data = image(len(groups)) + encapsulated(offsets(groups), fragments)
    stream = ours(data, BASELINE)
    where = frames.layout(stream, BASELINE)
    found = [frames.frame(stream, where, number + 1) for number in range(len(groups))]
    assert found == [b"".join(group) for group in groups]


@given(st.lists(st.binary(min_size=2, max_size=20).map(lambda one: one + one[: len(one) % 2]),
                min_size=1, max_size=6), st.booleans())  # fmt: skip
def test_the_extended_offset_table_tells_frames_apart(values, is_true):
    """An Extended Offset Table that is true is used, and one that lies changes nothing."""
    at, places = 0, []
    for value in values:
        places.append(at)
        at += 8 + len(value)
    lengths = [len(value) for value in values]
    if not is_true:
        places = [place + 2 for place in places]
    tables = long_element(0x7FE0, 1, b"OV", struct.pack(f"<{len(values)}Q", *places))
    tables += long_element(0x7FE0, 2, b"OV", struct.pack(f"<{len(values)}Q", *lengths))
    stream = ours(image(len(values)) + tables + encapsulated(b"", values), BASELINE)
    where = frames.layout(stream, BASELINE)
    found = [frames.frame(stream, where, number + 1) for number in range(len(values))]
    assert found == values


def test_the_end_of_a_codestream_tells_frames_apart():
    """Without a table, frames end where their codestreams do."""
    fragments = [
        b"\xff\xd8ab",
        b"cd\xff\xd9",
        b"\xff\xd8ef\xff\xd9\0\0",
        b"\xff\xd8gh",
        b"\xff\xd9",
    ]
    fragments = [one + b"\0" * (len(one) % 2) for one in fragments]
    stream = ours(image(3) + encapsulated(b"", fragments), BASELINE)
    where = frames.layout(stream, BASELINE)
    assert frames.frame(stream, where, 1) == b"".join(fragments[:2])
    assert frames.frame(stream, where, 3) == b"".join(fragments[3:])


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (image(1), DoesNotMatch),
        (image(2) + encapsulated(b"", [b"abcd", b"efgh", b"ijkl"]), CannotUnderstand),
        (image(2) + encapsulated(b"\0\0\0\0\1\0\0\0", [b"ab", b"cd", b"ef"]), CannotUnderstand),
        (image(1) + encapsulated(b"", [b"ab"], end=False), CannotUnderstand),
        (image(1) + encapsulated(b"", [])[:-8] + b"\xfe\xff\0\xe0\xff\xff\0\0", CannotUnderstand),
        (image(2**31) + long_element(0x7FE0, 0x10, b"OB", bytes(4)), CannotUnderstand),
        (image(2) + long_element(0x7FE0, 0x10, b"OB", bytes(4)), CannotUnderstand),
        (image(1, rows=0) + long_element(0x7FE0, 0x10, b"OB", bytes(4)), CannotUnderstand),
        (image(1) + struct.pack("<HH2s2xL", 0x7FE0, 0x10, b"OB", 400) + bytes(4), CannotUnderstand),
        (b"", DoesNotMatch),
    ],
)
def test_what_cannot_be_told_apart_is_refused(data, fault):
    """Frames that are not all there, or that nothing tells apart, are refused with words."""
    with pytest.raises(fault):
        frames.layout(ours(data, BASELINE), BASELINE)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 5), st.randoms())
def test_single_bits_are_moved_to_the_beginning(rows, columns, count, chance):
    """Any frame of single bits comes packed from its first byte on, whatever came before."""
    bits = np.array([chance.randint(0, 1) for _ in range(rows * columns * count)], np.uint8)
    packed = np.packbits(bits, bitorder="little").tobytes()
    packed += b"\0" * (len(packed) % 2)
    data = image(count, rows, columns, 1) + long_element(0x7FE0, 0x10, b"OB", packed)
    stream = ours(data, EXPLICIT)
    where = frames.layout(stream, EXPLICIT)
    size = rows * columns
    for number in range(count):
        one = np.frombuffer(frames.frame(stream, where, number + 1), np.uint8)
        found = np.unpackbits(one, bitorder="little")
        assert (found[:size] == bits[number * size : (number + 1) * size]).all()
        assert not found[size:].any()


@pytest.mark.parametrize("number", [0, 3, -1])
def test_frames_that_are_not_there(number):
    """A number that is no frame's is refused."""
    data = image(2) + long_element(0x7FE0, 0x10, b"OB", bytes(8))
    stream = ours(data, EXPLICIT)
    where = frames.layout(stream, EXPLICIT)
    with pytest.raises(DoesNotMatch):
        frames.frame(stream, where, number)


@settings(max_examples=200)
@given(st.binary(max_size=200), st.sampled_from([EXPLICIT, "1.2.840.10008.1.2", BIG_ENDIAN,
                                                 "1.2.840.10008.1.2.1.99"]))  # fmt: skip
def test_hostile_bytes_are_refused_by_a_fault(data, syntax):
    """Whatever bytes stand for a dataset: frames, or a Fault, and no other failure."""
    with contextlib.suppress(Fault):
        frames.layout(ours(image(1) + data, syntax), syntax)


@pytest.mark.parametrize(
    ("path", "expected"),
    [([0x00080060], b"CT"), ([0x00081140, 1, 0x00081155], b"1.2.4\0"), ([0x00081140, 2, 0x00081155],
      None), ([0x00081140, 0, 0x00080018], None), ([0x00100010], None)],
)  # fmt: skip
@pytest.mark.parametrize("is_defined", [True, False])
def test_values_are_found_by_their_path(path, expected, is_defined):
    """A value is found by tags and item numbers, in sequences of defined and undefined length."""
    items = b""
    for uid in (b"1.2.3\0", b"1.2.4\0"):
        inside = short_element(8, 0x1155, b"UI", uid)
        if is_defined:
            items += item(inside)
        else:
            items += struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside
            items += struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
    if is_defined:
        sequence = long_element(8, 0x1140, b"SQ", items)
    else:
        head = struct.pack("<HH2s2xL", 8, 0x1140, b"SQ", 0xFFFFFFFF)
        sequence = head + items + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    stream = ours(short_element(8, 0x60, b"CS", b"CT") + sequence + image(1), EXPLICIT)
    dataset, start = dataset_of(stream, EXPLICIT)
    finder = Finder(dataset, start, EXPLICIT)
    place = finder.find(path)
    assert (finder.value(place, LIMIT) if place else None) == expected
