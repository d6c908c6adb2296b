"""Make the objects that are sent: synthetic, valid, the same at every run.

The load generator sends each file's dataset over and over under new UIDs, so a few files make any
number of objects; it needs UIDs whose last ten digits are a counter. Pixels are a disc of tissue
with the noise of a scanner, so that compression shrinks them as it shrinks real images.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    PYDICOM_IMPLEMENTATION_UID,
    PYDICOM_ROOT_UID,
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    MRImageStorage,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
)

RECIPE = "1"
"""Changed whenever the objects change, so that those on disk are made again."""
FIRST_SERIAL = 1_000_000_000
SERIES_OF, STUDY_OF = 200, 1000
"""Instances in each; load.c shares its UIDs in the same way."""
PICTURES = 16
"""Different pixel planes per workload; each object shifts one of them."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A kind of object, and how many of it are sent at most."""

    name: str
    words: str
    size_bytes: int
    """About so much."""
    sop_class: UID
    modality: str
    rows: int
    frames: int = 1
    syntax: UID = ExplicitVRLittleEndian
    files: int = 400
    most_objects: int = 0
    """In one measurement, so that peers that write a file per object leave no millions of them.
    0: each association sends one, and a single one all the files."""


WORKLOADS = {
    each.name: each
    for each in (
        Workload("mr", "MR, 34 KB", 34_000, MRImageStorage, "MR", 128, most_objects=12_000),
        Workload("ct", "CT, 526 KB", 526_000, CTImageStorage, "CT", 512, most_objects=6_000),
        Workload(
            "jls", "CT in JPEG-LS, 193 KB", 193_000, CTImageStorage, "CT", 512,
            syntax=JPEGLSLossless, files=100, most_objects=9_000,
        ),
        Workload(
            "huge", "multi-frame, 200 MB", 200_000_000,
            MultiFrameGrayscaleWordSecondaryCaptureImageStorage, "OT", 512, frames=381, files=4,
        ),
        Workload("small", "MR, 10 KB", 9_700, MRImageStorage, "MR", 64, most_objects=20_000),
    )
}  # fmt: skip


def files_of(workload: Workload, folder: Path) -> list[Path]:
    """Give a workload's files; they are made where they are not there yet."""
    home = folder / workload.name
    stamp = home / "recipe"
    wanted = f"{RECIPE} {workload.files}"
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        for number, dataset in enumerate(make(workload)):
            dcmwrite(home / f"{number:04d}.dcm", dataset, enforce_file_format=True)
        stamp.write_text(wanted)
    return sorted(home.glob("*.dcm"))


def make(workload: Workload) -> Iterator[Dataset]:
    """Make a workload's objects."""
    chance = np.random.default_rng(20_260_302)
    count = min(PICTURES, workload.files)
    planes = [_plane(workload.rows, chance) for _ in range(count)]
    for number in range(workload.files):
        plane = np.roll(planes[number % count], number, axis=1).tobytes()
        dataset = _facts(workload, number)
        dataset.PixelData = plane * workload.frames
        dataset["PixelData"].VR = "OW"
        if workload.syntax.is_compressed:
            dataset.compress(workload.syntax, generate_instance_uid=False)
        yield dataset


def uid(workload: Workload, level: int, serial: int) -> str:
    """Give a UID whose last ten digits count; level 1 is Study, 2 Series, 3 Instance."""
    number = list(WORKLOADS).index(workload.name) + 1
    return f"{PYDICOM_ROOT_UID}{number}.{level}.{FIRST_SERIAL + serial}"


def _plane(rows: int, chance: np.random.Generator) -> "np.ndarray[Any, Any]":
    """A round body in air, 12 bits stored, noise of 6 in air and 18 in tissue; (row, column)."""
    y, x = np.mgrid[0:rows, 0:rows] / rows - 0.5
    inside = np.hypot(x, y * 1.25) < 0.42
    tissue = 1040 + 40 * np.sin(9 * x + chance.uniform(0, 6)) + 30 * np.cos(11 * y)
    noise = chance.normal(0, 1, (rows, rows)) * np.where(inside, 18, 6)
    return np.clip(np.where(inside, tissue, 40) + noise, 0, 4095).astype("<u2")


