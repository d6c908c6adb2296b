"""What the engine refuses, what it removes, and what it leaves as it was."""

import io
import struct

import pydicom
import pytest
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEGBaseline8Bit

from deid import apply
from deid.apply import REMARK, deidentify
from dicom.errors import DeidFault

pytestmark = pytest.mark.p4

US = "1.2.840.10008.5.1.4.1.1.6.1"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"


JPEG_SCAN = b"\xff\xda\0\2\0\xff\xd9"


def patient(**values) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = "Doe^Archibald"
    dataset.PatientID = "77654033"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def clean(part10: bytes, profile) -> Dataset:
    return pydicom.dcmread(io.BytesIO(b"".join(deidentify(part10, profile).chunks)))


def report() -> Dataset:
    text = Dataset()
    text.TextValue = "seen with Mr Doe"
    return patient(ContentSequence=Sequence([text]))


def raster(**values) -> Dataset:
    dataset = patient(Rows=2, Columns=2, BitsAllocated=8, BitsStored=8, HighBit=7, **values)
    dataset.PixelRepresentation = 0
    dataset.add_new(0x7FE00010, "OB", b"\1\2\3\4")
    return dataset


def with_overlay_bits() -> Dataset:
    """Four 12-bit samples in cells of 16 bits, and an overlay in bit 12 of two of them."""
    dataset = patient(Rows=2, Columns=2, BitsAllocated=16, BitsStored=12, HighBit=11)
    dataset.PixelRepresentation = 0
    dataset.add_new(0x7FE00010, "OW", struct.pack("<4H", 1, 0x1002, 3, 0x1FFF))
    dataset.add_new(0x60000100, "US", 16)
    dataset.add_new(0x60000102, "US", 12)
    return dataset


def with_nested_pixels() -> Dataset:
    return patient(SourceImageSequence=Sequence([raster()]))


def deep(levels: int) -> Dataset:
    dataset = Dataset()
    for _ in range(levels):
        outer = Dataset()
        outer.DerivationCodeSequence = Sequence([dataset])
        dataset = outer
    dataset.PatientName = "Doe"
    return dataset


