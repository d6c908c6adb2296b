"""What each option keeps and claims, in objects made for it."""

from datetime import date, timedelta

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from deid.apply import deidentify
from dicom.errors import NotClean

pytestmark = pytest.mark.p4

SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian]
CODES = {"113100"}


def patient(**values) -> Dataset:
    dataset = Dataset()
    dataset.PatientName = "Doe^Archibald"
    dataset.PatientID = "77654033"
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def item(**values) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def day(value: str) -> date:
    return date.fromisoformat(value)


def claimed(dataset: Dataset) -> set[str]:
    return {code.CodeValue for code in dataset.DeidentificationMethodCodeSequence} - CODES


def siemens(dataset: Dataset, b_value: str = "1000", *, beside: str = "DOE") -> Dataset:
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0C, "IS", b_value)
    block.add_new(0x08, "CS", beside)
    return dataset


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_safe_private_attributes_stay_with_their_creator(build, clean, compiled, syntax):
    """What the standard's list names stays at every depth; its neighbours and other blocks go."""
    dataset = siemens(patient())
    dataset.private_block(0x0019, "MERCY", create=True).add_new(0x0C, "IS", "7")
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", b"\1\2")
    dataset.DerivationCodeSequence = Sequence([siemens(item(CodeValue="T-1"))])
    after = clean(build(dataset, syntax), compiled("basic", "retain-safe-private"))
    for level in (after, after.DerivationCodeSequence[0]):
        assert str(level[0x0019100C].value) in {"1000", "b'1000'"}
        assert level[0x00190010].value == "SIEMENS MR HEADER"
        assert sum(tag.is_private for tag in list(level.keys())) == 2
    assert claimed(after) == {"113111"}


def test_a_block_is_found_wherever_it_was_reserved(build, clean, compiled):
    """The creator decides, not the number of the block."""
    dataset = patient()
    dataset.add_new(0x00190055, "LO", "SIEMENS MR HEADER")
    dataset.add_new(0x0019550C, "IS", "1000")
    dataset.add_new(0x0019100C, "IS", "7")  # nobody reserved this block
    after = clean(build(dataset), compiled("basic", "retain-safe-private"))
    assert [int(tag) for tag in list(after.keys()) if tag.is_private] == [0x00190055, 0x0019550C]


@pytest.mark.parametrize("vr", ["LO", "UN"])
def test_a_safe_attribute_that_names_the_patient_goes(build, clean, compiled, vr):
    """Being on the list is no licence: the value is searched, in UN as well."""
    dataset = patient()
    dataset.add_new(0x00190010, "LO", "GEMS_ACQU_01")
    dataset.add_new(0x0019109E, vr, b"for DOE " if vr == "UN" else "for DOE")
    dataset.add_new(0x00191023, "DS", "1.5")
    after = clean(build(dataset), compiled("basic", "retain-safe-private"))
    assert 0x0019109E not in after
    assert after[0x00191023].value == 1.5
    dataset[0x0019109E].value = b"EFGRE3D " if vr == "UN" else "EFGRE3D"
    assert 0x0019109E in clean(build(dataset), compiled("basic", "retain-safe-private"))


def test_a_patient_named_like_the_maker_keeps_no_block_of_it(build, clean, compiled):
    """A creator that equals a name goes with its block; the object still passes."""
    after = clean(build(siemens(patient(PatientName="Siemens^Werner"))), compiled("research"))
    assert not any(tag.is_private for tag in list(after.keys()))


def test_private_sequences_stay_for_what_is_safe_inside(build, clean, compiled):
    """A private sequence of the list is opened; one with nothing safe inside goes whole."""

    def stack(safe: bool) -> Dataset:
        inner = item(PatientName="Doe^Archibald")
        block = inner.private_block(0x2001, "Philips Imaging DD 001", create=True)
        block.add_new(0x2D if safe else 0x30, "SS" if safe else "LO", 7 if safe else "Doe")
        dataset = patient()
        dataset.private_block(0x2001, "Philips Imaging DD 001", create=True).add_new(
            0x5F, "SQ", Sequence([inner])
        )
        return dataset

    profile = compiled("basic", "retain-safe-private")
    after = clean(build(stack(safe=True)), profile)
    inside = after[0x2001105F].value[0]
    assert inside[0x2001102D].value == 7
    assert inside.get("PatientName") != "Doe^Archibald"
    result = deidentify(build(stack(safe=False)), profile)
    assert not any("2001" in path and action == "K" for path, action in result.account)
    assert result.options == ()


