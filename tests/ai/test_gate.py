"""A result that does not fit its originals is stopped with words, and a good one is let through."""

import hashlib
import io
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, replace

import pytest
from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset

from ai import header, volume
from ai.findings import Measurement
from ai.gate import Originals, Promise, Stored, check
from ai.report.build import build
from ai.report.subject import Subject
from ai.result import ResultKind
from dicom.entity import SeriesKey
from dicom.errors import Misfit

pytestmark = pytest.mark.p6


def digest_of(part10: bytes) -> str:
    return hashlib.sha256(part10).hexdigest()


@dataclass
class Case:
    """A good report, the originals it is about, and what was promised of it."""

    part10: bytes
    originals: Originals
    promise: Promise

    def check(self, part10: bytes, promise: Promise | None = None, **facts: object) -> None:
        check(
            [(part10, digest_of(part10))],
            replace(self.originals, **facts),
            promise or self.promise,
        )

    def changed(self, change: Callable[[Dataset], None]) -> bytes:
        with pydicom_config.disable_value_validation():
            dataset = dcmread(io.BytesIO(self.part10))
            change(dataset)
            buffer = io.BytesIO()
            dataset.save_as(buffer, enforce_file_format=False)
            return buffer.getvalue()


@pytest.fixture(scope="module")
def case(series, contract, served, settled) -> Case:
    quantity = contract.outputs[0].quantity
    finding = Measurement(
        "laa950_percent", quantity.name, 17.82, quantity.unit, quantity.site, quantity.decimals
    )
    source = volume.read(series, contract.wants).source
    result = build(Subject(source, contract, served, (finding,)), [ResultKind.SR], now=settled)[0]
    stored = {
        each.sop_instance_uid: Stored(
            each.sop_class_uid, SeriesKey(source.study_instance_uid, source.series_instance_uid)
        )
        for each in source.references
    }
    originals = Originals(source.study_instance_uid, stored, [header.head(0, series[0])])
    return Case(result.part10, originals, Promise([quantity], {}))


def test_a_good_report_passes(case: Case):
    """What was built of the originals is let through, also a second time, and without a promise."""
    case.check(case.part10)
    uid = str(dcmread(io.BytesIO(case.part10)).SOPInstanceUID)
    case.check(case.part10, replace(case.promise, taken={uid: digest_of(case.part10)}))
    check([(case.part10, "")], case.originals)


def evidence(dataset: Dataset) -> Dataset:
    return dataset.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]


def measured(dataset: Dataset) -> Dataset:
    """Find the number in a report."""
    left = list(dataset.ContentSequence)
    while left:
        item = left.pop()
        if item.ValueType == "NUM":
            return item
        left += item.get("ContentSequence", [])
    raise AssertionError


def set_to(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(dataset, keyword, value)


def of_number(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(measured(dataset).MeasuredValueSequence[0], keyword, value)


def of_unit(keyword: str, value: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        unit = measured(dataset).MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0]
        setattr(unit, keyword, value)

    return change


def of_name(keyword: str, value: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        setattr(measured(dataset).ConceptNameCodeSequence[0], keyword, value)

    return change


def of_first_image(keyword: str, value: object) -> Callable[[Dataset], None]:
    return lambda dataset: setattr(evidence(dataset).ReferencedSOPSequence[0], keyword, value)


def point_elsewhere(dataset: Dataset) -> None:
    measured(dataset).ReferencedFrameOfReferenceUID = "1.2.3.4"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_to("PatientID", "SOMEBODY-ELSE"), "PatientID is not that of its originals"),
        (set_to("PatientName", "Else^Somebody"), "PatientName is not that"),
        (set_to("PatientBirthDate", "19700101"), "PatientBirthDate is not that"),
        (set_to("PatientSex", ""), "PatientSex is not that"),
        (set_to("IssuerOfPatientID", "ELSEWHERE"), "IssuerOfPatientID is not that"),
        (set_to("AccessionNumber", "A1"), "AccessionNumber is not that"),
        (set_to("StudyDate", "20200101"), "StudyDate is not that"),
        (set_to("StudyInstanceUID", "1.2.3"), "StudyInstanceUID is not that"),
        (set_to("PatientIdentityRemoved", "YES"), "it is marked as de-identified"),
        (of_first_image("ReferencedSOPInstanceUID", "1.2.3"), "1 of the objects that it names"),
        (of_first_image("ReferencedSOPClassUID", "1.2.3"), "by another SOP class"),
        (lambda ds: setattr(evidence(ds), "SeriesInstanceUID", "1.2.3"), "in another Series"),
        (lambda ds: ds.__delattr__("CurrentRequestedProcedureEvidenceSequence"), "none of its"),
        (of_number("NumericValue", "101"), "Low attenuation lies outside its declared limits"),
        (of_number("NumericValue", "nan"), "a number of it is none"),
        (of_unit("CodeValue", "percent"), "a code is no unit of UCUM"),
        (of_unit("CodingSchemeDesignator", "99ME"), "a unit is not of UCUM"),
        (of_name("CodingSchemeDesignator", "FOO"), "coding scheme 'FOO', which nobody knows"),
        (of_name("CodingSchemeDesignator", "99FOO"), "coding scheme 99FOO is not explained"),
        (of_name("CodeMeaning", ""), "a code has no value, no scheme or no meaning"),
        (lambda ds: ds.__delattr__("ContentSequence"), "it lacks ContentSequence"),
        (set_to("CompletionFlag", ""), "it lacks CompletionFlag"),
        (set_to("ContentDate", "2026-03-02"), r"\(0008,0023\) is no date"),
        (set_to("Modality", "CT"), "its Modality does not fit its SOP class"),
        (set_to("SeriesInstanceUID", "1.2.x"), "its SeriesInstanceUID is no UID"),
        (set_to("SOPInstanceUID", "1.2.3.4"), "its file meta names another SOPInstanceUID"),
        (point_elsewhere, "its frame of reference is not that"),
    ],
)
def test_what_does_not_fit_is_stopped_with_words(case: Case, change: Callable, words: str):
    """One thing that is wrong with a report is a Misfit that names it, and no value."""
    with pytest.raises(Misfit, match=words) as fault:
        case.check(case.changed(change))
    assert not [value for value in ("SOMEBODY", "Else", "1970") if value in str(fault.value)]


