"""Results come back with the right identity, or they do not leave."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from deid.vault.audit import Asker
from deid.vault.modules import belongs
from deid.vault.reidentify import NoWayBack, reidentify
from deid.vault.second_look import looks_ours
from dicom.errors import DeidFault
from dicom.uid import derive

MARKERS = (0x00120062, 0x00120063, 0x00120064, 0x00280303)
OURS = derive("a pseudonym that no vault has")
SYNTAXES = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)


def in_modules(dataset):
    return {element.tag: element.value for element in dataset if belongs(int(element.tag))}


def uids(dataset):
    return {
        uid
        for element in dataset.iterall()
        if element.VR == "UI" and element.value
        for uid in ([element.value] if element.VM == 1 else element.value)
    }


@pytest.fixture
def image(lab, leave):
    """An image that left, as an outside model gets it."""
    return leave(lab.part10(lab.original()))


@pytest.mark.p4
@pytest.mark.parametrize("transfer_syntax", SYNTAXES)
def test_a_report_comes_back_to_its_patient(lab, image, come_back, transfer_syntax):
    """An SR on the pseudonymous study gets patient, study and references of the original."""
    sr = lab.report_on(image)
    back, first = come_back(lab.part10(sr, transfer_syntax)), lab.original()
    assert in_modules(back) == in_modules(first)
    assert back.file_meta.TransferSyntaxUID == transfer_syntax
    assert not set(MARKERS) & set(back.keys())
    assert (back.SOPInstanceUID, back.SeriesInstanceUID) == (
        sr.SOPInstanceUID,
        sr.SeriesInstanceUID,
    )
    assert back.file_meta.MediaStorageSOPInstanceUID == sr.SOPInstanceUID
    assert (back.StudyDate, back.SeriesDate, back.ContentDate) == (
        "20221103",
        "20240102",
        "20240102",
    )
    study = back.CurrentRequestedProcedureEvidenceSequence[0]
    series = study.ReferencedSeriesSequence[0]
    assert study.StudyInstanceUID == first.StudyInstanceUID
    assert series.SeriesInstanceUID == first.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    text, uid, person, patient, reference = back.ContentSequence
    assert text.TextValue == "Überhang 3 mm"
    assert first.SeriesInstanceUID == uid.UID
    assert person.PersonName == first.PatientName
    assert patient.TextValue == first.PatientID
    assert reference.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert image.PatientID.encode() not in lab.part10(back)


@pytest.mark.filterwarnings("ignore:The string")  # a pseudonym is no person's name
def test_a_segmentation_of_a_real_slice_comes_back(lab, ct, leave, come_back, tmp_path):
    """A SEG that highdicom made of a real de-identified CT fits the real CT, bit for bit."""
    image, first = leave(ct), lab.read(ct)
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    mask = (image.pixel_array > 200).astype(np.uint8)
    if "PositionReferenceIndicator" not in image:
        image.PositionReferenceIndicator = ""
    seg = highdicom.seg.Segmentation(
        source_images=[image],
        pixel_array=mask[np.newaxis],
        segmentation_type="BINARY",
        segment_descriptions=[
            highdicom.seg.SegmentDescription(
                1,
                "bone",
                codes.SCT.Tissue,
                codes.SCT.Bone,
                "AUTOMATIC",
                highdicom.AlgorithmIdentificationSequence(
                    "t", codes.DCM.ArtificialIntelligence, "1"
                ),
            )
        ],
        series_instance_uid=generate_uid(),
        series_number=7,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="somebody",
        manufacturer_model_name="model",
        software_versions="1",
        device_serial_number="1",
    )
    raw = lab.part10(seg)
    back = come_back(raw)
    assert in_modules(back) == in_modules(first)
    assert back.PixelData == seg.PixelData
    assert back.FrameOfReferenceUID == first.FrameOfReferenceUID
    referenced = back.ReferencedSeriesSequence[0]
    assert referenced.SeriesInstanceUID == first.SeriesInstanceUID
    pointed = referenced.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID
    assert pointed == first.SOPInstanceUID
    assert not [uid for uid in uids(back) if looks_ours(uid)]
    assert complaints(lab.part10(back), tmp_path) - complaints(raw, tmp_path) == Counter()


def complaints(raw, folder):
    """dciodvfy's errors, without the values they quote."""
    (folder / "object.dcm").write_bytes(raw)
    command = [Path(sys.executable).parent / "dciodvfy", "-new", folder / "object.dcm"]
    done = subprocess.run(command, capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("latin-1").splitlines()
    return Counter(re.sub(r"<[^<>()]*>", "", each) for each in lines if each.startswith("Error"))


def test_a_compressed_capture_keeps_its_pixels(lab, image, vault, asker):
    """Encapsulated pixel data goes through as a slice of the input, never copied."""
    capture = Dataset()
    capture.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    capture.SOPInstanceUID, capture.SeriesInstanceUID = generate_uid(), generate_uid()
    capture.PatientID, capture.StudyInstanceUID = image.PatientID, image.StudyInstanceUID
    capture.PixelData = pydicom.encaps.encapsulate([bytes(range(256)) * 300])
    capture["PixelData"].VR = "OB"
    capture["PixelData"].is_undefined_length = True
    raw = lab.part10(capture, "1.2.840.10008.1.2.4.50")
    result = vault.reidentify(lab.PROJECT, memoryview(raw), asker)
    assert any(isinstance(chunk, memoryview) and chunk.obj is raw for chunk in result.chunks)
    assert lab.read(result.chunks).PixelData == lab.read(raw).PixelData
    assert result.study_instance_uid == lab.original().StudyInstanceUID


@pytest.mark.filterwarnings("ignore")  # pydicom's remarks about odd inputs
def test_what_was_derived_of_real_objects_comes_back(lab, leave, come_back, real_objects):
    """An object derived of any real one that may leave gets modules and UIDs of the original."""
    studies = set()
    for name, raw in real_objects:
        try:
            derived = leave(raw)
        except DeidFault:
            continue
        first, derived.SOPInstanceUID = lab.read(raw), generate_uid()
        if first.StudyInstanceUID in studies:
            continue  # the study's first object gave its modules
        studies.add(first.StudyInstanceUID)
        back = come_back(lab.part10(derived, derived.file_meta.TransferSyntaxUID))
        assert in_modules(back) == in_modules(first), name
        assert uids(back) <= uids(first) | {derived.SOPInstanceUID}, name
        assert back.get("PixelData") == derived.get("PixelData"), name
    assert len(studies) > 50


@pytest.mark.p4
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda sr: setattr(sr, "PatientID", "PSTRANGER"), "does not know the patient"),
        (lambda sr: setattr(sr, "PatientID", ""), r"\(0010,0020\) is missing"),
        (lambda sr: setattr(sr, "StudyInstanceUID", OURS), "does not know the study"),
        (lambda sr: setattr(sr, "StudyInstanceUID", "1.2.3"), "does not know the study"),
        (lambda sr: setattr(evidence(sr), "StudyInstanceUID", "1.2.3"), "names a study"),
        (lambda sr: setattr(reference(sr), "ReferencedSOPInstanceUID", OURS), "vault has not"),
        (lambda sr: setattr(sr.ContentSequence[1], "UID", OURS), "vault has not"),
        (lambda sr: sr.add_new(0x00091001, "UI", OURS), "vault has not"),
        (lambda sr: sr.add_new(0x00091001, "UN", b"x " + OURS.encode()), "cannot be replaced"),
    ],
)
def test_what_does_not_lead_back_is_refused(lab, image, come_back, change, words):
    """An unknown patient, study or UID of our making refuses the whole result."""
    sr = lab.report_on(image)
    change(sr)
    with pytest.raises(NoWayBack, match=words) as refused:
        come_back(lab.part10(sr))
    assert "PSTRANGER" not in str(refused.value)
    assert OURS not in str(refused.value)


