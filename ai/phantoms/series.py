"""Write a stack of axial slices as a Series of valid CT or MR Images (PS3.3 A.3, A.4)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import CTImageStorage, MRImageStorage

from ai.phantom import BEGUN, Patient, begin
from dicom.uid import derive

PATIENT: Final = Patient()
"""Who every phantom pretends to be, unless told otherwise."""
INTERCEPT: Final = -1024
"""Of CT: Hounsfield units are the stored values plus this."""
HIGHEST: Final = 4095
"""Of stored values: 12 bits."""
_SOP_CLASS: Final = {"CT": CTImageStorage, "MR": MRImageStorage}


@dataclass(frozen=True, slots=True)
class Scan:
    """How a phantom pretends to have been scanned."""

    phantom: str
    """Its name, also that of the pretended machine; another name gives other UIDs."""
    modality: str
    body_part: str
    spacing_mm: tuple[float, float, float]
    """Along (z, y, x)."""
    description: str
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes by keyword; a value here takes the place of what is written otherwise."""


@dataclass(frozen=True, slots=True)
class Written:
    """The files of a Series, and what names it."""

    files: tuple[Path, ...]
    """In the order of z, from the feet to the head."""
    study_instance_uid: str
    series_instance_uid: str
    identity: tuple[str, ...]
    """The patient's values and the phantom's UIDs."""


def write(
    directory: Path,
    slices: Iterable[npt.NDArray[Any]],
    scan: Scan,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Written:
    """Write slices (y, x), from the feet to the head, as 0001.dcm and on into `directory`.

    Values are Hounsfield units for CT, arbitrary for MR; they are rounded and cut to 12 bits.
    Another `label` gives other UIDs. Memory: one slice at a time, where `slices` is a generator.
    """
    directory.mkdir(parents=True, exist_ok=True)
    uids = {kind: derive(scan.phantom, label, kind) for kind in ("study", "series", "frame")}
    files = []
    for z, values in enumerate(slices):
        ds = _dataset(scan, patient, values.shape, z, uids)
        ds.SOPInstanceUID = derive(scan.phantom, label, "instance", str(z))
        offset = INTERCEPT if scan.modality == "CT" else 0
        stored = np.clip(np.rint(values - offset), 0, HIGHEST).astype("<u2")
        ds.PixelData = stored.tobytes()
        path = directory / f"{z + 1:04}.dcm"
        with path.open("wb") as file:
            dcmwrite(file, ds, enforce_file_format=True)
        files.append(path)
    identity = (*patient.strings, *uids.values())
    return Written(tuple(files), uids["study"], uids["series"], identity)


def _dataset(
    scan: Scan, patient: Patient, shape: tuple[int, ...], z: int, uids: Mapping[str, str]
) -> Dataset:
    ds = begin(_SOP_CLASS[scan.modality], patient)
    ds.StudyInstanceUID = uids["study"]
    ds.SeriesInstanceUID = uids["series"]
    ds.FrameOfReferenceUID = uids["frame"]
    ds.PositionReferenceIndicator = ""
    _describe(ds, scan, z)
    _place(ds, scan, shape, z)
    (_as_ct if scan.modality == "CT" else _as_mr)(ds)
    for keyword, value in scan.more.items():
        setattr(ds, keyword, value)
    return ds


def _describe(ds: Dataset, scan: Scan, z: int) -> None:
    when = BEGUN + timedelta(milliseconds=250 * z)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = when.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = BEGUN.strftime("%H%M%S")
    ds.AcquisitionTime = ds.ContentTime = when.strftime("%H%M%S.%f")
    ds.Modality = scan.modality
    ds.Manufacturer = "Penumbra"
    ds.ManufacturerModelName = scan.phantom
    ds.BodyPartExamined = scan.body_part
    ds.StudyDescription = scan.description
    ds.SeriesDescription = scan.phantom
    ds.PatientPosition = "HFS"
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 2, 1, z + 1


def _place(ds: Dataset, scan: Scan, shape: tuple[int, ...], z: int) -> None:
    step, between_rows, between_columns = scan.spacing_mm
    rows, columns = shape
    top, left = (-(rows - 1) / 2 * between_rows, -(columns - 1) / 2 * between_columns)
    height = round(z * step, 4)
    ds.ImagePositionPatient = [round(left, 4), round(top, 4), height]
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SliceLocation = height
    ds.SliceThickness = step
    ds.PixelSpacing = [between_rows, between_columns]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = rows, columns
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0


def _as_ct(ds: Dataset) -> None:
    ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    ds.KVP = 120
    ds.XRayTubeCurrent, ds.ExposureTime = 200, 500
    ds.ConvolutionKernel = "STANDARD"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 40, 400


def _as_mr(ds: Dataset) -> None:
    """Say that it is an inversion-prepared 3D gradient echo, as T1-weighted heads are scanned."""
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.ScanningSequence, ds.SequenceVariant = ["GR", "IR"], ["SK", "SP", "MP"]
    ds.ScanOptions, ds.MRAcquisitionType = "", "3D"
    ds.RepetitionTime, ds.EchoTime, ds.InversionTime = 2300, 2.98, 900
    ds.EchoTrainLength, ds.FlipAngle, ds.MagneticFieldStrength = 1, 9, 3
    ds.WindowCenter, ds.WindowWidth = 600, 1200
