"""Write a chest-CT phantom: a Series of valid CT Images whose emphysema is known exactly.

A body, two lungs, a windpipe and a table; in the lungs a known share of voxels at or below
-950 HU. The truth is counted from the voxels that are written. Same arguments, same bytes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, derive

FIELD_OF_VIEW_MM: Final = 350.0
LENGTH_MM: Final = 300.0
INTERCEPT: Final = -1024
_AIR, _BODY, _TABLE = -1000, 40, 120
_LUNG_MM: Final = (52.0, 78.0)
"""Half axes of a lung at its widest, (x, y)."""
BEGUN: Final = datetime(2026, 3, 2, 9, 30, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Patient:
    """Who the phantom pretends to be; values that no real file holds, so a leak is found."""

    name: str = "ZQXHOLLOW^ZQXTESSERA"
    patient_id: str = "ZQX-4830-PHANTOM"
    birth_date: str = "19570313"
    sex: str = "F"
    accession_number: str = "ZQXACC77120"
    institution: str = "ZQX MERCY HOSPITAL"
    referring_physician: str = "ZQXREFERRER^ZQXODA"
    operator: str = "ZQXOPERATOR^ZQXLIN"
    character_set: str = "ISO_IR 192"

    @property
    def strings(self) -> tuple[str, ...]:
        """What must not be found in anything that was de-identified."""
        names = (self.name, self.referring_physician, self.operator)
        whole = (self.patient_id, self.birth_date, self.accession_number, self.institution)
        parts = [part for name in names for part in name.split("^") if len(part) > 2]
        return tuple(value for value in (*parts, *whole) if value)


@dataclass(frozen=True, slots=True)
class Truth:
    """What a phantom holds, counted from its voxels, and what it must not leak."""

    lung_volume_ml: float
    laa950_percent: float
    perc15_hu: float
    files: tuple[Path, ...]
    """In the order of z, from the feet to the head."""
    study_instance_uid: str
    series_instance_uid: str
    identity: tuple[str, ...]
    """The patient's values and the phantom's UIDs."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The grid of a phantom."""

    slices: int = 60
    size: int = 512
    """Rows and columns."""
    spacing_mm: float = 0.0
    """Between slices; 0 divides 300 mm among them, at most 5 mm."""

    @property
    def step_mm(self) -> float:
        """The distance between slices."""
        return self.spacing_mm or min(5.0, round(LENGTH_MM / self.slices, 3))

    @property
    def pixel_mm(self) -> float:
        """The distance between pixels, rounded as the header states it."""
        return round(FIELD_OF_VIEW_MM / self.size, 6)


def write(
    directory: Path,
    *,
    slices: int = 60,
    size: int = 512,
    spacing_mm: float = 0.0,
    emphysema: float = 0.18,
    patient: Patient = Patient(),
    label: str = "1",
) -> Truth:
    """Write the Series into `directory` as 0001.dcm and on, and return its truth.

    `emphysema` is the intended share (0 to 1) of lung voxels at or below -950 HU. Another `label`
    gives other UIDs and other noise. Memory: one slice at a time.
    """
    shape = Shape(slices, size, spacing_mm)
    directory.mkdir(parents=True, exist_ok=True)
    counts = np.zeros(4096, dtype=np.int64)
    files = []
    for z, (hounsfield, lungs) in enumerate(_slices(shape, emphysema, label)):
        stored = (hounsfield - INTERCEPT).astype("<u2")
        counts += np.bincount(stored[lungs], minlength=counts.size)
        path = directory / f"{z + 1:04}.dcm"
        with path.open("wb") as file:
            dcmwrite(file, _dataset(shape, patient, label, z, stored), enforce_file_format=True)
        files.append(path)
    return _truth(shape, patient, label, counts, tuple(files))


def _truth(
    shape: Shape,
    patient: Patient,
    label: str,
    counts: npt.NDArray[np.int64],
    files: tuple[Path, ...],
) -> Truth:
    voxels = int(counts.sum())
    if not voxels:
        raise ValueError("the phantom is too small to hold lungs; give it more slices")
    lung_hu = np.repeat(np.arange(counts.size) + INTERCEPT, counts)  # sorted
    uids = _uids(label)
    return Truth(
        lung_volume_ml=voxels * shape.step_mm * shape.pixel_mm**2 / 1000,
        laa950_percent=100 * float((lung_hu <= -950).mean()),
        perc15_hu=float(lung_hu[int(np.ceil(0.15 * voxels)) - 1]),
        files=files,
        study_instance_uid=uids["study"],
        series_instance_uid=uids["series"],
        identity=(*patient.strings, *uids.values()),
    )


def _uids(label: str) -> dict[str, str]:
    return {kind: derive("phantom", label, kind) for kind in ("study", "series", "frame")}


