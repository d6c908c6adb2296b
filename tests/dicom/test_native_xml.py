"""DICOM JSON as XML: the same elements, and XML whatever the values are."""

from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from dicom import native_xml

SPACE = f"{{{native_xml.NAMESPACE}}}"


def read(dataset):
    """Write and parse it."""
    return ET.fromstring(native_xml.write(dataset))


def test_each_kind_of_value():
    """Values, names in their parts, items, binary and references become what PS3.19 A.1 names."""
    root = read(
        {
            "00080060": {"vr": "CS", "Value": ["CT", None, "MR"]},
            "00100010": {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane^^Dr"}]},
            "00400275": {"vr": "SQ", "Value": [{"00400009": {"vr": "SH", "Value": ["S1"]}}]},
            "00090010": {"vr": "LO", "Value": ["ACME <1>"]},
            "00091010": {"vr": "OB", "InlineBinary": "AQI="},
            "7FE00010": {"vr": "OW", "BulkDataURI": "http://x/?a&b"},
        }
    )
    modality, name, steps, creator, private, pixels = list(root)
    assert [(one.get("number"), one.text) for one in modality] == [("1", "CT"), ("3", "MR")]
    parts = {one.tag.removeprefix(SPACE): one.text for one in name[0][0]}
    assert parts == {"FamilyName": "Doe", "GivenName": "Jane", "NamePrefix": "Dr"}
    assert steps[0][0].get("keyword") == "ScheduledProcedureStepID"
    assert (private.get("keyword"), private[0].text) == (None, "AQI=")
    assert (creator.get("privateCreator"), private.get("privateCreator")) == (None, "ACME <1>")
    assert pixels[0].get("uri") == "http://x/?a&b"


@given(st.text())
def test_any_text_is_xml(text):
    """Markup, controls and what XML cannot hold do not break the document."""
    element = {"vr": "LO", "Value": [text]}
    name = {"vr": "PN", "Value": [{"Alphabetic": text}]}
    root = read({"00100020": element, "00100010": name})
    if text.isprintable():
        assert (root[0][0].text or "") == text