def test_uids_stay_where_they_are_retained(build, clean, compiled):
    """Retained UIDs are byte for byte the old ones, listed or not; nobody claims otherwise."""
    dataset = patient(FrameOfReferenceUID="1.2.3.4", IrradiationEventUID=["1.2.3.5", "1.2.3.6"])
    result = deidentify(build(dataset), compiled("basic", "retain-uids"))
    after = clean(build(dataset), compiled("basic", "retain-uids"))
    assert after.SOPInstanceUID == dataset.SOPInstanceUID == result.sop_instance_uid
    assert after.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert after.IrradiationEventUID == ["1.2.3.5", "1.2.3.6"]
    assert claimed(after) == {"113110"}
    assert {each.kind for each in result.originals} == {"patient", "name"}


def test_a_retained_uid_must_be_one(build, compiled, anything_goes):
    """A name, or an identifier as a component, is refused among retained UIDs."""
    profile = compiled("basic", "retain-uids")
    for value in ("Doe", "1.2.77654033.5"):
        with pytest.raises(NotClean, match="UID"):
            deidentify(build(patient(FrameOfReferenceUID=value)), profile)


def test_dates_are_kept_moved_or_gone(build, clean, compiled):
    """(0028,0303) says which; the birth date goes in any case, times stay with their dates."""
    dataset = patient(StudyDate="20190304", StudyTime="101500", PatientBirthDate="19670131",
                      AcquisitionDateTime="20190304101500+0100",
                      TimezoneOffsetFromUTC="+0100", SeriesDate="20190311")  # fmt: skip
    dataset.add_new(0x00181079, "DA", "20190304")  # unlisted
    part10 = build(dataset)
    full = clean(part10, compiled("basic", "full-dates"))
    assert (full.StudyDate, full.StudyTime, full[0x00181079].value) == (
        "20190304", "101500", "20190304",
    )  # fmt: skip
    assert full.LongitudinalTemporalInformationModified == "UNMODIFIED"
    assert claimed(full) == {"113106"}
    moved = clean(part10, compiled("basic", "modified-dates"))
    assert moved.StudyDate != "20190304"
    assert moved.AcquisitionDateTime == f"{moved.StudyDate}101500+0100"
    assert day(moved.SeriesDate) - day(moved.StudyDate) == timedelta(7)
    assert moved.StudyTime == "101500"
    assert moved.TimezoneOffsetFromUTC == "+0100"
    assert moved.LongitudinalTemporalInformationModified == "MODIFIED"
    gone = clean(part10, compiled())
    assert gone.get("StudyDate", "") == ""
    assert gone.LongitudinalTemporalInformationModified == "REMOVED"
    assert {full.get("PatientBirthDate", ""), moved.get("PatientBirthDate", "")} == {""}


def test_one_patients_dates_move_alike_at_every_depth_and_in_un(build, clean, compiled):
    """The shift is the patient's: nested dates and dates in UN move with the others."""
    step = item(StudyDate="20190304", PatientID="another")
    dataset = patient(StudyDate="20190304", SourceImageSequence=Sequence([step]))
    dataset.add_new(0x00080021, "UN", b"20190304")
    dataset.SOPClassUID = "1.2.3.4.5"
    after = clean(build(dataset), compiled("basic", "modified-dates"))
    assert after.SourceImageSequence[0].StudyDate == after.StudyDate == after.SeriesDate
    other = clean(build(patient(StudyDate="20190304", PatientID="8")), compiled("research"))
    assert other.StudyDate != after.StudyDate


def test_a_date_of_another_study_may_equal_a_moved_one(build, clean, compiled):
    """That a moved date falls on another original date is no leak."""
    profile = compiled("basic", "modified-dates")
    days = profile.pseudonyms.days("77654033", "")
    dataset = patient(StudyDate="20190304")
    first = clean(build(dataset), profile).StudyDate
    dataset.SeriesDate = first
    dataset.PatientBirthDate = first
    assert clean(build(dataset), profile).StudyDate == first
    assert days % 7 == 0