def _slices(
    shape: Shape, emphysema: float, label: str
) -> Iterator[tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]]:
    """Yield (HU values, lung mask), both (y, x), from the feet to the head."""
    chance = np.random.default_rng([int(digit) for digit in derive("noise", label)[5:]])
    axis = (np.arange(shape.size) - (shape.size - 1) / 2) * shape.pixel_mm
    x, y = axis[np.newaxis, :], axis[:, np.newaxis]
    # Bullae: patches of about 6 mm that reach through a few slices.
    patches = max(2, int(FIELD_OF_VIEW_MM / 6))
    which = (np.arange(shape.size) * patches) // shape.size
    for z in range(shape.slices):
        if z % 4 == 0:
            bullae = chance.random((patches, patches)) < emphysema
        noise = np.rint(chance.normal(0, 12, (shape.size, shape.size))).astype(np.int32)
        yield _slice(x, y, _height(z, shape), bullae[np.ix_(which, which)], noise)


def _height(z: int, shape: Shape) -> float:
    """How wide the lungs are at a slice, 0 to 1: an ellipsoid with closed ends."""
    t = (z + 0.5) / shape.slices * 2 - 1
    return float(np.sqrt(max(0.0, 1 - (t / 0.97) ** 2)))


def _slice(
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    height: float,
    bullae: npt.NDArray[np.bool_],
    noise: npt.NDArray[np.int32],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.bool_]]:
    def ellipse(centre_x: float, centre_y: float, half_x: float, half_y: float) -> Any:
        if half_x <= 0 or half_y <= 0:
            return np.zeros((y.shape[0], x.shape[1]), dtype=bool)
        return ((x - centre_x) / half_x) ** 2 + ((y - centre_y) / half_y) ** 2 <= 1

    half_x, half_y = _LUNG_MM[0] * height, _LUNG_MM[1] * height
    lungs = ellipse(-72, -5, half_x, half_y) | ellipse(72, -5, half_x, half_y)
    hounsfield = np.full(noise.shape, _AIR, dtype=np.int32)
    hounsfield[ellipse(0, 0, 150, 105)] = _BODY
    hounsfield[(np.abs(x) < 140) & (np.abs(y - 125) < 6)] = _TABLE
    hounsfield += np.clip(noise, -20, 20)
    hounsfield[ellipse(0, -30, 9, 9)] = _AIR  # the windpipe, with a wall of its own
    tissue = np.clip(-860 + noise, -940, -780)
    holes = np.clip(-980 + noise, -1020, -955)
    hounsfield[lungs] = np.where(bullae, holes, tissue)[lungs]
    return np.clip(hounsfield, INTERCEPT, 4095 + INTERCEPT), lungs


def _dataset(
    shape: Shape, patient: Patient, label: str, z: int, stored: npt.NDArray[Any]
) -> Dataset:
    """One CT Image (PS3.3 A.3)."""
    ds = begin(CTImageStorage, patient)
    ds.SOPInstanceUID = derive("phantom", label, "instance", str(z))
    _name(ds, label)
    _describe_scan(ds, shape, z)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows = ds.Columns = shape.size
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = -600, 1500
    ds.PixelData = stored.tobytes()
    return ds


def begin(
    sop_class_uid: str, patient: Patient, transfer_syntax_uid: str = ExplicitVRLittleEndian
) -> Dataset:
    """Begin an object: its file meta, who a phantom pretends to be, and where it was scanned."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    ds.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    ds.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    ds.SOPClassUID = sop_class_uid
    ds.SpecificCharacterSet = patient.character_set
    ds.PatientName = patient.name
    ds.PatientID = patient.patient_id
    ds.PatientBirthDate = patient.birth_date
    ds.PatientSex = patient.sex
    ds.AccessionNumber = patient.accession_number
    ds.InstitutionName = patient.institution
    ds.ReferringPhysicianName = patient.referring_physician
    ds.OperatorsName = patient.operator
    ds.StudyID = "1"
    return ds


def _name(ds: Dataset, label: str) -> None:
    uids = _uids(label)
    ds.StudyInstanceUID = uids["study"]
    ds.SeriesInstanceUID = uids["series"]
    ds.FrameOfReferenceUID = uids["frame"]
    ds.PositionReferenceIndicator = ""
    ds.StudyDescription = "CT chest without contrast"
    ds.SeriesDescription = "Chest phantom, thin, lung"


def _describe_scan(ds: Dataset, shape: Shape, z: int) -> None:
    when = BEGUN + timedelta(milliseconds=250 * z)
    date, clock = when.strftime("%Y%m%d"), when.strftime("%H%M%S.%f")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = BEGUN.strftime("%H%M%S")
    ds.AcquisitionTime = ds.ContentTime = clock
    ds.Modality = "CT"
    ds.Manufacturer = "Penumbra"
    ds.ManufacturerModelName = "Chest phantom"
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.BodyPartExamined = "CHEST"
    ds.PatientPosition = "HFS"
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 2, 1, z + 1
    ds.KVP = 120
    ds.XRayTubeCurrent, ds.ExposureTime = 200, 500
    ds.ConvolutionKernel = "STANDARD"
    ds.SliceThickness = ds.SpacingBetweenSlices = shape.step_mm
    corner = round(-(shape.size - 1) / 2 * shape.pixel_mm, 4)
    place = round(z * shape.step_mm - LENGTH_MM / 2, 4)
    ds.ImagePositionPatient = [corner, corner, place]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SliceLocation = place
    ds.PixelSpacing = [shape.pixel_mm, shape.pixel_mm]
