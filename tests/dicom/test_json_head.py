"""Heads as DICOM JSON: the standard's model, pydicom's content, whatever bytes arrive."""

import io
import json
import struct
import tracemalloc
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom.encoding import BIG_ENDIAN, DEFLATED
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand
from dicom.json_head import head_json
from dicom.part10 import file_meta

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT_LE = "1.2.840.10008.1.2"

Json = dict[str, Any]


def own(dataset: bytes, syntax: str) -> io.BytesIO:
    """The Part 10 file that the node makes of a dataset."""
    arrival = Arrival("1.2", "1.2.3", syntax, "", "", "", "", 0.0)
    return io.BytesIO(file_meta(arrival) + dataset)


def read(dataset: bytes, syntax: str = EXPLICIT) -> Json:
    return head_json(own(dataset, syntax), syntax)


def element(tag: int, vr: str, raw: bytes) -> bytes:
    """One element in explicit VR, little endian."""
    group, number = tag >> 16, tag & 0xFFFF
    if vr in {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}:
        return struct.pack("<HH2sHL", group, number, vr.encode(), 0, len(raw)) + raw
    return struct.pack("<HH2sH", group, number, vr.encode(), len(raw)) + raw


def implicit(tag: int, raw: bytes) -> bytes:
    return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(raw)) + raw


def item(raw: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(raw)) + raw


UID = element(0x00080018, "UI", b"1.2.3\0")

VALUES: list[tuple[str, bytes, Any]] = [
    ("AE", b" STORE ", ["STORE"]),
    ("AS", b"042Y", ["042Y"]),
    ("AT", b"\x28\x00\x10\x00\xe0\x7f\x10\x00", ["00280010", "7FE00010"]),
    ("CS", b"A\\ B \\\\C", ["A", "B", None, "C"]),
    ("DA", b"20260102", ["20260102"]),
    ("DS", b"1.50\\+2\\ -.5\\1e3\\abc\\007", [1.5, 2, -0.5, 1000.0, "abc", 7]),
    ("DS", b"1e999 ", ["1e999"]),
    ("DT", b"20260102030405.5+0100 ", ["20260102030405.5+0100"]),
    ("FL", struct.pack("<3f", 0.5, float("nan"), float("-inf")), [0.5, "NaN", "-inf"]),
    ("FD", struct.pack("<d", 0.1), [0.1]),
    ("IS", b"12\\-3\\x1", [12, -3, "x1"]),
    ("LO", b" several \\ words", ["several", "words"]),
    ("LT", b" as it\\stands  ", [" as it\\stands"]),
    ("PN", b"Yamada^Tarou ", [{"Alphabetic": "Yamada^Tarou"}]),
    ("PN", b"A^B==C^D\\\\E", [{"Alphabetic": "A^B", "Phonetic": "C^D"}, None, {"Alphabetic": "E"}]),
    ("SH", b"one", ["one"]),
    ("SL", struct.pack("<2l", -1, 2), [-1, 2]),
    ("SS", struct.pack("<h", -2), [-2]),
    ("ST", b"line\r\nline", ["line\r\nline"]),
    ("SV", struct.pack("<q", -(2**60)), [-(2**60)]),
    ("TM", b"101112.25 ", ["101112.25"]),
    ("UC", b"long\\words", ["long", "words"]),
    ("UI", b"1.2.3\0", ["1.2.3"]),
    ("UL", struct.pack("<L", 2**32 - 1), [2**32 - 1]),
    ("UR", b"http://a/b\\c ", ["http://a/b\\c"]),
    ("US", struct.pack("<2H", 1, 65535), [1, 65535]),
    ("UT", b"text", ["text"]),
    ("UV", struct.pack("<Q", 2**63), [2**63]),
]


@pytest.mark.parametrize(("vr", "raw", "values"), VALUES, ids=lambda one: str(one)[:20])
def test_every_vr_is_told_as_annex_f_says(vr: str, raw: bytes, values: list[Any]):
    """PS3.18 F.2.3: strings, numbers, names by component group, tags in hexadecimal."""
    assert read(UID + element(0x00091001, vr, raw))["00091001"] == {"vr": vr, "Value": values}


