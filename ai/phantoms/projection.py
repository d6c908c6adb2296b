"""Write projections as valid DX or MG images "for presentation" (PS3.3 A.26, A.27)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    DigitalMammographyXRayImageStorageForPresentation,
    DigitalXRayImageStorageForPresentation,
)

from ai.phantom import BEGUN, Patient, begin
from ai.phantoms.series import HIGHEST, PATIENT, Written
from dicom.uid import derive

_SOP_CLASS: Final = {
    "DX": DigitalXRayImageStorageForPresentation,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
}


@dataclass(frozen=True, slots=True)
class Projection:
    """One image: stored values (y, x) of 12 bits, bright where much is absorbed, and its view."""

    values: npt.NDArray[Any]
    pixel_mm: float
    laterality: str
    """L or R; "" for what has no side."""
    view: str
    """As in ViewPosition."""
    view_code: tuple[str, str]
    """From SNOMED CT: value and meaning."""
    orientation: tuple[str, str]
    """PatientOrientation, of rows and of columns."""
    is_monochrome1: bool = False
    """Stored the other way round: low is bright."""


@dataclass(frozen=True, slots=True)
class Study:
    """What all images of a phantom have in common."""

    phantom: str
    """Its name, also that of the pretended machine; another name gives other UIDs."""
    modality: str
    """DX or MG."""
    body_part: str
    region: tuple[str, str]
    """From SNOMED CT: value and meaning."""
    description: str
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further attributes by keyword."""


def write(
    folder: Path,
    images: Iterable[Projection],
    study: Study,
    patient: Patient = PATIENT,
    label: str = "1",
) -> Written:
    """Write images as 0001.dcm and on into `folder`. Another `label` gives other UIDs."""
    folder.mkdir(parents=True, exist_ok=True)
    uids = {kind: derive(study.phantom, label, kind) for kind in ("study", "series")}
    files = []
    for number, image in enumerate(images, 1):
        ds = _dataset(study, image, patient, number, uids)
        ds.SOPInstanceUID = derive(study.phantom, label, "instance", str(number))
        path = folder / f"{number:04}.dcm"
        with path.open("wb") as file:
            dcmwrite(file, ds, enforce_file_format=True)
        files.append(path)
    return Written(tuple(files), uids["study"], uids["series"], (*patient.strings, *uids.values()))


def _dataset(
    study: Study, image: Projection, patient: Patient, number: int, uids: Mapping[str, str]
) -> Dataset:
    ds = begin(_SOP_CLASS[study.modality], patient)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uids["study"], uids["series"]
    _describe(ds, study, image, number)
    _acquire(ds, image)
    _lay_pixels(ds, image)
    if study.modality == "MG":
        _as_mammogram(ds)
    for keyword, value in study.more.items():
        setattr(ds, keyword, value)
    return ds


def _describe(ds: Dataset, study: Study, image: Projection, number: int) -> None:
    when = BEGUN + timedelta(seconds=40 * number)
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = when.strftime("%Y%m%d")
    ds.StudyTime = ds.SeriesTime = BEGUN.strftime("%H%M%S")
    ds.AcquisitionTime = ds.ContentTime = when.strftime("%H%M%S")
    ds.Modality = study.modality
    ds.Manufacturer = "Penumbra"
    ds.ManufacturerModelName = study.phantom
    ds.StudyDescription = study.description
    ds.SeriesDescription = study.phantom
    ds.SeriesNumber, ds.AcquisitionNumber, ds.InstanceNumber = 1, number, number
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.ImageType = ["DERIVED", "PRIMARY", ""]
    ds.BodyPartExamined = study.body_part
    ds.ImageLaterality = image.laterality or "U"
    ds.AnatomicRegionSequence = [_coded(*study.region)]
    ds.ViewPosition = image.view
    view = _coded(*image.view_code)
    view.ViewModifierCodeSequence = []
    ds.ViewCodeSequence = [view]
    ds.PatientOrientation = list(image.orientation)


def _acquire(ds: Dataset, image: Projection) -> None:
    ds.KVP, ds.ExposureTime, ds.XRayTubeCurrent = 30, 1000, 80
    ds.DetectorType, ds.PositionerType = "DIRECT", ""
    ds.FieldOfViewOrigin = [0.0, 0.0]
    ds.FieldOfViewRotation = "0"
    ds.FieldOfViewHorizontalFlip = "NO"
    ds.ImagerPixelSpacing = [image.pixel_mm, image.pixel_mm]
    ds.AcquisitionContextSequence = []


def _lay_pixels(ds: Dataset, image: Projection) -> None:
    values = np.clip(np.rint(image.values), 0, HIGHEST)
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME1" if image.is_monochrome1 else "MONOCHROME2"
    ds.Rows, ds.Columns = values.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if image.is_monochrome1 else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.PresentationLUTShape = "INVERSE" if image.is_monochrome1 else "IDENTITY"
    ds.LossyImageCompression = "00"
    ds.BurnedInAnnotation = "NO"
    ds.WindowCenter, ds.WindowWidth = (HIGHEST + 1) / 2, HIGHEST + 1
    stored = HIGHEST - values if image.is_monochrome1 else values
    ds.PixelData = stored.astype("<u2").tobytes()


def _as_mammogram(ds: Dataset) -> None:
    ds.PositionerType = "MAMMOGRAPHIC"
    ds.OrganExposed = "BREAST"
    ds.BreastImplantPresent = "NO"
    ds.PatientAge = "068Y"
    ds.AnodeTargetMaterial, ds.FilterMaterial = "TUNGSTEN", "RHODIUM"
    ds.CompressionForce, ds.BodyPartThickness = 100, 50
    ds.EstimatedRadiographicMagnificationFactor = 1


def _coded(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", meaning
    return item
