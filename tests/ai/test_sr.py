"""The report is a valid SR of the right patient, the same bytes each time."""

import io
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import dcmread

from ai import phantom, volume
from ai.findings import Measurement
from ai.report.build import build
from ai.report.subject import Subject
from ai.result import ResultKind
from dicom import uid

dsrdump = pytest.mark.skipif(
    shutil.which("dsrdump") is None, reason="needs dsrdump (Debian: apt-get install dcmtk)"
)


@pytest.fixture
def subject(series, contract, served):
    quantity = contract.outputs[0].quantity
    finding = Measurement(
        "laa950_percent", quantity.name, 17.82, quantity.unit, quantity.site, quantity.decimals
    )
    source = volume.read(series, contract.wants).source
    return Subject(source, contract, served, (finding,))


def _report(subject, settled):
    (report,) = build(subject, [ResultKind.SR], now=settled)
    return report


def _errors(path):
    checker = Path(sys.executable).with_name("dciodvfy")  # from the test extra dicom3tools
    checked = subprocess.run([checker, path], capture_output=True, text=True, check=False)
    said = (checked.stdout + checked.stderr).splitlines()
    assert said, "dciodvfy said nothing"
    return [line for line in said if line.startswith("Error")]


def test_the_report_is_valid_and_complete(subject, settled, tmp_path):
    """dciodvfy finds no error; flags, codes, units and provenance are there."""
    result = _report(subject, settled)
    path = tmp_path / "sr.dcm"
    path.write_bytes(result.part10)
    assert _errors(path) == []
    ds = dcmread(path)
    assert (ds.CompletionFlag, ds.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert ds.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    for stated in (b"17.82", b"UCUM", b"triton 2.51.0", b"ct_emphysema version 1", b"1.0.0"):
        assert stated in result.dataset
    assert ds.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99PENUMBRA"
    assert (ds.ContentDate, ds.ContentTime) == ("20260302", "100000")


def test_the_result_names_what_the_file_holds(subject, settled, truth):
    """The result's UIDs are those of the dataset, valid, and in the originals' study."""
    result = _report(subject, settled)
    ds = dcmread(io.BytesIO(result.part10))
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID == result.sop_instance_uid
    assert ds.file_meta.MediaStorageSOPClassUID == ds.SOPClassUID == result.sop_class_uid
    assert ds.file_meta.TransferSyntaxUID == result.transfer_syntax_uid
    assert ds.SeriesInstanceUID == result.series_instance_uid
    assert ds.StudyInstanceUID == result.study_instance_uid == truth.study_instance_uid
    assert uid.is_valid(result.sop_instance_uid)
    assert result.part10.endswith(result.dataset)


def test_every_reference_resolves(subject, settled, truth):
    """The evidence lists each measured Instance once, and nothing else."""
    ds = dcmread(io.BytesIO(_report(subject, settled).part10))
    (study,) = ds.CurrentRequestedProcedureEvidenceSequence
    (referenced,) = study.ReferencedSeriesSequence
    assert study.StudyInstanceUID == truth.study_instance_uid
    assert referenced.SeriesInstanceUID == truth.series_instance_uid
    named = [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for item in referenced.ReferencedSOPSequence
    ]
    stored = [(ds.SOPClassUID, ds.SOPInstanceUID) for ds in map(dcmread, truth.files)]
    assert named == stored


def test_a_second_run_makes_the_same_bytes(subject, settled):
    """The same facts give the same file; another value gives another Instance of the Series."""
    first, second = (_report(subject, settled) for _ in range(2))
    assert first.part10 == second.part10
    other = replace(subject, findings=(replace(subject.findings[0], value=17.83),))
    changed = _report(other, settled)
    assert changed.series_instance_uid == first.series_instance_uid
    assert changed.sop_instance_uid != first.sop_instance_uid
    newer = replace(subject, contract=replace(subject.contract, algorithm_version="1.1.0"))
    assert _report(newer, settled).series_instance_uid != first.series_instance_uid


@pytest.mark.parametrize(
    ("name", "character_set"),
    [
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", ["", "ISO 2022 IR 87"]),
        ("Yamada^Tarou=山田^太郎=やまだ^たろう", "ISO_IR 192"),
        ("Διονυσιος", "ISO_IR 126"),
        ("Иванов^Пётр", "ISO_IR 144"),
        ("Hong^Gildong=洪^吉洞=홍^길동", ["", "ISO 2022 IR 149"]),
        ("Buc^Jérôme", "ISO_IR 100"),
        ("قباني^لنزار", "ISO_IR 127"),
        ("", "ISO_IR 100"),
    ],
)
def test_names_survive_in_every_character_set(  # noqa: PLR0917  (fixtures)
    edited, contract, subject, settled, tmp_path, name, character_set
):
    """A patient's name reads the same in the report as in the originals, and stays valid."""

    def rename(_, ds):
        ds.SpecificCharacterSet = character_set
        ds.PatientName = name

    originals = edited(rename)
    source = volume.read(originals, contract.wants).source
    path = tmp_path / "sr.dcm"
    path.write_bytes(_report(replace(subject, source=source), settled).part10)
    assert str(dcmread(path).PatientName) == str(dcmread(io.BytesIO(originals[0])).PatientName)
    assert str(dcmread(path).PatientName) == name
    assert _errors(path) == []


def test_an_undeclared_latin_name_keeps_its_letters(edited, contract, subject, settled):
    """A name in Latin-1 without SpecificCharacterSet is read as scanners mean it."""

    def rename(_, ds):
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PatientName = "Müller^Jörg"

    declared = b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100"
    originals = [part10.replace(declared, b"") for part10 in edited(rename)]
    assert b"ISO_IR 100" not in originals[0]
    source = volume.read(originals, contract.wants).source
    result = _report(replace(subject, source=source), settled)
    assert str(dcmread(io.BytesIO(result.part10)).PatientName) == "Müller^Jörg"


def test_originals_with_gaps_and_slips_are_still_reported(
    edited, contract, subject, settled, tmp_path
):
    """Missing type 2 attributes become empty ones, and odd values are carried as they stand."""

    def spoil(_, ds):
        for keyword in ("PatientBirthDate", "AccessionNumber", "StudyID", "StudyTime"):
            delattr(ds, keyword)
        ds.PatientSex = "U"
        ds.PatientAge = "69 years"
        ds.add_new("PatientWeight", "LO", "heavy")
        ds.add_new(0x00091010, "LO", "of a private creator that nobody named")

    source = volume.read(edited(spoil), contract.wants).source
    ds = dcmread(io.BytesIO(_report(replace(subject, source=source), settled).part10))
    assert (ds.PatientBirthDate, ds.AccessionNumber, ds.StudyID, ds.StudyTime) == ("",) * 4
    assert (ds.PatientSex, ds.PatientAge) == ("U", "69 years")
    assert "PatientWeight" not in ds
    assert ds.PatientID == phantom.Patient().patient_id


@dsrdump
def test_dcmtk_reads_the_numbers(subject, settled, tmp_path):
    """DCMTK's dsrdump parses the document and prints value and unit."""
    path = tmp_path / "sr.dcm"
    path.write_bytes(_report(subject, settled).part10)
    read = subprocess.run(["dsrdump", path], capture_output=True, text=True, check=True)
    assert '"17.82" (%,UCUM,"Percent")' in read.stdout
    assert "Procedure reported" in read.stdout


def test_the_phantom_is_a_valid_ct_image(truth):
    """dciodvfy finds no error in a phantom's slice."""
    assert _errors(truth.files[0]) == []