def evidence(sr):
    return sr.CurrentRequestedProcedureEvidenceSequence[0]


def reference(sr):
    return evidence(sr).ReferencedSeriesSequence[0].ReferencedSOPSequence[0]


@pytest.mark.p4
def test_patient_and_study_must_belong_together(lab, image, leave, come_back):
    """A result that names one patient and another's study goes to neither."""
    other = lab.original()
    other.PatientID, other.PatientName = "OTHER-7711", "Somebody^Else"
    other.StudyInstanceUID, other.SOPInstanceUID = "1.3.6.1.4.1.5962.98", "1.3.6.1.4.1.5962.98.1"
    sr = lab.report_on(image)
    sr.PatientID = leave(lab.part10(other)).PatientID
    with pytest.raises(NoWayBack, match="study of this result for its patient"):
        come_back(lab.part10(sr))


@pytest.mark.p4
def test_an_image_with_its_old_uids_does_not_come_back(lab, leave_with_uids, come_back):
    """Under retain-uids a report is led back, while the image itself is still refused."""
    image, first = leave_with_uids(lab.part10(lab.original())), lab.original()
    assert image.SOPInstanceUID == first.SOPInstanceUID
    back = come_back(lab.part10(lab.report_on(image)))
    assert in_modules(back) == in_modules(first)
    with pytest.raises(NoWayBack, match="SOP Instance UID of its own"):
        come_back(lab.part10(image))


@pytest.mark.p4
def test_the_image_itself_does_not_come_back(lab, image, come_back):
    """A de-identified image that is sent back as it left cannot take the original's place."""
    with pytest.raises(NoWayBack, match="SOP Instance UID of its own"):
        come_back(lab.part10(image))


def test_an_object_with_identity_is_refused_and_not_noted(lab, image, come_back, vault):
    """An original that gets into the way back is refused; the trail does not learn its ID."""
    with pytest.raises(NoWayBack):
        come_back(lab.part10(lab.original()))
    assert [(entry.action, entry.subject) for entry in vault.entries()] == [
        ("reidentify", "unknown unknown")
    ]


