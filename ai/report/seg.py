"""Build Segmentations of masks (PS3.3 A.51): one of a stack, or one for each image without a place.

Binary, uncompressed, and without empty frames: what every reader of the SOP class understands.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from highdicom.color import CIELabColor
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import SegmentationStorage

from ai.contract import Code
from ai.picture import COLOURS
from ai.report import codes, multiframe
from ai.report.envelope import Envelope
from ai.report.original import copy_lossy, patient_orientation
from ai.report.survey import Patch, Region, is_placed, is_slide
from ai.report.words import line
from ai.result import Result, ResultKind
from dicom.uid import derive

_SEGMENT_NUMBER: Final = (Tag("ReferencedSegmentNumber"), Tag("SegmentIdentificationSequence"))
_POSITION: Final = (Tag("ImagePositionPatient"), Tag("PlanePositionSequence"))


@dataclass(frozen=True, slots=True)
class Segmented:
    """Where a region went."""

    region: Region
    result: Result
    segment: int
    image: int | None
    """The one image that the object is about; None for a whole stack."""


@dataclass(frozen=True, slots=True)
class _Frame:
    segment: int
    patch: Patch


def build(envelope: Envelope, regions: Sequence[Region]) -> tuple[Segmented, ...]:
    """Make the Segmentations of all regions that are not empty; none of a whole-slide image."""
    found = [region for region in regions if region.patches]
    source = envelope.subject.source
    if not found or is_slide(source):
        return ()
    if is_placed(source):
        return tuple(_segmented(envelope, found, None, 1))
    images = sorted({patch.image for region in found for patch in region.patches})
    return tuple(
        placed
        for number, image in enumerate(images, start=1)
        for placed in _segmented(envelope, found, image, number)
    )


def tracking_uid(envelope: Envelope, region: Region) -> str:
    """Give the UID under which report and Segmentation speak of the same region."""
    return derive(
        envelope.series_uid(ResultKind.SEG),
        envelope.digest,
        "tracking",
        region.mask.output,
        str(region.number),
    )


def colour(number: int) -> tuple[int, int, int]:
    """Give a segment's colour as unsigned CIELab integers (PS3.3 C.10.7.1.1)."""
    return CIELabColor.from_rgb(*COLOURS[(number - 1) % len(COLOURS)]).value


def _segmented(
    envelope: Envelope, regions: Sequence[Region], image: int | None, number: int
) -> Iterator[Segmented]:
    held = [
        region
        for region in regions
        if image is None or any(patch.image == image for patch in region.patches)
    ]
    result = _object(envelope, held, image, number)
    for segment, region in enumerate(held, start=1):
        yield Segmented(region, result, segment, image)


def _object(
    envelope: Envelope, regions: Sequence[Region], image: int | None, number: int
) -> Result:
    source = envelope.subject.source
    frames = [
        _Frame(segment, patch)
        for segment, region in enumerate(regions, start=1)
        for patch in region.patches
        if image is None or patch.image == image
    ]
    part = "" if image is None else source.references[image].sop_instance_uid
    ds = envelope.begin(ResultKind.SEG, SegmentationStorage, "SEG", number=number, part=part)
    _add_image(ds, envelope, frames)
    ds.SegmentationType = "BINARY"
    one_mask = len({id(region.mask) for region in regions}) == 1
    ds.SegmentsOverlap = "NO" if one_mask else "UNDEFINED"
    ds.SegmentSequence = [
        _segment(envelope, region, segment) for segment, region in enumerate(regions, start=1)
    ]
    _add_groups(ds, envelope, frames)
    multiframe.add_instance_reference(ds, envelope, sorted({frame.patch.image for frame in frames}))
    envelope.explain(ds, [code for region in regions for code in codes.of(region.mask)])
    ds.PixelData = _pixels([frame.patch.bits for frame in frames], ds.Rows * ds.Columns)
    ds["PixelData"].VR = "OB"
    return envelope.seal(ds, ResultKind.SEG)