REFUSALS = {
    "burned-in text": (lambda: raster(BurnedInAnnotation="YES"), "BurnedIn|0028,0301"),
    "structured report": (report, "Clean Structured Content"),
    "PDF by class": (lambda: patient(SOPClassUID=PDF), "encapsulated document"),
    "document by element": (lambda: patient(EncapsulatedDocument=b"%PDF"), "cannot be looked"),
    "pixels in a sequence": (with_nested_pixels, "pixel data in a sequence"),
    "name in binary data": (lambda: patient(ICCProfile=b"for Archibald "), "name"),
    "kind that is no UID": (lambda: patient(CodingSchemeUID="a.b"), "no UID"),
    "nested too deep": (lambda: deep(40), "deeper"),
    "unknown character set": (lambda: patient(SpecificCharacterSet="ISO_IR 999"), "character set"),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_proven_clean_is_refused(case, build, profile, anything_goes):
    """Each refusal says why in words and names no value."""
    make, words = REFUSALS[case]
    with pytest.raises(DeidFault, match=words) as caught:
        deidentify(build(make()), profile)
    assert not any(value in str(caught.value) for value in ("Doe", "Archibald", "77654033"))


BROKEN = {
    "empty": (lambda whole: b"", "DICM"),
    "not DICOM": (lambda whole: b"\xff\xd8" * 200, "DICM"),
    "no preamble": (lambda whole: whole[128:], "DICM"),
    "cut in the dataset": (lambda whole: whole[:-3], "longer|breaks off"),
    "unknown transfer syntax": (
        lambda whole: whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.77"),
        "transfer syntax",
    ),
    "pixels behind a URL": (
        lambda whole: whole.replace(
            b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI\x16\x001.2.840.10008.1.2.4.94"
        ),
        "JPIP",
    ),
    "no study": (lambda whole: whole.replace(b"\x20\0\x0d\0UI", b"\x20\0\x0c\0UI"), "0020,000D"),
    "twice the same element": (
        lambda whole: whole.replace(b"\x20\0\x0e\0UI", b"\x20\0\x0d\0UI"),
        "must not",
    ),
    "trailing bytes": (lambda whole: whole + b"Doe", "breaks off"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused(case, build, profile):
    """What cannot be read to its last byte does not pass."""
    damage, words = BROKEN[case]
    with pytest.raises(DeidFault, match=words):
        deidentify(damage(build(patient())), profile)


@pytest.mark.p6
def test_anything_unexpected_ends_in_a_fault_without_values(build, profile, monkeypatch):
    """A bug anywhere inside quarantines the object and quotes nothing from it."""

    def break_down(*_):
        raise KeyError("Doe^Archibald")

    monkeypatch.setattr(apply.selfcheck, "check", break_down)
    with pytest.raises(DeidFault, match="KeyError in break_down") as caught:
        deidentify(build(patient()), profile)
    assert "Doe" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_a_comment_in_a_jpeg_goes(build, profile):
    """COM segments are cut out without decoding a pixel, whatever they say; the scan stays."""
    comment = b"patient: DOE, A."
    segment = b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment
    dataset = raster()
    dataset.PixelData = encapsulate([b"\xff\xd8" + segment + JPEG_SCAN])
    dataset["PixelData"].is_undefined_length = True
    result = deidentify(build(dataset, JPEGBaseline8Bit), profile)
    written = b"".join(result.chunks)
    assert comment not in written
    assert b"\xff\xd8" + JPEG_SCAN in written
    assert ("(7FE0,0010)", "remark: 1 segments beside the image removed") in result.account


def test_an_overlay_in_the_pixels_is_cleared(build, profile):
    """Bits above the stored ones are cleared with the overlay's group; the samples stay."""
    result = deidentify(build(with_overlay_bits()), profile)
    after = pydicom.dcmread(io.BytesIO(b"".join(result.chunks)))
    assert struct.unpack("<4H", after.PixelData) == (1, 2, 3, 0xFFF)
    assert not any(element.tag.group == 0x6000 for element in after)
    remark = "remark: bits that belong to no sample were cleared"
    assert ("(7FE0,0010)", remark) in result.account


def test_everything_that_hides_identity_is_gone(build, profile):
    """Private blocks, unknown tags, curves, overlays, icons, signatures, padding, preamble."""
    dataset = raster(SOPClassUID=US, InstitutionName="Mercy", StationName="CT9")
    dataset.private_block(0x0009, "MAKER", create=True).add_new(1, "LO", "anything")
    for tag, vr, value in (
        (0x00091001, "LO", "private"),
        (0x00120EEE, "LO", "unknown"),
        (0x50003000, "OW", b"\0\1"),
        (0x60003000, "OW", b"\0\1"),
        (0x60000040, "CS", "G"),
        (0x60004000, "LT", "remark"),
        (0xFFFCFFFC, "OB", b"\0\1"),
        (0x04000500, "SQ", Sequence([Dataset()])),
        (0x00080120, "UR", "http://pacs/77"),
    ):
        dataset.add_new(tag, vr, value)
    for keyword in ("IconImageSequence", "DigitalSignaturesSequence"):
        setattr(dataset, keyword, Sequence([patient()]))
    part10 = bytearray(build(dataset))
    part10[:9] = b"Doe, Arch"
    result = deidentify(bytes(part10), profile)
    after = pydicom.dcmread(io.BytesIO(b"".join(result.chunks)))
    assert after.preamble == b"\0" * 128
    assert {element.keyword for element in after} == {
        "SOPClassUID", "SOPInstanceUID", "PatientName", "PatientID", "PatientIdentityRemoved",
        "DeidentificationMethod", "StudyInstanceUID",
        "DeidentificationMethodCodeSequence", "SeriesInstanceUID", "Rows", "Columns",
        "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation",
        "LongitudinalTemporalInformationModified", "PixelData",
    }  # fmt: skip
    assert {e.keyword for e in after.file_meta} & {"SourceApplicationEntityTitle"} == set()
    assert ("(0028,0301)", REMARK) in result.account
    assert ("(0088,0200)", "X") in result.account
    assert not any("Mercy" in part for row in result.account for part in row)


def test_the_markers_say_what_was_done(build, profile):
    """(0012,0062) to (0012,0064) and (0028,0303) hold what PS3.15 E.1.1 asks for, and no more."""
    after = clean(build(patient(DeidentificationMethod="by Dr Doe")), profile)
    code = after.DeidentificationMethodCodeSequence[0]
    assert after.PatientIdentityRemoved == "YES"
    assert after.LongitudinalTemporalInformationModified == "REMOVED"
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("113100", "DCM")
    assert profile.digest[:32] in after.DeidentificationMethod[1]
    assert "PS3.15" in after.DeidentificationMethod[0]


def test_uids_are_mapped_everywhere_alike(build, profile):
    """One UID has one replacement, in file meta, references and lists; the standard's stay."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = US
    reference.ReferencedSOPInstanceUID = "1.3.6.1.4.1.5962.99.1.1.1"
    dataset = patient(SOPInstanceUID="1.3.6.1.4.1.5962.99.1.1.1", FrameOfReferenceUID="1.2.3.4")
    dataset.ReferencedImageSequence = Sequence([reference])
    dataset.IrradiationEventUID = ["1.2.3.4", "1.2.840.10008.1.2", "1.2.3.5"]
    result = deidentify(build(dataset), profile)
    after = pydicom.dcmread(io.BytesIO(b"".join(result.chunks)))
    assert after.SOPInstanceUID == after.file_meta.MediaStorageSOPInstanceUID
    assert after.SOPInstanceUID == result.sop_instance_uid
    assert after.ReferencedImageSequence[0].ReferencedSOPInstanceUID == after.SOPInstanceUID
    assert after.ReferencedImageSequence[0].ReferencedSOPClassUID == US
    assert after.IrradiationEventUID[:2] == [after.FrameOfReferenceUID, "1.2.840.10008.1.2"]


def test_a_patient_keeps_one_pseudonym(build, profile):
    """Padding makes no other patient, another issuer does, and objects of nobody share nothing."""

    def pseudonym(**values):
        after = clean(build(patient(**values)), profile)
        assert after.PatientID == after.PatientName
        return after.PatientID

    assert pseudonym() == pseudonym(PatientID=" 77654033 ") == pseudonym(PatientName="X^Y")
    assert pseudonym() != pseudonym(IssuerOfPatientID="B")
    nobody = [pseudonym(PatientID="", StudyInstanceUID=f"1.2.826.0.1.{n}") for n in (1, 2)]
    assert nobody[0] != nobody[1]


def test_text_that_names_the_patient_is_replaced_and_other_text_is_kept(build, profile):
    """Public text that the table does not list stays, unless it holds identity."""
    dataset = patient(ConvolutionKernel="STANDARD", Manufacturer="ACME", SoftwareVersions="for DOE")
    dataset.ManufacturerModelName = "Sleepy 9000"
    after = clean(build(dataset), profile)
    assert after.SoftwareVersions == "ANONYMIZED"
    assert after.ConvolutionKernel == "STANDARD"
    assert (after.Manufacturer, after.ManufacturerModelName) == ("ACME", "Sleepy 9000")


def test_a_sequence_inside_un_is_walked(build, profile):
    """An UN element that the dictionary knows as a sequence is opened, cleared and closed."""
    item = Dataset()
    item.CodeMeaning = "about Archibald Doe"
    item.CodeValue = "T-1"
    plain = build(patient(DerivationCodeSequence=Sequence([item])), ImplicitVRLittleEndian)
    start = plain.index(b"\x08\0\x15\x92")
    (length,) = struct.unpack_from("<L", plain, start + 4)
    value = plain[start + 8 : start + 8 + length]
    dataset = patient()
    tag = BaseTag(0x00089215)
    dataset[tag] = RawDataElement(tag, "UN", length, value, 0, False, True)
    part10 = build(dataset, ExplicitVRLittleEndian)
    assert b"Archibald" in value
    code = clean(part10, profile).DerivationCodeSequence[0]
    assert (code.CodeMeaning, code.CodeValue) == ("ANONYMIZED", "T-1")


def test_a_dummy_sequence_keeps_its_shape_and_tells_nothing(build, profile):
    """Where a sequence must not be empty its items stay, with every telling value replaced."""
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "4711", "99MERCY", "Dr Smith"
    person = Dataset()
    person.PersonIdentificationCodeSequence = Sequence([code])
    person.InstitutionName = "Mercy"
    dataset = patient(OperatorIdentificationSequence=Sequence([person]), SOPClassUID="1.2.3.4.5")
    after = clean(build(dataset), profile)
    inside = after.OperatorIdentificationSequence[0].PersonIdentificationCodeSequence[0]
    assert {element.value for element in inside} == {"ANONYMIZED"}


def test_pixels_are_passed_on_as_slices_of_the_input(build, profile):
    """Pixel data is neither copied nor decoded: its chunk is the input's own memory."""
    part10 = build(raster())
    chunks = deidentify(memoryview(part10), profile).chunks
    slices = [chunk for chunk in chunks if isinstance(chunk, memoryview)]
    assert [bytes(each) for each in slices] == [b"\1\2\3\4"]
    assert slices[0].obj is part10
