"""What another system found on de-identified images reaches the PACS as the patient's, or stays."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import highdicom
import numpy as np
import pytest
from highdicom import seg, sr
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from dicom.uid import derive
from examples.peers.node import Node, new_key, penumbra, running_node
from examples.peers.process import debian

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
when = { Modality = ["SR", "SEG"] }
reidentify = "linked"
send = ["pacs"]
"""
MAKER = {
    "series_number": 1,
    "instance_number": 1,
    "manufacturer": "Elsewhere",
    "manufacturer_model_name": "Finder",
    "software_versions": "1",
    "device_serial_number": "7",
}


def in_space(image: Dataset, number: int) -> Dataset:
    """Give a slice its place."""
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = derive("e2e", "frame"), ""
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.ImagePositionPatient = [0, 0, 3 * number]
    image.PixelSpacing, image.SliceThickness = [1, 1], 3
    return image


def theirs(*names: str) -> str:
    """Make a UID as others make theirs."""
    return generate_uid(entropy_srcs=["another system", *names])


def segmentation(clean: Sequence[Dataset]) -> Dataset:
    """Segment what a third party sees in the images, as highdicom writes it."""
    found = np.zeros((len(clean), 16, 16), dtype=np.uint8)
    found[:, 4:8, 4:8] = 1
    description = seg.SegmentDescription(
        segment_number=1,
        segment_label="Lung",
        segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Lung,
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            "Finder", codes.DCM.ArtificialIntelligence, "1"
        ),
    )
    return seg.Segmentation(
        source_images=clean,
        pixel_array=found,
        segmentation_type="BINARY",
        segment_descriptions=[description],
        series_instance_uid=theirs("seg series"),
        sop_instance_uid=theirs("seg"),
        **MAKER,
    )


def report(clean: Sequence[Dataset], name: str) -> Dataset:
    """Write a third party's report about the images."""
    device = sr.DeviceObserverIdentifyingAttributes(uid=theirs("device"))
    observer = sr.ObserverContext(codes.DCM.Device, device)
    content = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion,
        imaging_measurements=[
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(theirs("tracked", name), "Lung"),
                measurements=[
                    sr.Measurement(
                        name=codes.SCT.Volume, value=12.0, unit=codes.UCUM.CubicMillimeter
                    )
                ],
            )
        ],
    )
    return sr.Comprehensive3DSR(
        evidence=clean,
        content=content[0],
        series_instance_uid=theirs("sr series", name),
        sop_instance_uid=theirs("sr", name),
        is_complete=True,
        **MAKER,
    )


def wait_for(node: Node, kind: str, count: int, of: str) -> None:
    """Wait for so many events of a kind about a destination or job."""
    node.wait_for(
        lambda seen: (
            sum(
                each.type == kind and of in {each.data.get("destination"), each.data.get("target")}
                for each in seen
            )
            >= count
        ),
        60,
        f"{kind} {of}",
    )


def send_back(node: Node, folder: Path, objects: Sequence[Dataset]) -> None:
    """Send as another system does, by DCMTK's storescu."""
    folder.mkdir()
    for number, each in enumerate(objects):
        each.save_as(folder / f"{number}.dcm")
    storescu = debian("storescu")
    assert storescu is not None
    command = [
        storescu,
        "+sd",
        "-R",
        "-aet",
        "SCANNER",
        "-aec",
        "PENUMBRA",
        "127.0.0.1",
        str(node.port),
    ]
    subprocess.run([*command, str(folder)], check=True, capture_output=True, timeout=60)


def read(folder: Path) -> dict[str, Dataset]:
    """Read the objects of a folder destination, by Modality."""
    return {str(one.Modality): one for one in map(dcmread, sorted(folder.rglob("*.dcm")))}


def _place(image: Dataset) -> float:
    return float(image.ImagePositionPatient[2])


@pytest.mark.p6
@pytest.mark.filterwarnings("ignore:The string:UserWarning")  # highdicom, about pseudonyms
@pytest.mark.skipif(debian("storescu") is None, reason="needs storescu (apt-get install dcmtk)")
def test_out_to_another_system_and_back_to_the_pacs(
    tmp_path: Path, make_ct: Callable, store: Callable
):
    """A SEG and an SR on de-identified copies come back as the patient's own; a stray one stays."""
    new_key(tmp_path)
    assert penumbra("key", "new", tmp_path / "vault.key").returncode == 0
    images = [in_space(make_ct(number), number) for number in range(1, 4)]
    with running_node(tmp_path, TABLES) as node:
        assert {answer.status for answer in store(node, images)} == {0}
        wait_for(node, "penumbra.series.delivered", 1, "out")
        clean = sorted(map(dcmread, (tmp_path / "out").rglob("*.dcm")), key=_place)
        assert {one.PatientName for one in clean} != {images[0].PatientName}
        send_back(node, tmp_path / "back", [segmentation(clean), report(clean, "good")])
        wait_for(node, "penumbra.series.delivered", 2, "pacs")
        back = read(tmp_path / "pacs")
        assert set(back) == {"SR", "SEG"}
        for one in back.values():
            assert (one.PatientName, one.PatientID) == ("KANARIENVOGEL^HANS", "ZZ-4711-0815")
            assert one.StudyInstanceUID == images[0].StudyInstanceUID
            assert "PatientIdentityRemoved" not in one
        assert back["SEG"].FrameOfReferenceUID == images[0].FrameOfReferenceUID
        named = back["SEG"].ReferencedSeriesSequence[0].ReferencedInstanceSequence
        known = {image.SOPInstanceUID for image in images}
        assert {each.ReferencedSOPInstanceUID for each in named} == known
        stray = report(clean, "stray")
        evidence = stray.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "1.2.3.4.5"
        send_back(node, tmp_path / "stray", [stray])
        wait_for(node, "penumbra.job.held", 1, "pacs")
        held = node.run("held", "--json").stdout
    assert '"misfit"' in held
    assert "1 of the objects that it names are not stored here in its Study" in held
    assert set(read(tmp_path / "pacs")) == {"SR", "SEG"}
    assert len(list((tmp_path / "pacs").rglob("*.dcm"))) == 2