def _add_image(ds: Dataset, envelope: Envelope, frames: Sequence[_Frame]) -> None:
    source = envelope.subject.source
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.ContentLabel = "AI_SEGMENTATION"
    ds.ContentDescription = line(envelope.subject.contract.algorithm)
    ds.ContentCreatorName = ""
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = source.planes[frames[0].patch.image].shape
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = ds.PixelRepresentation = 0
    ds.NumberOfFrames = len(frames)
    head = source.head_of(frames[0].patch.image)
    copy_lossy(ds, head)
    if not is_placed(source):
        ds.PatientOrientation = patient_orientation(head)


def _segment(envelope: Envelope, region: Region, number: int) -> Dataset:
    """Make an item of the Segment Sequence (PS3.3 C.8.20.4)."""
    contract, name = envelope.subject.contract, region.segment.name
    item = Dataset()
    item.SegmentNumber = number
    item.SegmentLabel = line(name.meaning)
    item.SegmentAlgorithmType = "AUTOMATIC"
    item.SegmentAlgorithmName = line(contract.algorithm)
    item.SegmentationAlgorithmIdentificationSequence = [_algorithm(envelope)]
    item.SegmentedPropertyCategoryCodeSequence = [
        codes.coded(region.segment.category or codes.ANATOMY)
    ]
    item.SegmentedPropertyTypeCodeSequence = [codes.coded(name)]
    if region.mask.site:
        item.AnatomicRegionSequence = [codes.coded(region.mask.site)]
    item.TrackingID = tracking_identifier(contract.algorithm, name)
    item.TrackingUID = tracking_uid(envelope, region)
    item.RecommendedDisplayCIELabValue = list(colour(number))
    return item


def tracking_identifier(algorithm: str, name: Code) -> str:
    """Name what is followed, as report and Segmentation both do."""
    return line(f"{algorithm}: {name.meaning}")


def _algorithm(envelope: Envelope) -> Dataset:
    """Make an Algorithm Identification item (PS3.3 Table 10-19)."""
    contract = envelope.subject.contract
    item = Dataset()
    item.AlgorithmFamilyCodeSequence = [codes.coded(codes.ARTIFICIAL_INTELLIGENCE)]
    item.AlgorithmName = line(contract.algorithm)
    item.AlgorithmVersion = line(contract.algorithm_version) or "unknown"
    item.AlgorithmSource = codes.MANUFACTURER
    return item


def _add_groups(ds: Dataset, envelope: Envelope, frames: Sequence[_Frame]) -> None:
    source = envelope.subject.source
    plane = source.planes[frames[0].patch.image]
    placed = is_placed(source)
    shared = Dataset()
    if placed:
        shared.PixelMeasuresSequence = [multiframe.measures(plane, source)]
        multiframe.add_frame_of_reference(ds, source)
        shared.PlaneOrientationSequence = [multiframe.orientation(plane)]
    ds.SharedFunctionalGroupsSequence = [shared]
    multiframe.add_dimensions(ds, [_SEGMENT_NUMBER, _POSITION] if placed else [_SEGMENT_NUMBER])
    images = sorted({frame.patch.image for frame in frames})
    places = {image: place for place, image in enumerate(images, start=1)}
    identities = {frame.segment: _identity(frame.segment) for frame in frames}
    derived = {
        image: multiframe.derivation(source.references[image], codes.SEGMENTATION)
        for image in images
    }
    groups = []
    for frame in frames:
        image = frame.patch.image
        at = [frame.segment, places[image]] if placed else [frame.segment]
        item = Dataset()
        item.FrameContentSequence = [multiframe.content(at)]
        item.DerivationImageSequence = [derived[image]]
        item.SegmentIdentificationSequence = [identities[frame.segment]]
        if placed:
            item.PlanePositionSequence = [multiframe.position(source.planes[image])]
        groups.append(item)
    ds.PerFrameFunctionalGroupsSequence = groups


def _identity(segment: int) -> Dataset:
    item = Dataset()
    item.ReferencedSegmentNumber = segment
    return item


def _pixels(frames: Sequence[bytes], pixels: int) -> bytes:
    """Join frames of packed bits; one follows the other without a gap (PS3.5 8.1.1)."""
    if pixels % 8 == 0:
        joined = b"".join(frames)
    else:
        bits = [
            np.unpackbits(np.frombuffer(frame, np.uint8), count=pixels, bitorder="little")
            for frame in frames
        ]
        joined = np.packbits(np.concatenate(bits), bitorder="little").tobytes()
    return joined + b"\0" * (len(joined) % 2)