@pytest.mark.parametrize("vr", ["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
def test_short_binary_stands_in_line(vr: str):
    """PS3.18 F.2.7: bytes in base64."""
    found = read(UID + element(0x00091001, vr, b"\1\2\3\4\5\6\7\10"))
    assert found["00091001"] == {"vr": vr, "InlineBinary": "AQIDBAUGBwg="}


@pytest.mark.parametrize("vr", ["LO", "PN", "US", "OB", "SQ", "DS", "UN", "AT"])
def test_an_empty_value_is_its_vr_alone(vr: str):
    """PS3.18 F.2.5: an empty element has neither Value nor InlineBinary."""
    assert read(UID + element(0x00091001, vr, b""))["00091001"] == {"vr": vr}
    if vr in {"LO", "PN", "DS"}:
        assert read(UID + element(0x00091001, vr, b" \\ "))["00091001"] == {"vr": vr}


def test_bytes_that_do_not_fit_their_vr_are_told_as_they_are():
    """Three bytes of US are no number; they are not lost either."""
    found = read(UID + element(0x00091001, "US", b"\1\2\3"))
    assert found["00091001"] == {"vr": "UN", "InlineBinary": "AQID"}


def test_what_is_long_or_pixels_is_named_only():
    """Bulk data is named by its place, items counted from 0; short pixels in an item are told."""
    icon = element(0x00282000, "OB", b"\1" * 5000) + element(0x7FE00010, "OW", b"\1\2")
    found = read(
        UID
        + element(0x00091001, "OB", b"\0" * 4096)
        + element(0x00091002, "OB", b"\0" * 4098)
        + element(0x00091003, "LO", b"word\\" * 1000)
        + element(0x00880200, "SQ", item(b"") + item(icon))
        + element(0x7FE00010, "OW", b"\0" * 10)
    )
    assert "InlineBinary" in found["00091001"]
    assert found["00091002"] == {"vr": "OB", "BulkDataURI": "00091002"}
    assert found["00091003"]["Value"][:2] == ["word", "word"]
    empty, filled = found["00880200"]["Value"]
    assert empty == {}
    assert filled["00282000"] == {"vr": "OB", "BulkDataURI": "00880200/1/00282000"}
    assert filled["7FE00010"] == {"vr": "OW", "InlineBinary": "AQI="}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "7FE00010"}


@pytest.mark.parametrize(
    ("terms", "raw", "text"),
    [
        ("ISO_IR 100", "Müller".encode("latin-1"), "Müller"),
        ("ISO_IR 144", "Жданов".encode("iso8859-5"), "Жданов"),
        ("ISO_IR 126", "Διονυσιος".encode("iso8859-7"), "Διονυσιος"),
        ("ISO_IR 192", "王^小東".encode(), "王^小東"),
        ("GB18030", "王^小东".encode("gb18030"), "王^小东"),
        ("\\ISO 2022 IR 87", b"Y=\x1b$B;3ED\x1b(B", "Y=山田"),
        ("\\ISO 2022 IR 149", b"H=\x1b$)C\xfb\xf3", "H=洪"),
        ("", "Müller".encode("latin-1"), "Müller"),
    ],
)
def test_text_is_decoded_by_its_character_set(terms: str, raw: bytes, text: str):
    """Whatever the object declared, JSON is UTF-8 and says so."""
    declared = element(0x00080005, "CS", terms.encode() + b" " * (len(terms) % 2)) if terms else b""
    found = read(declared + UID + element(0x00100010, "PN", raw))
    groups = zip(("Alphabetic", "Ideographic"), text.split("="), strict=False)
    assert found["00100010"]["Value"] == [dict(groups)]
    assert found.get("00080005", {}).get("Value", ["ISO_IR 192"]) == ["ISO_IR 192"]


def test_an_item_may_declare_a_character_set_of_its_own():
    """It holds within the item, and no longer (PS3.3 C.12.1.1.2)."""
    latin = "ü".encode("latin-1") + b" "
    greek = element(0x00080005, "CS", b"ISO_IR 126") + element(0x00400280, "ST", b"\xc4 ")
    found = read(
        element(0x00080005, "CS", b"ISO_IR 100")
        + element(0x00081140, "SQ", item(greek) + item(element(0x00400280, "ST", latin)))
        + element(0x00104000, "LT", latin)
    )
    first, second = found["00081140"]["Value"]
    assert first["00400280"]["Value"] == ["Δ"]
    assert second["00400280"]["Value"] == ["ü"]
    assert found["00104000"]["Value"] == ["ü"]


def test_implicit_vr_is_looked_up():
    """Public tags by PS3.6, private ones by their creator, pixels' sign by PixelRepresentation."""
    dataset = (
        implicit(0x00080018, b"1.2.3\0")
        + implicit(0x00190010, b"SIEMENS MR HEADER ")
        + implicit(0x0019100C, b"1000")
        + implicit(0x00191077, b"ab")
        + implicit(0x00280103, b"\1\0")
        + implicit(0x00280106, struct.pack("<h", -1000))
        + implicit(0x7FE00010, b"\0\0")
    )
    found = read(dataset, IMPLICIT_LE)
    assert found["00190010"] == {"vr": "LO", "Value": ["SIEMENS MR HEADER"]}
    assert found["0019100C"] == {"vr": "IS", "Value": [1000]}
    assert found["00191077"] == {"vr": "UN", "InlineBinary": "YWI="}
    assert found["00280106"] == {"vr": "SS", "Value": [-1000]}
    other = dataset.replace(b"SIEMENS MR HEADER ", b"SOMEBODY ELSE NOW ")
    assert read(other, IMPLICIT_LE)["0019100C"] == {"vr": "UN", "InlineBinary": "MTAwMA=="}
    unsigned = dataset.replace(implicit(0x00280103, b"\1\0"), implicit(0x00280103, b"\0\0"))
    assert read(unsigned, IMPLICIT_LE)["00280106"] == {"vr": "US", "Value": [64536]}


def test_what_was_sent_as_un_is_known_again():
    """PS3.5 6.2.2: a known tag has its VR back, a sequence sent as UN is implicit inside."""
    inner = item(implicit(0x00081150, b"1.2\0"))
    found = read(UID + element(0x00081140, "UN", inner) + element(0x00100020, "UN", b"ID"))
    assert found["00081140"]["Value"] == [{"00081150": {"vr": "UI", "Value": ["1.2"]}}]
    assert found["00100020"] == {"vr": "LO", "Value": ["ID"]}


def test_a_sequence_that_holds_no_items_is_told_as_bytes():
    """A broken sequence of known length costs itself, and not the head."""
    found = read(UID + element(0x00081140, "SQ", b"no items") + element(0x00100020, "LO", b"ID"))
    assert found["00081140"] == {"vr": "UN", "InlineBinary": "bm8gaXRlbXM="}
    assert found["00100020"]["Value"] == ["ID"]


def test_group_lengths_and_padding_are_left_out():
    """They say nothing about the object (PS3.18 F.2: no group lengths)."""
    found = read(
        element(0x00080000, "UL", b"\0\0\0\0") + UID + element(0xFFFCFFFC, "OB", b"\0" * 8)
    )
    assert set(found) == {"00080018"}
    assert set(read(UID + b"\0" * 600)) == {"00080018"}


@pytest.mark.parametrize(
    "dataset",
    [
        b"",
        b"\0" * 100,
        UID[:-3],
        UID + b"\x08\0",
        UID + struct.pack("<HH2sHL", 8, 0x1140, b"SQ", 0, 0xFFFFFFFF),
        UID + struct.pack("<HH2sHL", 9, 0x1140, b"OB", 0, 1 << 30),
        element(0x7FE00010, "OW", b"\0\0"),
    ],
)
def test_a_dataset_that_breaks_off_is_refused(dataset: bytes):
    """Nobody shall take half a head for a whole one."""
    with pytest.raises(CannotUnderstand):
        read(dataset)


def test_elements_out_of_order_are_read_all_the_same():
    """What breaks the rules of order goes through the forgiving parser, pixels named."""
    icon = element(0x00282000, "OB", b"\1" * 5000)
    found = read(
        element(0x00100020, "LO", b"ID")
        + element(0x00080005, "CS", b"ISO_IR 100")
        + UID
        + element(0x00100010, "PN", b"M\xfcller")
        + element(0x00880200, "SQ", item(icon))
        + element(0x7FE00010, "OW", b"\0\0")
    )
    assert list(found) == sorted(found)
    assert found["00100010"]["Value"] == [{"Alphabetic": "Müller"}]
    inner = found["00880200"]["Value"][0]
    assert inner["00282000"] == {"vr": "OB", "BulkDataURI": "00880200/0/00282000"}
    assert found["7FE00010"] == {"vr": "OW", "BulkDataURI": "7FE00010"}


def test_a_large_object_costs_no_memory():
    """Long values are stepped over, not read: 64 MB cost less than 2 MB."""
    big = own(UID + element(0x00091001, "OB", b"\0" * (64 << 20)) + UID[:0], EXPLICIT)
    tracemalloc.start()
    try:
        head_json(big, EXPLICIT)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < 2 << 20


def test_a_long_sequence_is_read_over_the_window():
    """A head larger than what is read at once is whole, its sequences measured or not."""
    frames = b"".join(item(element(0x00200032, "DS", b"%05d" % n + b" ")) for n in range(20_000))
    open_ended = struct.pack("<HH2sHL", 0x5200, 0x9230, b"SQ", 0, 0xFFFFFFFF) + frames
    end = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
    for dataset in (UID + element(0x52009230, "SQ", frames), UID + open_ended + end):
        values = read(dataset)["52009230"]["Value"]
        assert [one["00200032"]["Value"][0] for one in values] == list(range(20_000))


def test_what_is_remembered_is_remembered_with_its_meaning():
    """The same bytes in another character set, sign or encoding are not taken for the former."""
    raw = element(0x00104000, "LT", b"\xc4 ")
    for terms, text in (("ISO_IR 100", "Ä"), ("ISO_IR 126", "Δ"), ("ISO_IR 144", "Ф")) * 2:
        declared = element(0x00080005, "CS", terms.encode())
        assert read(declared + raw)["00104000"]["Value"] == [text]
    for signed, value in ((b"\1\0", -1), (b"\0\0", 65535)) * 2:
        dataset = implicit(0x00280103, signed) + implicit(0x00280106, b"\xff\xff")
        assert read(dataset, IMPLICIT_LE)["00280106"]["Value"] == [value]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_odd_bytes_raise_nothing_else(data: st.DataObject):
    """Whatever arrives gives a head or CannotUnderstand."""
    syntax = data.draw(st.sampled_from([EXPLICIT, IMPLICIT_LE, BIG_ENDIAN, *sorted(DEFLATED)]))
    whole = UID + element(0x00081140, "SQ", item(UID)) + element(0x00091001, "US", b"\1\2")
    start = data.draw(st.sampled_from([b"", UID, whole]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = read(start + data.draw(st.binary(max_size=200)), syntax)
        except CannotUnderstand:
            return
    json.dumps(found, allow_nan=False)