def test_a_report_in_the_originals_own_series_is_stopped(case: Case):
    """A result has a Series of its own."""
    series = str(case.originals.heads[0].SeriesInstanceUID)
    with pytest.raises(Misfit, match="SeriesInstanceUID is that of an original"):
        case.check(case.changed(set_to("SeriesInstanceUID", series)))


def test_a_uid_that_another_object_has_is_stopped(case: Case):
    """A SOP Instance UID is new, or that of the very same bytes."""
    uid = str(dcmread(io.BytesIO(case.part10)).SOPInstanceUID)
    with pytest.raises(Misfit, match="SOPInstanceUID is that of another object"):
        case.check(case.part10, replace(case.promise, taken={uid: "of other bytes"}))


def test_a_result_on_deidentified_images_is_stopped(case: Case):
    """Nobody knows whose they are, so no result on them goes back to a PACS."""
    clean = deepcopy(case.originals.heads[0])
    clean.PatientIdentityRemoved = "YES"
    with pytest.raises(Misfit, match="an original is marked as de-identified"):
        case.check(case.part10, heads=[clean])


def test_a_patient_who_changed_between_series_is_found(case: Case):
    """The Series that a result names decide, and another one of the Study does not."""
    other = deepcopy(case.originals.heads[0])
    other.SeriesInstanceUID, other.PatientName = "1.2.3", "Nobody^Nora"
    case.check(case.part10, heads=[*case.originals.heads, other])
    other.SeriesInstanceUID = case.originals.heads[0].SeriesInstanceUID
    with pytest.raises(Misfit, match="PatientName"):
        case.check(case.part10, heads=[*case.originals.heads, other])


def test_a_result_of_somebody_elses_promises_nothing_about_numbers(case: Case):
    """Without a contract no limits are known; the patient and the references still have to fit."""
    odd = case.changed(of_number("NumericValue", "101"))
    check([(odd, digest_of(odd))], case.originals)
    wrong = case.changed(set_to("PatientID", "SOMEBODY-ELSE"))
    with pytest.raises(Misfit, match="PatientID"):
        check([(wrong, digest_of(wrong))], case.originals)


@pytest.mark.parametrize("broken", [b"", b"x" * 200, None])
def test_what_cannot_be_read_is_stopped(case: Case, broken: bytes | None):
    """Bytes that are no DICOM file, or end too early, are a Misfit and no bug."""
    part10 = case.part10[: len(case.part10) // 2] if broken is None else broken
    with pytest.raises(Misfit):
        case.check(part10)


def test_an_odd_original_is_not_the_results_fault(case: Case):
    """What was copied from the original as it is may break the standard as it does there."""
    head = deepcopy(case.originals.heads[0])
    head.StudyDate = "2026-03-02"
    odd = case.changed(set_to("StudyDate", "2026-03-02"))
    case.check(odd, heads=[head])
    with pytest.raises(Misfit, match="StudyDate"):
        case.check(odd)
