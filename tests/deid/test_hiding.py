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


def code(meaning: str, **values) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = "T-62000", "SRT", meaning
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize("study", ["1.2.9", "1.3.6.1.4.1.5962.99.1"])
@pytest.mark.parametrize("keyword", ["ContextUID", "CodingSchemeUID", "MappingResourceUID"])
def test_an_objects_uid_does_not_leave_as_the_uid_of_a_kind(build, clean, profile, keyword, study):
    """UIDs of kinds stay, but for one that names an object of the patient: it is mapped as such."""
    dataset = patient(StudyInstanceUID=study)
    dataset.AnatomicRegionSequence = [code("x", **{keyword: study})]
    after = clean(build(dataset), profile)
    assert after.AnatomicRegionSequence[0][keyword].value == after.StudyInstanceUID != study
    dataset.AnatomicRegionSequence[0][keyword].value = "1.3.6.1.4.1.5962.7"
    after = clean(build(dataset), profile)
    assert after.AnatomicRegionSequence[0][keyword].value == "1.3.6.1.4.1.5962.7"


def test_a_class_that_is_an_object_is_refused(build, profile):
    """An object whose SOP class is its own study cannot keep one and lose the other."""
    dataset = patient(SOPClassUID="1.3.6.1.4.1.5962.99.1")
    with pytest.raises(DeidFault, match=r"a UID that stays holds identity \(UID\)"):
        deidentify(build(dataset), profile)


GLUED = ["CT_DoerrenbergHead", "DOERRENBERG2", "Doerren-berg", "\uff24oerrenberg", "Dörrenberg",
         "nr 7765403", "PAT007765403", "776 5403"]  # fmt: skip


@pytest.mark.parametrize("value", GLUED)
def test_identity_that_is_glued_to_other_text_is_gone(build, clean, compiled, value):
    """No neighbour, no gap, no width, no leading zeros hide a name or a number."""
    dataset = patient(SpecificCharacterSet="ISO_IR 192", SoftwareVersions=value)
    dataset.PatientName, dataset.PatientID = "Doerrenberg^Ann", "MRN-7765403"
    assert clean(build(dataset), compiled()).SoftwareVersions == "ANONYMIZED"


@pytest.mark.parametrize("said", [b"Doerrenberg", "Doerrenberg".encode("utf-16-le"),
                                  "Doerrenberg".encode("utf-16-be"), b"MRN.776-5403"])  # fmt: skip
def test_identity_among_bytes_is_found(build, compiled, said):
    """A name or number in binary data stops the object, also in UTF-16 or divided."""
    dataset = patient()
    dataset.PatientName, dataset.PatientID = "Doerrenberg^Ann", "MRN-776-5403"
    dataset.add_new(0x00281201, "OW", b"\0\1" + said + b"\0" * (len(said) % 2))
    with pytest.raises(DeidFault, match="still in the encoded object"):
        deidentify(build(dataset), compiled())


OPAQUE = (0x0008041B, 0x04000520, 0x00686300, 0x0040A074)


@pytest.mark.parametrize("tag", OPAQUE)
def test_bytes_of_no_known_meaning_do_not_leave(build, clean, compiled, tag):
    """What an unlisted OB holds nobody can say: keys, encrypted datasets, documents are removed."""
    dataset = patient()
    dataset.add_new(tag, "OB", b"\1\2\3\4")
    for base in ("basic", "research"):
        found = clean(build(dataset), compiled(base)).get(tag)
        assert found is None or b"\1\2" not in found.value


def test_a_colour_profile_stays(build, clean, compiled):
    """Without ICCProfile the colours of an image are not what they were."""
    dataset = patient(ICCProfile=b"\0\1acsp")
    assert clean(build(dataset), compiled()).ICCProfile == b"\0\1acsp"
