"""DICOM JSON back into bytes: what was told is what stands in the dataset."""

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.filereader import read_dataset

from dicom.errors import CannotUnderstand
from dicom.json_encode import MAX_DEPTH, encode


def none(uri: str) -> bytes:
    """No bulk data."""
    raise CannotUnderstand(uri)


def read(encoded: bytes) -> Any:
    """Parse what was encoded."""
    return read_dataset(io.BytesIO(encoded), is_implicit_VR=False, is_little_endian=True)


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small.dcm", "rtplan.dcm", "reportsi.dcm",
                                  "liver_1frame.dcm"])  # fmt: skip
def test_real_objects_come_back(name):
    """A real object that was told as DICOM JSON is encoded with the same elements."""
    whole = dcmread(str(get_testdata_file(name)))
    told = whole.to_json_dict()
    found = read(encode(told, none)).to_json_dict()
    for element in (told, found):
        element.pop("00080005", None)
    assert found.keys() == told.keys()
    different = {tag for tag in told if _plain(found[tag]) != _plain(told[tag])}
    assert different == set()


def _plain(element: Any) -> str:
    """Write an element without what an empty list and none at all have apart."""
    return json.dumps(element, sort_keys=True).replace(', "Value": []', "").replace(' ""', " null")


VALUES = {
    "names": ({"vr": "PN", "Value": [{"Alphabetic": "A^B", "Phonetic": "C"}]}, "A^B==C"),
    "several": ({"vr": "CS", "Value": ["A", None, "C"]}, ["A", "", "C"]),
    "decimals": ({"vr": "DS", "Value": [1.5, 2, "3.25"]}, [1.5, 2, 3.25]),
    "integers as text": ({"vr": "US", "Value": ["7"]}, 7),
    "no value": ({"vr": "LO"}, ""),
    "inline": ({"vr": "OB", "InlineBinary": "AQI="}, b"\x01\x02"),
}


@pytest.mark.parametrize(("element", "value"), VALUES.values(), ids=VALUES)
def test_values(element, value):
    """Values are encoded as PS3.5 has them for their VR."""
    found = read(encode({"00091010": element}, none))[0x00091010].value
    assert (list(found) if isinstance(value, list) else found) == value


def test_text_is_utf_8_and_group_2_is_left_out():
    """Text of any script is told in UTF-8, which the dataset says; a file meta is none of it."""
    told = {"00020010": {"vr": "UI", "Value": ["1.2"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Иванов"}]}}  # fmt: skip
    found = read(encode(told, none))
    assert (str(found.PatientName), found.SpecificCharacterSet) == ("Иванов", "ISO_IR 192")
    assert 0x00020010 not in found


DEEP: dict[str, Any] = {}
for _ in range(MAX_DEPTH + 2):
    DEEP = {"00081115": {"vr": "SQ", "Value": [DEEP]}}
BAD = {
    "no tag": {"PatientID": {"vr": "LO"}},
    "signs in a tag": {"+0100010": {"vr": "LO"}},
    "no VR": {"00100020": {"Value": ["1"]}},
    "an unknown VR": {"00100020": {"vr": "XX"}},
    "no list": {"00100020": {"vr": "LO", "Value": "1"}},
    "no text": {"00100020": {"vr": "LO", "Value": [["1"]]}},
    "no number": {"00280010": {"vr": "US", "Value": ["x"]}},
    "too large a number": {"00280010": {"vr": "US", "Value": [70000]}},
    "endless": {"00280010": {"vr": "UL", "Value": [float("inf")]}},
    "no base64": {"00091010": {"vr": "OB", "InlineBinary": "!"}},
    "base64 that is a number": {"00091010": {"vr": "OB", "InlineBinary": 1}},
    "a value of bytes": {"00091010": {"vr": "OB", "Value": [1]}},
    "no item": {"00081115": {"vr": "SQ", "Value": ["x"]}},
    "no name": {"00100010": {"vr": "PN", "Value": ["A^B"]}},
    "too long": {"00100020": {"vr": "LO", "Value": ["x" * 70000]}},
    "too deep": DEEP,
    "no bulk data": {"00091010": {"vr": "OB", "BulkDataURI": "gone"}},
}


@pytest.mark.parametrize("dataset", BAD.values(), ids=BAD)
def test_what_cannot_be_encoded_is_a_fault(dataset):
    """JSON that is no dataset is refused, and no value of it is repeated."""
    with pytest.raises(CannotUnderstand):
        encode(dataset, none)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["vr", "Value", "x"]), inner),
)
VRS = st.sampled_from(["PN", "LO", "SQ", "US", "AT", "DS", "UN", "FD", "UI"])
ELEMENTS = st.fixed_dictionaries({"vr": VRS, "Value": st.lists(JSON)}) | JSON


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["00100010", "0040A730", "7FE00010", "x"]), ELEMENTS))
def test_nothing_else_is_raised(dataset):
    """Whatever JSON comes, it is encoded or refused."""
    with contextlib.suppress(CannotUnderstand):
        encode(dataset, none)
