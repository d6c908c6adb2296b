"""Build a Grayscale Softcopy Presentation State (PS3.3 A.33.1): findings as lines over originals.

Outlines of masks, boxes and points with their labels on their images, numbers in a corner of all.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import GrayscaleSoftcopyPresentationStateStorage
from pydicom.valuerep import DA, TM

from ai.contract import Code
from ai.findings import Box, Point
from ai.header import Source
from ai.report.envelope import Envelope, referenced
from ai.report.multiframe import decimal
from ai.report.original import code_string, first_number
from ai.report.outline import Ring, outlines
from ai.report.seg import colour
from ai.report.survey import Region, is_slide
from ai.report.words import CAUTION, line, numbers, paragraph
from ai.result import Result, ResultKind
from dicom.part10 import text

_MOST_RINGS: Final = 50
"""Of one segment on one image, the longest; a mask of thousands of specks stays readable."""
_SHORT_TEXT: Final = 1024
_CORNER: Final = (0.02, 0.02, 0.6, 0.3)
"""Where the numbers stand: left, top, right, bottom of the displayed area."""
# Values of these are rescaled in each image by a rule of its own, which one object cannot hold.
_RESCALED_APART: Final = frozenset({"PT", "NM"})
_OF_VALUES: Final = ("RescaleSlope", "RescaleIntercept", "PhotometricInterpretation")

Marks = Mapping[int, Sequence[tuple[Code, Dataset]]]


def build(envelope: Envelope, regions: Sequence[Region]) -> Result | None:
    """Make the presentation state; None where there is nothing to draw, or images have colours."""
    source = envelope.subject.source
    samples = text(source.head, "SamplesPerPixel")
    if is_slide(source) or samples not in {"", "1"}:
        return None
    if text(source.head, "Modality") in _RESCALED_APART or not _are_shown_alike(source):
        return None
    marks = _marks(envelope, regions)
    words = "\r\n".join(numbers(envelope.subject.findings))
    if not marks and not words:
        return None
    layers = {
        name: f"AI_{number}"
        for number, name in enumerate(
            dict.fromkeys(name for image in marks.values() for name, _ in image), start=1
        )
    }
    ds = envelope.begin(ResultKind.GSPS, GrayscaleSoftcopyPresentationStateStorage, "PR", number=1)
    _add_identification(ds, envelope)
    shown = range(len(source.references)) if words else sorted(marks)
    _add_references(ds, envelope, shown)
    _add_display(ds, envelope, shown)
    _add_values(ds, source.head)
    _add_windows(ds, source, shown)
    ds.GraphicAnnotationSequence = list(_annotations(envelope, marks, words, layers))
    ds.GraphicLayerSequence = [
        *(_layer(layer, number) for number, layer in enumerate(layers.values(), start=1)),
        *([_layer("AI_TEXT", len(layers) + 1)] if words else []),
    ]
    return envelope.seal(ds, ResultKind.GSPS)


def _marks(envelope: Envelope, regions: Sequence[Region]) -> Marks:
    marks: dict[int, list[tuple[Code, Dataset]]] = defaultdict(list)
    for region in regions:
        name = region.segment.name
        for patch in region.patches:
            found = _rings(envelope, region, patch.image)
            marks[patch.image] += [(name, _polyline(ring)) for ring in found]
            if patch is region.largest and found:
                marks[patch.image].append((name, _label(name.meaning, *_top(found[0]))))
    for finding in envelope.subject.findings:
        if isinstance(finding, Box):
            label = f"{finding.name.meaning} {finding.score:.2f}"
            marks[finding.image] += [
                (finding.name, _polyline(_corners(finding))),
                (finding.name, _label(label, finding.left, finding.top)),
            ]
        elif isinstance(finding, Point):
            label = f"{finding.name.meaning} {finding.score:.2f}"
            at = (finding.column, finding.row)
            marks[finding.image] += [
                (finding.name, _graphic("POINT", np.array([at]))),
                (finding.name, _label(label, *at)),
            ]
    return marks


def _rings(envelope: Envelope, region: Region, image: int) -> list[Ring]:
    labels = region.mask.labels[image]
    inside = labels == region.number
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    near = inside[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    shape = envelope.subject.source.planes[image].shape
    # A mask may have been laid over a smaller copy of the image.
    scale = np.array([shape[1] / labels.shape[1], shape[0] / labels.shape[0]])
    offset = np.array([columns[0], rows[0]])
    return [(ring + offset) * scale for ring in outlines(near)[:_MOST_RINGS]]


def _corners(box: Box) -> Ring:
    return np.array(
        [
            (box.left, box.top),
            (box.right, box.top),
            (box.right, box.bottom),
            (box.left, box.bottom),
            (box.left, box.top),
        ]
    )


def _top(ring: Ring) -> tuple[float, float]:
    column, row = ring[int(np.argmin(ring[:, 1]))]
    return float(column), float(row)


def _graphic(kind: str, points: Ring) -> Dataset:
    """Make a Graphic Object item (PS3.3 C.10.5); its pixel units count from the outer edge."""
    item = Dataset()
    item.GraphicAnnotationUnits = "PIXEL"
    item.GraphicDimensions = 2
    item.NumberOfGraphicPoints = len(points)
    item.GraphicData = [float(value) for value in points.astype(np.float32).ravel()]
    item.GraphicType = kind
    return item


def _polyline(ring: Ring) -> Dataset:
    item = _graphic("POLYLINE", ring)
    item.GraphicFilled = "N"
    return item


def _label(words: str, column: float, row: float) -> Dataset:
    item = Dataset()
    item.UnformattedTextValue = paragraph(words, _SHORT_TEXT)
    item.AnchorPointAnnotationUnits = "PIXEL"
    item.AnchorPoint = [float(column), float(row)]
    item.AnchorPointVisibility = "N"
    return item


def _corner(words: str) -> Dataset:
    item = Dataset()
    item.BoundingBoxAnnotationUnits = "DISPLAY"
    item.UnformattedTextValue = paragraph(f"{CAUTION.capitalize()}\n{words}", _SHORT_TEXT)
    left, top, right, bottom = _CORNER
    item.BoundingBoxTopLeftHandCorner = [left, top]
    item.BoundingBoxBottomRightHandCorner = [right, bottom]
    item.BoundingBoxTextHorizontalJustification = "LEFT"
    return item


def _annotations(
    envelope: Envelope, marks: Marks, words: str, layers: Mapping[Code, str]
) -> Iterator[Dataset]:
    references = envelope.subject.source.references
    for image in sorted(marks):
        for name, layer in layers.items():
            drawn = [mark for code, mark in marks[image] if code == name]
            texts = [mark for mark in drawn if "UnformattedTextValue" in mark]
            graphics = [mark for mark in drawn if "GraphicData" in mark]
            if drawn:
                item = Dataset()
                item.ReferencedImageSequence = [referenced(references[image])]
                item.GraphicLayer = layer
                if texts:
                    item.TextObjectSequence = texts
                if graphics:
                    item.GraphicObjectSequence = graphics
                yield item
    if words:  # without references it is about all images
        item = Dataset()
        item.GraphicLayer = "AI_TEXT"
        item.TextObjectSequence = [_corner(words)]
        yield item


def _layer(name: str, number: int) -> Dataset:
    item = Dataset()
    item.GraphicLayer = name
    item.GraphicLayerOrder = number
    item.GraphicLayerRecommendedDisplayCIELabValue = list(colour(number))
    return item


def _add_identification(ds: Dataset, envelope: Envelope) -> None:
    """Add the Presentation State Identification module (PS3.3 C.11.10)."""
    ds.ContentLabel = "AI_FINDINGS"
    ds.ContentDescription = line(envelope.subject.contract.algorithm)
    ds.ContentCreatorName = ""
    ds.PresentationCreationDate = DA(envelope.moment.date())
    ds.PresentationCreationTime = TM(envelope.moment.time())
    # The module Presentation State has no content date; it would be an attribute too many.
    del ds.ContentDate, ds.ContentTime


def _add_references(ds: Dataset, envelope: Envelope, images: Sequence[int]) -> None:
    """Add the Presentation State Relationship module (PS3.3 C.11.11)."""
    source = envelope.subject.source
    series = Dataset()
    series.SeriesInstanceUID = source.series_instance_uid
    series.ReferencedImageSequence = [referenced(source.references[i]) for i in images]
    ds.ReferencedSeriesSequence = [series]


def _add_display(ds: Dataset, envelope: Envelope, images: Sequence[int]) -> None:
    """Add the Displayed Area module (PS3.3 C.10.4): each image whole."""
    source = envelope.subject.source
    shapes: dict[tuple[int, int], list[int]] = defaultdict(list)
    for image in images:
        shapes[source.planes[image].shape].append(image)
    ds.DisplayedAreaSelectionSequence = []
    for (rows, columns), members in shapes.items():
        item = Dataset()
        if len(shapes) > 1:
            item.ReferencedImageSequence = [referenced(source.references[i]) for i in members]
        item.DisplayedAreaTopLeftHandCorner = [1, 1]
        item.DisplayedAreaBottomRightHandCorner = [columns, rows]
        item.PresentationSizeMode = "SCALE TO FIT"
        spacing = source.planes[members[0]].spacing_mm
        if spacing is None:
            item.PresentationPixelAspectRatio = ["1", "1"]
        else:
            item.PresentationPixelSpacing = [decimal(value) for value in spacing]
        ds.DisplayedAreaSelectionSequence.append(item)


def _add_values(ds: Dataset, head: Dataset) -> None:
    """Add how stored values become grey: as the original says it (PS3.3 C.11.1, C.11.6).

    Nothing of it may be left to the original, which a viewer no longer asks.
    """
    slope = first_number(head, "RescaleSlope")
    if "ModalityLUTSequence" in head:
        ds.ModalityLUTSequence = head.ModalityLUTSequence
    elif slope is not None:
        ds.RescaleIntercept = decimal(first_number(head, "RescaleIntercept") or 0.0)
        ds.RescaleSlope = decimal(slope)
        ds.RescaleType = line(text(head, "RescaleType"), 16) or "US"
    is_inverse = text(head, "PhotometricInterpretation") == "MONOCHROME1"
    ds.PresentationLUTShape = "INVERSE" if is_inverse else "IDENTITY"


def _add_windows(ds: Dataset, source: Source, images: Sequence[int]) -> None:
    """Add the window or the table of each image (PS3.3 C.11.8)."""
    alike: list[tuple[Dataset, list[int]]] = []
    for image in images if source.heads else images[:1]:
        voi = _window(source.head_of(image))
        members = next((members for known, members in alike if known == voi), None)
        if members is None:
            alike.append((voi, [image]))
        else:
            members.append(image)
    for voi, members in alike:
        if voi and len(alike) > 1:
            voi.ReferencedImageSequence = [referenced(source.references[i]) for i in members]
    if found := [voi for voi, _ in alike if voi]:
        ds.SoftcopyVOILUTSequence = found


def _window(head: Dataset) -> Dataset:
    voi = Dataset()
    centre, width = (first_number(head, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is not None and width is not None and width >= 1:
        voi.WindowCenter, voi.WindowWidth = decimal(centre), decimal(width)
        if function := code_string(head, "VOILUTFunction"):
            voi.VOILUTFunction = function
    elif "VOILUTSequence" in head:
        voi.VOILUTSequence = head.VOILUTSequence
    return voi


def _are_shown_alike(source: Source) -> bool:
    """Whether one rescale and one photometric interpretation do, for an object holds no more."""
    tables = [head.get("ModalityLUTSequence") for head in source.heads]
    values = {tuple(text(head, keyword) for keyword in _OF_VALUES) for head in source.heads}
    return len(values) <= 1 and all(table == tables[0] for table in tables)