def test_text_with_an_original_date_is_replaced(build, clean, compiled):
    """A date that moved stays nowhere in words."""
    dataset = patient(StudyDate="20190304", SoftwareVersions="built 2019-03-04",
                      ConvolutionKernel="B30f")  # fmt: skip
    for options in ((), ("modified-dates",)):
        after = clean(build(dataset), compiled("basic", *options))
        assert after.SoftwareVersions == "ANONYMIZED"
        assert after.ConvolutionKernel == "B30f"
    assert clean(build(dataset), compiled("basic", "full-dates")).SoftwareVersions != "ANONYMIZED"


def test_patient_characteristics_stay_and_ages_are_capped(build, clean, compiled):
    """Age, sex, size and weight stay; nobody is older than 90."""
    profile = compiled("basic", "retain-patient-characteristics")
    dataset = patient(
        PatientAge="045Y", PatientSex="F", PatientWeight="71.5", Allergies="iodine Doe"
    )
    after = clean(build(dataset), profile)
    assert (after.PatientAge, after.PatientSex, after.PatientWeight) == ("045Y", "F", 71.5)
    assert after.Allergies == "iodine"
    assert claimed(after) == {"113108"}
    assert clean(build(patient(PatientAge="101Y")), profile).PatientAge == "090Y"
    assert "PatientAge" not in clean(build(patient(PatientAge="101Y")), compiled())


def test_device_and_institution_stay_unless_they_name_the_patient(build, clean, compiled):
    """Retained identity of things is still searched for the identity of people."""
    dataset = patient(StationName="CT1", DeviceSerialNumber="4711", InstitutionName="Mercy",
                      OperatorsName="Smith^J")  # fmt: skip
    device = clean(build(dataset), compiled("basic", "retain-device"))
    assert (device.StationName, device.DeviceSerialNumber) == ("CT1", "4711")
    assert "InstitutionName" not in device
    place = clean(build(dataset), compiled("basic", "retain-institution"))
    assert place.InstitutionName == "Mercy"
    assert (claimed(device), claimed(place)) == ({"113109"}, {"113112"})
    for name in ("Praxis Smith", "Doe"):
        dataset.InstitutionName = name
        after = clean(build(dataset), compiled("basic", "retain-institution"))
        assert "InstitutionName" not in after


def test_only_what_was_applied_is_claimed(build, clean, compiled):
    """An option that found nothing to do in an object is not among its codes."""
    empty = patient(StudyDate="", SeriesDescription="", PatientAge="")
    after = clean(build(empty), compiled("research"))
    assert claimed(after) == set()
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"


def test_the_way_back_is_whole_and_shows_nothing(build, compiled):
    """Originals lead from each pseudonym back; printing a result prints none of them."""
    dataset = patient(PatientBirthDate="19670131", AccessionNumber="A4711", StudyDate="20190304",
                      FrameOfReferenceUID="1.2.3.4", IssuerOfPatientID="Mercy")  # fmt: skip
    result = deidentify(build(dataset), compiled("research"))
    found = {each.kind: (each.pseudonym, each.value) for each in result.originals}
    who = result.patient_pseudonym
    days = compiled("research").pseudonyms.days("77654033", "Mercy")
    assert found["patient"] == (who, "77654033")
    assert found["issuer"] == (who, "Mercy")
    assert found["name"] == (who, "Doe^Archibald")
    assert found["birth-date"] == (who, "19670131")
    assert found["accession"] == (result.study_instance_uid, "A4711")
    assert found["shift"] == (who, f"-{days}")
    assert found["study"] == (result.study_instance_uid, dataset.StudyInstanceUID)
    assert found["series"] == (result.series_instance_uid, dataset.SeriesInstanceUID)
    assert found["instance"] == (result.sop_instance_uid, dataset.SOPInstanceUID)
    assert found["uid"][1] == "1.2.3.4"
    assert not any(value in repr(result) for _, value in found.values())


def test_accounts_tell_actions_apart(build, compiled):
    """Moved, cleaned, kept, mapped and removed attributes have letters of their own."""
    dataset = patient(StudyDate="20190304", SeriesDescription="brain Doe", PatientSex="F",
                      OperatorsName="Smith")  # fmt: skip
    dataset.SoftwareVersions = "of 1.3.6.1.4.1.5962.99.1"
    rows = dict(deidentify(build(dataset), compiled("research")).account)
    letters = [rows[f"({tag})"] for tag in ("0008,0020", "0008,103E", "0010,0040", "0008,1070",
                                            "0018,1020", "0010,0010")]  # fmt: skip
    assert letters == ["S", "C", "K", "X", "U", "P"]
