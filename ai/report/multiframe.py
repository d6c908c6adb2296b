"""Functional groups of multi-frame results (PS3.3 C.7.6.16): where a frame lies, what it came from.

Written element by element: the same through a general library takes several times as long for a
stack of 300 frames, and refuses originals for slips that do not matter here.
"""

from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds

from ai.contract import Code
from ai.header import Plane, Reference, Source
from ai.report import codes
from ai.report.envelope import Envelope, referenced
from ai.report.original import first_number
from dicom.part10 import text
from dicom.uid import derive

Pointers = Sequence[tuple[int, int]]
"""Tags of the dimensions: of the attribute, and of the functional group that it stands in."""


def decimal(value: float) -> str:
    """Write a number for VR DS: at most 16 characters (PS3.5 6.2)."""
    return str(format_number_as_ds(float(value)))


def measures(plane: Plane, source: Source) -> Dataset:
    """Make a Pixel Measures item (PS3.3 C.7.6.16.2.1). The plane has a spacing."""
    assert plane.spacing_mm is not None
    item = Dataset()
    item.PixelSpacing = [decimal(value) for value in plane.spacing_mm]
    if thickness_mm := source.thickness_mm or first_number(source.head, "SliceThickness"):
        item.SliceThickness = decimal(thickness_mm)
    if source.thickness_mm:
        item.SpacingBetweenSlices = decimal(source.thickness_mm)
    return item


def orientation(plane: Plane) -> Dataset:
    """Make a Plane Orientation item (PS3.3 C.7.6.16.2.4). The plane has a place."""
    assert plane.row is not None
    assert plane.column is not None
    item = Dataset()
    item.ImageOrientationPatient = [decimal(value) for value in (*plane.row, *plane.column)]
    return item


def position(plane: Plane) -> Dataset:
    """Make a Plane Position item (PS3.3 C.7.6.16.2.3). The plane has a place."""
    assert plane.position is not None
    item = Dataset()
    item.ImagePositionPatient = [decimal(value) for value in plane.position]
    return item


def content(values: Sequence[int]) -> Dataset:
    """Make a Frame Content item (PS3.3 C.7.6.16.2.2) with a frame's place in the dimensions."""
    item = Dataset()
    item.DimensionIndexValues = list(values) if len(values) > 1 else values[0]
    return item


def derivation(reference: Reference, how: Code, *, in_place: bool = True) -> Dataset:
    """Make a Derivation Image item (PS3.3 C.7.6.16.2.6): from which original a frame was made.

    `in_place` says that each pixel lies where the original's does.
    """
    source = referenced(reference)
    source.PurposeOfReferenceCodeSequence = [codes.coded(codes.SOURCE_IMAGE)]
    source.SpatialLocationsPreserved = "YES" if in_place else "NO"
    item = Dataset()
    item.SourceImageSequence = [source]
    item.DerivationCodeSequence = [codes.coded(how)]
    return item


def add_dimensions(ds: Dataset, pointers: Pointers) -> None:
    """Add the Multi-frame Dimension module (PS3.3 C.7.6.17)."""
    uid = derive(ds.SOPInstanceUID, "dimensions")
    organization = Dataset()
    organization.DimensionOrganizationUID = uid
    ds.DimensionOrganizationSequence = [organization]
    ds.DimensionIndexSequence = []
    for pointer, group in pointers:
        item = Dataset()
        item.DimensionOrganizationUID = uid
        item.DimensionIndexPointer = pointer
        item.FunctionalGroupPointer = group
        ds.DimensionIndexSequence.append(item)


def add_frame_of_reference(ds: Dataset, source: Source) -> None:
    """Add the Frame of Reference module (PS3.3 C.7.4.1): the originals' own."""
    ds.FrameOfReferenceUID = source.frame_of_reference_uid
    ds.PositionReferenceIndicator = text(source.head, "PositionReferenceIndicator")


def add_instance_reference(ds: Dataset, envelope: Envelope, images: Iterable[int]) -> None:
    """Add the Common Instance Reference module (PS3.3 C.12.2): the originals that were used."""
    source = envelope.subject.source
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    series.ReferencedInstanceSequence = [referenced(source.references[i]) for i in images]
    ds.ReferencedSeriesSequence = [series]