def _facts(workload: Workload, number: int) -> Dataset:
    """Everything but the pixels, in the amount that scanners write."""
    dataset = Dataset()
    for group in (_identity(workload, number), _acquisition(workload), _geometry(workload, number)):
        for keyword, value in group.items():
            setattr(dataset, keyword, value)
    if workload.modality == "CT":
        dataset.KVP, dataset.XRayTubeCurrent, dataset.ConvolutionKernel = "120", "210", "B30f"
    if workload.modality == "MR":
        dataset.ScanningSequence, dataset.SequenceVariant, dataset.ScanOptions = "SE", "SK", ""
        dataset.MRAcquisitionType, dataset.EchoTrainLength = "2D", "1"
        dataset.RepetitionTime, dataset.EchoTime = "500", "12"
    if workload.frames > 1:
        dataset.NumberOfFrames, dataset.ConversionType = workload.frames, "WSD"
        dataset.BurnedInAnnotation, dataset.PresentationLUTShape = "NO", "IDENTITY"
        dataset.FrameIncrementPointer, dataset.FrameTime = 0x00181063, "40"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    return dataset


def _identity(workload: Workload, number: int) -> dict[str, Any]:
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]
        if workload.frames == 1
        else ["DERIVED", "SECONDARY"],
        "SOPClassUID": workload.sop_class,
        "SOPInstanceUID": uid(workload, 3, number),
        "StudyDate": "20260302",
        "SeriesDate": "20260302",
        "ContentDate": "20260302",
        "StudyTime": "093000",
        "SeriesTime": "093110",
        "ContentTime": "093142.5",
        "AccessionNumber": f"BENCH{number // STUDY_OF:06d}",
        "Modality": workload.modality,
        "Manufacturer": "SYNTHETIC",
        "InstitutionName": "BENCH HOSPITAL",
        "ReferringPhysicianName": "BENCHREFERRER^ADA",
        "StudyDescription": "CHEST WITH CONTRAST",
        "SeriesDescription": "AXIAL 1.0",
        "StationName": "BENCH1",
        "ManufacturerModelName": "Phantom",
        "ProcedureCodeSequence": Sequence([_code("CHEST", "Chest with contrast")]),
        "PatientName": "BENCHMARK^PATIENT",
        "PatientID": "BENCH-0001",
        "PatientBirthDate": "19570313",
        "PatientSex": "O",
        "PatientAge": "068Y",
        "PatientWeight": "81.5",
        "StudyInstanceUID": uid(workload, 1, number // STUDY_OF * STUDY_OF),
        "SeriesInstanceUID": uid(workload, 2, number // SERIES_OF * SERIES_OF),
        "StudyID": "B1",
        "SeriesNumber": number // SERIES_OF + 1,
        "InstanceNumber": number + 1,
    }


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "99BENCH", meaning
    return item


def _acquisition(workload: Workload) -> dict[str, Any]:
    return {
        "BodyPartExamined": "CHEST",
        "SliceThickness": "1.0",
        "DeviceSerialNumber": "0001",
        "SoftwareVersions": "1.0",
        "ProtocolName": "Chest routine",
        "PatientPosition": "HFS",
        "AcquisitionNumber": "1",
        "WindowCenter": "40",
        "WindowWidth": "400",
        "RescaleIntercept": "-1024" if workload.modality == "CT" else "0",
        "RescaleSlope": "1",
        "RescaleType": "HU" if workload.modality == "CT" else "US",
        "PerformedProcedureStepID": "PPS1",
        "RequestedProcedureDescription": "Chest with contrast",
    }


def _geometry(workload: Workload, number: int) -> dict[str, Any]:
    place = {
        "ImagePositionPatient": ["-180.0", "-180.0", f"{number:.1f}"],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "FrameOfReferenceUID": uid(workload, 4, 0),
        "PositionReferenceIndicator": "",
        "SliceLocation": f"{number:.1f}",
        "PixelSpacing": ["0.703125", "0.703125"],
    }
    return {
        **(place if workload.frames == 1 else {}),
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": workload.rows,
        "Columns": workload.rows,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
    }
