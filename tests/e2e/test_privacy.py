"""De-identification as a site runs it: out under a profile, back with identity, with evidence."""

import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian

from dicom.uid import derive
from examples.peers.node import Node, new_key, penumbra, running_node

TABLES = """
[peers.SCANNER]
may = ["store"]
[destinations.out]
kind = "folder"
path = "out"
[destinations.pacs]
kind = "folder"
path = "pacs"
[profiles.linked]
base = "research"
key = { file = "research.key" }
reversible = true
[vault]
key = { file = "vault.key" }
[[rules]]
name = "research"
when = { Modality = "CT" }
profile = "linked"
send = ["out"]
[[rules]]
name = "results"
when = { Modality = "SR" }
reidentify = "linked"
send = ["pacs"]
"""
NAMES = (b"KANARIENVOGEL", b"ZZ-4711-0815", b"DOKTORSAN")


def code(value: str, meaning: str) -> Dataset:
    """Make a code of the DICOM Controlled Terminology."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def result_on(clean: Dataset) -> Dataset:
    """Make what an AI team sends back: a small report on a de-identified image."""
    report = Dataset()
    for keyword in ("PatientName", "PatientID", "StudyInstanceUID", "StudyDate", "StudyTime"):
        setattr(report, keyword, clean.get(keyword))
    report.SOPClassUID, report.Modality = ComprehensiveSRStorage, "SR"
    report.SOPInstanceUID, report.SeriesInstanceUID = derive("e2e", "report"), derive("e2e", "ai")
    report.PatientBirthDate, report.PatientSex, report.AccessionNumber = "", "", ""
    report.ReferringPhysicianName, report.StudyID = "", ""
    report.ContentDate, report.ContentTime = "20260301", "101010"
    report.SeriesNumber, report.InstanceNumber, report.Manufacturer = 1, 1, "AI"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.ConceptNameCodeSequence = [code("126000", "Imaging Measurement Report")]
    words = Dataset()
    words.RelationshipType, words.ValueType, words.TextValue = "CONTAINS", "TEXT", "Nothing found."
    words.ConceptNameCodeSequence = [code("121071", "Finding")]
    report.ContentSequence = [words]
    image, series, study = Dataset(), Dataset(), Dataset()
    image.ReferencedSOPClassUID = clean.SOPClassUID
    image.ReferencedSOPInstanceUID = clean.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = clean.SeriesInstanceUID, [image]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = clean.StudyInstanceUID, [series]
    report.CurrentRequestedProcedureEvidenceSequence = [study]
    report.file_meta = FileMetaDataset()
    report.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    report.file_meta.MediaStorageSOPClassUID = report.SOPClassUID
    report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
    return report


def wait_for(node: Node, kind: str, destination: str) -> None:
    """Wait until a Series reached a destination."""
    node.wait_for(
        lambda seen: any(
            event.type == kind and event.data.get("destination", destination) == destination
            for event in seen
        ),
        30,
        f"{kind} {destination}",
    )


def files_of(folder: Path) -> list[Dataset]:
    """Read the objects of a folder destination."""
    return [dcmread(file) for file in sorted(folder.rglob("*.dcm"))]


@pytest.mark.p6
def test_out_and_back(tmp_path: Path, make_ct: Callable, store: Callable):
    """Images leave without identity; a result on them comes back with it; evidence tells both."""
    new_key(tmp_path)
    assert penumbra("key", "new", tmp_path / "vault.key").returncode == 0
    images = [make_ct(number) for number in range(1, 6)]
    with running_node(tmp_path, TABLES) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        wait_for(node, "penumbra.series.delivered", "out")
        clean = files_of(tmp_path / "out")
        assert len(clean) == len(images)
        sent = b"".join(file.read_bytes() for file in (tmp_path / "out").rglob("*.dcm"))
        assert not any(name in sent for name in NAMES)
        assert [answer.status for answer in store(node, [result_on(clean[0])])] == [0]
        wait_for(node, "penumbra.series.delivered", "pacs")
        (back,) = files_of(tmp_path / "pacs")
        assert (back.PatientName, back.PatientID) == ("KANARIENVOGEL^HANS", "ZZ-4711-0815")
        assert back.StudyInstanceUID == images[0].StudyInstanceUID
        named = back.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        assert named.SeriesInstanceUID == images[0].SeriesInstanceUID
        known = {image.SOPInstanceUID for image in images}
        assert named.ReferencedSOPSequence[0].ReferencedSOPInstanceUID in known
    study = images[0].StudyInstanceUID
    told = penumbra("evidence", study, "-o", tmp_path / "evidence", "-c", node.config)
    assert told.returncode == 0, told.stderr
    (report,) = (tmp_path / "evidence").glob("*.json")
    assert penumbra("evidence", "--verify", report, "-c", node.config).returncode == 0
    assert len(json.dumps(json.loads(report.read_text()))) > 500
    page = next((tmp_path / "evidence").glob("*.html")).read_bytes()
    assert not any(name in page + report.read_bytes() for name in NAMES)
    asked = ("vault", "lookup", clean[0].PatientID, "--purpose", "test", "-c", node.config)
    assert "ZZ-4711-0815" in penumbra(*asked).stdout
    vault = b"".join(file.read_bytes() for file in (tmp_path / "var").glob("vault.db*"))
    assert vault
    assert not any(name in vault for name in NAMES)


@pytest.mark.p6
def test_a_result_without_a_way_back_is_held(tmp_path: Path, make_ct: Callable, store: Callable):
    """A result on a study that never left here goes nowhere, and says why."""
    new_key(tmp_path)
    assert penumbra("key", "new", tmp_path / "vault.key").returncode == 0
    with running_node(tmp_path, TABLES) as node:
        assert [answer.status for answer in store(node, [result_on(make_ct(1))])] == [0]
        node.wait_for(
            lambda seen: any(event.type == "penumbra.job.held" for event in seen), 30, "held"
        )
    held = penumbra("held", "-c", node.config)
    assert "no-way-back" in held.stdout
    assert not list((tmp_path / "pacs").rglob("*.dcm"))


@pytest.mark.p6
def test_what_breaks_the_standard_is_held_where_a_rule_says_so(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """With validation = "hold" an object without an attribute of type 1 does not leave."""
    new_key(tmp_path)
    strict = TABLES.replace('profile = "linked"', 'profile = "linked"\nvalidation = "hold"')
    assert penumbra("key", "new", tmp_path / "vault.key").returncode == 0
    image = make_ct(1)
    del image.PhotometricInterpretation
    with running_node(tmp_path, strict) as node:
        assert [answer.status for answer in store(node, [image])] == [0]
        node.wait_for(
            lambda seen: any(event.type == "penumbra.series.quarantined" for event in seen),
            30,
            "quarantine",
        )
        with urllib.request.urlopen(f"http://127.0.0.1:{node.http_port}/metrics") as answer:
            assert b'penumbra_quarantined_objects{reason="invalid"} 1.0' in answer.read()
        assert "1 instance: invalid 1" in node.run("status").stdout
    held = penumbra("held", "-c", node.config)
    assert "invalid" in held.stdout
    assert not list((tmp_path / "out").rglob("*.dcm"))
