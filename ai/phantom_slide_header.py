"""The header of a pathology phantom: a VL Whole Slide Microscopy Image (PS3.3 A.32.8)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    VLWholeSlideMicroscopyImageStorage,
)

from ai.phantom import Patient, begin
from dicom.uid import derive

_BEGUN: Final = datetime(2026, 3, 2, 9, 30, 0, tzinfo=UTC)
_THICKNESS_MM: Final = 0.004


class Coding(StrEnum):
    """How tiles are written."""

    NATIVE = "native"
    JPEG = "jpeg"
    JPEG2000 = "jpeg2000"


_SYNTAX: Final = {
    Coding.NATIVE: ExplicitVRLittleEndian,
    Coding.JPEG: JPEGBaseline8Bit,
    Coding.JPEG2000: JPEG2000Lossless,
}


@dataclass(frozen=True, slots=True)
class Making:
    """What all objects of a slide have in common."""

    patient: Patient
    label: str
    coding: Coding
    is_sparse: bool


@dataclass(frozen=True, slots=True)
class Level:
    """One object: a level of the pyramid, or an image beside it."""

    number: int
    size: int
    """Rows and columns of the whole."""
    tile: int
    pixel_mm: float
    flavour: str = ""
    """"LABEL" of the paper label's image."""


def uids(label: str) -> dict[str, str]:
    """Give the UIDs of a phantom."""
    return {
        kind: derive("phantom slide", label, kind)
        for kind in ("study", "series", "frame", "pyramid", "dimensions")
    }


def dataset(made: Making, level: Level, places: Sequence[tuple[int, int]]) -> Dataset:
    """Make an object without its pixels; `places` are the tiles' rows and columns, from 0."""
    ds = begin(VLWholeSlideMicroscopyImageStorage, made.patient, _SYNTAX[made.coding])
    ds.SOPInstanceUID = derive("phantom slide", made.label, "instance", str(level.number))
    _identify(ds, made, level)
    _describe_image(ds, made, level, len(places))
    _describe_specimen(ds, made.label)
    _describe_light(ds)
    _group(ds, made, level, places)
    return ds


def _identify(ds: Dataset, made: Making, level: Level) -> None:
    known = uids(made.label)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = known["study"], known["series"]
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = known["frame"], "SLIDE_CORNER"
    ds.StudyID, ds.SeriesNumber, ds.InstanceNumber = "1", 1, level.number + 1
    ds.Modality = "SM"
    ds.StudyDescription = "Ki-67, breast"
    ds.SeriesDescription = "Slide phantom, H-DAB"
    date, clock = _BEGUN.strftime("%Y%m%d"), _BEGUN.strftime("%H%M%S")
    ds.StudyDate = ds.SeriesDate = ds.ContentDate = date
    ds.StudyTime = ds.SeriesTime = ds.ContentTime = clock
    ds.AcquisitionDateTime = date + clock
    ds.Manufacturer, ds.ManufacturerModelName = "Penumbra", "Slide phantom"
    ds.DeviceSerialNumber, ds.SoftwareVersions = "1", "1"


def _describe_image(ds: Dataset, made: Making, level: Level, frames: int) -> None:
    derived = "DERIVED" if level.number and not level.flavour else "ORIGINAL"
    flavour = level.flavour or "VOLUME"
    ds.ImageType = [derived, "PRIMARY", flavour, "RESAMPLED" if derived == "DERIVED" else "NONE"]
    ds.ImagedVolumeWidth = ds.ImagedVolumeHeight = level.size * level.pixel_mm
    ds.ImagedVolumeDepth = _THICKNESS_MM * 1000  # in micrometres
    ds.TotalPixelMatrixColumns = ds.TotalPixelMatrixRows = level.size
    origin = Dataset()
    origin.XOffsetInSlideCoordinateSystem = 20.0
    origin.YOffsetInSlideCoordinateSystem = 40.0
    ds.TotalPixelMatrixOriginSequence = [origin]
    ds.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "YBR_FULL_422" if made.coding is Coding.JPEG else "RGB"
    ds.NumberOfFrames, ds.Rows, ds.Columns = frames, level.tile, level.tile
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 8, 8, 7, 0
    ds.VolumetricProperties, ds.BurnedInAnnotation = "VOLUME", "NO"
    ds.SpecimenLabelInImage = "YES" if level.flavour == "LABEL" else "NO"
    if level.flavour == "LABEL":
        ds.LabelText, ds.BarcodeValue = "", ""
    ds.FocusMethod, ds.ExtendedDepthOfField = "AUTO", "NO"
    ds.NumberOfOpticalPaths, ds.TotalPixelMatrixFocalPlanes = 1, 1
    ds.LossyImageCompression = "01" if made.coding is Coding.JPEG else "00"
    if made.coding is Coding.JPEG:
        ds.LossyImageCompressionRatio = 10
        ds.LossyImageCompressionMethod = "ISO_10918_1"
    ds.AcquisitionContextSequence = []


