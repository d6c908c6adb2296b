"""Build Parametric Maps of heat maps (PS3.3 A.75): float values over a stack, in its geometry.

A map that would be large is made coarser by averaging whole blocks of pixels, and says so in its
pixel spacing. Images without a place in space have no such object: their heat maps are drawn into
key images.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import ParametricMapStorage

from ai.contract import Code
from ai.findings import Heatmap
from ai.header import Plane
from ai.report import codes, multiframe
from ai.report.envelope import Envelope
from ai.report.original import code_string, copy_lossy
from ai.report.survey import is_placed
from ai.report.words import line
from ai.result import Result, ResultKind

LIMIT_BYTES: Final = 32 << 20
"""A larger map is made coarser: a model's own array is seldom finer than that."""
_POSITION: Final = (Tag("ImagePositionPatient"), Tag("PlanePositionSequence"))


def build(envelope: Envelope) -> tuple[tuple[Heatmap, Result], ...]:
    """Make a Parametric Map of each heat map of a stack that is not zero everywhere."""
    if not is_placed(envelope.subject.source):
        return ()
    maps = [finding for finding in envelope.subject.findings if isinstance(finding, Heatmap)]
    made = []
    for number, heat in enumerate(maps, start=1):
        if frames := [i for i, values in enumerate(heat.values) if np.any(values)]:
            made.append((heat, _object(envelope, heat, frames, number)))
    return tuple(made)


def _object(envelope: Envelope, heat: Heatmap, images: Sequence[int], number: int) -> Result:
    source = envelope.subject.source
    factor = coarseness(source.planes[images[0]].shape, len(images))
    pixels = np.stack([coarse(heat.values[image], factor) for image in images])
    ds = envelope.begin(
        ResultKind.PM,
        ParametricMapStorage,
        code_string(source.head, "Modality") or "OT",
        number=number,
        part=f"{number} {heat.output}",
    )
    _add_image(ds, envelope, heat, pixels)
    _add_groups(ds, envelope, heat, images, factor)
    multiframe.add_instance_reference(ds, envelope, images)
    envelope.explain(ds, codes.of(heat))
    ds.FloatPixelData = pixels.astype("<f4").tobytes()
    return envelope.seal(ds, ResultKind.PM)


