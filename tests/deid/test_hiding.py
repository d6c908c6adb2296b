"""Values that contradict their attribute, and identity in odd places."""

import struct

import pytest
from pydicom.dataset import Dataset

from deid.apply import deidentify
from dicom.errors import DeidFault

pytestmark = pytest.mark.p4


def patient(**values) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = "Doe^Archibald"
    dataset.PatientID = "77654033"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


HIDDEN = {
    "text in a number": (0x00280010, "LO", b"for Smith ", "written as LO"),
    "number in text": (0x00081090, "US", b"\1\0", "written as US"),
    "broken numbers": (0x00280010, "US", b"\1\0\2", "no whole values"),
    "text of no character set": (0x00081090, "LO", b"\x1b$Z\xff\xff", "does not decode"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", HIDDEN)
def test_a_value_that_contradicts_its_attribute_is_refused(build, compiled, case, anything_goes):
    """A wrong VR or a value that does not decode ends in a refusal that names the place."""
    tag, vr, value, words = HIDDEN[case]
    part10 = build(patient())
    at = part10.index(struct.pack("<HH", 0x0010, 0x0010))
    after = tag > 0x00100010
    if after:
        at = len(part10)
    raw = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode() + struct.pack("<H", len(value))
    broken = part10[:at] + raw + value + part10[at:]
    with pytest.raises(DeidFault, match=words):
        deidentify(broken, compiled())


HIDING = {
    "URL in text": ("SoftwareVersions", "see http://pacs/77", "ANONYMIZED"),
    "mail in text": ("SoftwareVersions", "ask j.roe@mercy.org", "ANONYMIZED"),
    "UID in text": ("SoftwareVersions", "of 1.3.6.1.4.1.5962.99.1", None),
    "two names": ("OperatorsName", ["Smith^J", "Roe^R"], ""),
    "components": ("OperatorsName", "Smith^J=山田^太郎", ""),
}


@pytest.mark.parametrize("case", HIDING)
def test_identity_in_odd_places_is_gone(build, clean, compiled, case):
    """URLs, addresses, UIDs in text, lists of names and their components do not come through."""
    keyword, value, expected = HIDING[case]
    dataset = patient(SpecificCharacterSet="ISO_IR 192", **{keyword: value})
    after = clean(build(dataset), compiled())
    found = after.get(keyword, "")
    if expected is None:
        assert found == f"of {after.StudyInstanceUID}"
    else:
        assert found == expected