def _describe_specimen(ds: Dataset, label: str) -> None:
    ds.ContainerIdentifier = "S26-1"
    ds.IssuerOfTheContainerIdentifierSequence = []
    ds.ContainerTypeCodeSequence = [_code("433466003", "SCT", "Microscope slide")]
    specimen = Dataset()
    specimen.SpecimenIdentifier = "S26-1-A"
    specimen.SpecimenUID = derive("phantom slide", label, "specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence = []
    specimen.SpecimenPreparationSequence = []
    specimen.PrimaryAnatomicStructureSequence = [_code("76752008", "SCT", "Breast")]
    ds.SpecimenDescriptionSequence = [specimen]


def _describe_light(ds: Dataset) -> None:
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    path.IlluminationTypeCodeSequence = [_code("111744", "DCM", "Brightfield illumination")]
    path.IlluminationColorCodeSequence = [_code("414298005", "SCT", "Full Spectrum")]
    path.ICCProfile, path.ColorSpace = _profile(), "SRGB"
    ds.OpticalPathSequence = [path]


def _group(ds: Dataset, made: Making, level: Level, places: Sequence[tuple[int, int]]) -> None:
    is_sparse = made.is_sparse and not level.flavour
    ds.DimensionOrganizationType = "TILED_SPARSE" if is_sparse else "TILED_FULL"
    organisation = Dataset()
    organisation.DimensionOrganizationUID = uids(made.label)["dimensions"]
    ds.DimensionOrganizationSequence = [organisation]
    if is_sparse:
        ds.DimensionIndexSequence = [
            _index(organisation.DimensionOrganizationUID, 0x0048021F),  # row
            _index(organisation.DimensionOrganizationUID, 0x0048021E),  # column
        ]
    measures = Dataset()
    measures.SliceThickness = _THICKNESS_MM
    measures.PixelSpacing = [level.pixel_mm, level.pixel_mm]
    kind = Dataset()
    kind.FrameType = list(ds.ImageType)
    path = Dataset()
    path.OpticalPathIdentifier = "1"
    shared = Dataset()
    shared.PixelMeasuresSequence = [measures]
    shared.WholeSlideMicroscopyImageFrameTypeSequence = [kind]
    shared.OpticalPathIdentificationSequence = [path]
    ds.SharedFunctionalGroupsSequence = [shared]
    if is_sparse:
        frames = [_frame(level, row, column) for row, column in places]
        ds.PerFrameFunctionalGroupsSequence = frames


def _index(organisation: str, pointer: int) -> Dataset:
    item = Dataset()
    item.DimensionOrganizationUID = organisation
    item.DimensionIndexPointer = pointer
    item.FunctionalGroupPointer = 0x0048021A  # Plane Position (Slide)
    return item


def _frame(level: Level, row: int, column: int) -> Dataset:
    place = Dataset()
    place.ColumnPositionInTotalImagePixelMatrix = column + 1
    place.RowPositionInTotalImagePixelMatrix = row + 1
    # Rows run along -y of the slide and columns along -x (ImageOrientationSlide).
    place.XOffsetInSlideCoordinateSystem = round(20.0 - row * level.pixel_mm, 6)
    place.YOffsetInSlideCoordinateSystem = round(40.0 - column * level.pixel_mm, 6)
    place.ZOffsetInSlideCoordinateSystem = 0.0
    content = Dataset()
    content.DimensionIndexValues = [row // level.tile + 1, column // level.tile + 1]
    frame = Dataset()
    frame.FrameContentSequence = [content]
    frame.PlanePositionSlideSequence = [place]
    return frame


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _profile() -> bytes:
    """Make the profile of sRGB, without the time at which it was made (ICC.1 7.2)."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = _BEGUN.year.to_bytes(2, "big") + b"\0\1\0\1" + b"\0" * 6
    profile[84:100] = b"\0" * 16
    return bytes(profile)