def coarseness(shape: tuple[int, int], frames: int) -> int:
    """Give the least whole factor by which frames of a shape become small enough together."""
    factor = 1
    while 4 * frames * -(-shape[0] // factor) * -(-shape[1] // factor) > LIMIT_BYTES:
        factor += 1
    return factor


def coarse(values: npt.NDArray[np.float32], factor: int) -> npt.NDArray[np.float32]:
    """Average blocks of `factor` x `factor` values; the last row and column fill the edge."""
    if factor == 1:
        return values
    rows, columns = (-(-length // factor) for length in values.shape)
    pad = ((0, rows * factor - values.shape[0]), (0, columns * factor - values.shape[1]))
    blocks = np.pad(values, pad, mode="edge").reshape(rows, factor, columns, factor)
    averaged: npt.NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return averaged


def _add_image(
    ds: Dataset, envelope: Envelope, heat: Heatmap, pixels: npt.NDArray[np.float32]
) -> None:
    """Add Parametric Map Image and Pixel modules (PS3.3 C.8.23.2, C.7.6.24)."""
    ds.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    ds.ContentLabel = "AI_MAP"
    ds.ContentDescription = line(heat.title.meaning)
    ds.ContentCreatorName = ""
    ds.ContentQualification = "RESEARCH"
    ds.BurnedInAnnotation = "NO"
    ds.RecognizableVisualFeatures = "NO"
    ds.PresentationLUTShape = "IDENTITY"
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.NumberOfFrames, ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated = 32
    ds.AcquisitionContextSequence = []
    copy_lossy(ds, envelope.subject.source.head)


def _add_groups(
    ds: Dataset, envelope: Envelope, heat: Heatmap, images: Sequence[int], factor: int
) -> None:
    source = envelope.subject.source
    multiframe.add_frame_of_reference(ds, source)
    multiframe.add_dimensions(ds, [_POSITION])
    first = _coarser(source.planes[images[0]], factor)
    shared = Dataset()
    shared.PixelMeasuresSequence = [multiframe.measures(first, source)]
    shared.PlaneOrientationSequence = [multiframe.orientation(first)]
    shared.PixelValueTransformationSequence = [_identity()]
    shared.FrameVOILUTSequence = [_window(heat)]
    shared.RealWorldValueMappingSequence = [_meaning(heat)]
    shared.ParametricMapFrameTypeSequence = [_frame_type()]
    ds.SharedFunctionalGroupsSequence = [shared]
    ds.PerFrameFunctionalGroupsSequence = []
    for place, image in enumerate(images, start=1):
        plane = _coarser(source.planes[image], factor)
        item = Dataset()
        item.FrameContentSequence = [multiframe.content([place])]
        item.PlanePositionSequence = [multiframe.position(plane)]
        item.DerivationImageSequence = [
            multiframe.derivation(
                source.references[image], codes.ARTIFICIAL_INTELLIGENCE, in_place=factor == 1
            )
        ]
        ds.PerFrameFunctionalGroupsSequence.append(item)


def _coarser(plane: Plane, factor: int) -> Plane:
    """Give the plane of a coarser image: larger pixels, the first one's middle further in."""
    assert plane.spacing_mm is not None
    assert plane.position is not None
    assert plane.row is not None
    assert plane.column is not None
    down, right = ((factor - 1) / 2 * spacing for spacing in plane.spacing_mm)
    x, y, z = (
        start + right * along + down * below
        for start, along, below in zip(plane.position, plane.row, plane.column, strict=True)
    )
    rows, columns = (-(-length // factor) for length in plane.shape)
    between_rows, between_columns = plane.spacing_mm
    return Plane(
        shape=(rows, columns),
        spacing_mm=(between_rows * factor, between_columns * factor),
        position=(x, y, z),
        row=plane.row,
        column=plane.column,
    )


def _identity() -> Dataset:
    item = Dataset()
    item.RescaleIntercept, item.RescaleSlope, item.RescaleType = "0", "1", "US"
    return item


def _window(heat: Heatmap) -> Dataset:
    low = min(float(np.min(values)) for values in heat.values)
    high = max(float(np.max(values)) for values in heat.values)
    item = Dataset()
    item.WindowCenter = multiframe.decimal((low + high) / 2)
    item.WindowWidth = multiframe.decimal(max(high - low, 1e-6))
    item.VOILUTFunction = "LINEAR_EXACT"
    return item


def _meaning(heat: Heatmap) -> Dataset:
    """Make a Real World Value Mapping item (PS3.3 C.7.6.16.2.11): values are in their unit."""
    bound = float(np.finfo(np.float32).max)
    item = Dataset()
    item.DoubleFloatRealWorldValueFirstValueMapped = -bound
    item.DoubleFloatRealWorldValueLastValueMapped = bound
    item.RealWorldValueIntercept, item.RealWorldValueSlope = 0.0, 1.0
    item.LUTExplanation = line(heat.title.meaning)
    item.LUTLabel = line(heat.output, 16) or "MAP"
    item.MeasurementUnitsCodeSequence = [codes.coded(heat.unit or codes.NO_UNITS)]
    item.QuantityDefinitionSequence = [_quantity(heat.title)]
    return item


def _quantity(title: Code) -> Dataset:
    item = Dataset()
    item.ValueType = "CODE"
    item.ConceptNameCodeSequence = [codes.coded(codes.QUANTITY)]
    item.ConceptCodeSequence = [codes.coded(title)]
    return item


def _frame_type() -> Dataset:
    item = Dataset()
    item.FrameType = ["DERIVED", "PRIMARY", "VOLUME", "NONE"]
    return item