def test_each_way_back_is_written_down_first(lab, image, come_back, vault):
    """Who asked for which patient and study, and why, stands in the trail."""
    come_back(lab.part10(lab.report_on(image)))
    (entry,) = vault.entries()
    assert entry.subject == f"{image.PatientID} {image.StudyInstanceUID}"
    assert (entry.who, entry.action, entry.purpose) == ("tester", "reidentify", "a test")
    assert vault.verify().is_whole


def test_another_project_has_no_way_back(lab, image, vault, asker):
    """A result is led back within its own project alone."""
    with pytest.raises(NoWayBack):
        vault.reidentify("lung", memoryview(lab.part10(lab.report_on(image))), asker)


@pytest.mark.p4
def test_a_forgotten_patient_has_no_way_back(lab, image, vault, come_back):
    """After a patient is forgotten, results are refused, and new objects bring nothing back."""
    vault.forget(image.PatientID, Asker("tester", "consent withdrawn"))
    sr = lab.part10(lab.report_on(image))
    with pytest.raises(NoWayBack, match="forgotten"):
        come_back(sr)


@pytest.mark.p4
@pytest.mark.parametrize("raw", [b"", b"\0" * 200, b"\0" * 128 + b"DICM" + b"\xff" * 40])
def test_what_is_no_object_is_refused(lab, vault, asker, raw):
    """Bytes that cannot be read end in a fault, never in an object."""
    with pytest.raises(DeidFault):
        vault.reidentify(lab.PROJECT, memoryview(raw), asker)


@pytest.mark.p4
def test_rows_that_do_not_agree_are_refused(lab, image, vault, asker):
    """If study and modules ever led to two originals, the result would go to neither."""

    class Mixed:
        def study(self, patient, study):
            return vault.study(lab.PROJECT, patient, study, asker)

        def uids(self, patient, pseudonyms):
            return vault.uids(lab.PROJECT, patient, pseudonyms) | {image.StudyInstanceUID: "1.2.9"}

    with pytest.raises(NoWayBack, match="do not belong together"):
        reidentify(lab.part10(lab.report_on(image)), Mixed())


def test_a_broken_reader_is_a_fault_without_words_of_the_object(lab, image):
    """Whatever breaks inside is told by its kind and place, never by a value."""

    class Broken:
        def study(self, patient, study):
            raise RuntimeError(patient)

    with pytest.raises(DeidFault, match="broke off") as fault:
        reidentify(lab.part10(lab.report_on(image)), Broken())
    assert image.PatientID not in str(fault.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_nothing_of_ours_survives_at_any_depth(lab, image, come_back, data):
    """Pseudonyms sown at random depths are all led back, and one unknown refuses the object."""
    pool = sorted(uid for uid in uids(image) if looks_ours(uid))
    sr, here = lab.report_on(image), None
    here = sr
    for _ in range(data.draw(st.integers(0, 4))):
        here.ContentSequence = [Dataset()]
        here = here.ContentSequence[0]
    sown = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=4))
    unknown = data.draw(st.booleans())
    here.add_new(0x0008_0058, "UI", [*sown, OURS] if unknown else sown)
    here.add_new(0x0009_0010, "LO", "SOMEBODY")
    item = Dataset()
    item.add_new(0x0009_0010, "LO", "SOMEBODY")
    item.add_new(0x0009_1002, "UI", sown)
    here.add_new(0x0009_1001, "SQ", [item])
    raw = lab.part10(sr, data.draw(st.sampled_from(SYNTAXES[1:])))
    if unknown:
        with pytest.raises(NoWayBack):
            come_back(raw)
        return
    back = come_back(raw)
    assert not [uid for uid in uids(back) if looks_ours(uid)]
    assert not [uid for uid in sown if uid.encode() in lab.part10(back)]


@pytest.mark.p4
@pytest.mark.filterwarnings("ignore")  # pydicom's remarks about odd inputs
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_a_damaged_result_is_refused_or_right(lab, image, vault, asker, data):
    """Whatever bytes are damaged, an object with another's identity never comes out."""
    change = st.tuples(st.integers(0, 5000), st.integers(0, 255))
    changes = data.draw(st.lists(change, max_size=4))
    raw = bytearray(lab.part10(lab.report_on(image), data.draw(st.sampled_from(SYNTAXES[:3]))))
    for place, value in changes:
        raw[132 + place % (len(raw) - 132)] = value
    try:
        result = vault.reidentify(lab.PROJECT, memoryview(bytes(raw)), asker)
    except DeidFault:
        return
    back, first = lab.read(result.chunks), lab.original()
    assert (back.PatientID, back.PatientName) == (first.PatientID, first.PatientName)
    assert back.StudyInstanceUID == first.StudyInstanceUID


def test_a_report_on_a_real_slice_comes_back(lab, leave, come_back, ct):
    """The engine's own output and the vault agree on who is who."""
    image = leave(ct)
    back = come_back(lab.part10(lab.report_on(image)))
    first = lab.read(ct)
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate"):
        assert back.get(keyword) == first.get(keyword)
