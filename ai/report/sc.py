"""Build key images: Secondary Captures (PS3.3 A.8.1) with the findings drawn in.

For a PACS, or a person, that shows nothing else: the few images that tell most, as colours.
"""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset
from pydicom.uid import SecondaryCaptureImageStorage

from ai import picture
from ai.findings import Box, Heatmap, Measurement, Point, Text, Verdict
from ai.report import codes
from ai.report.envelope import Envelope, referenced
from ai.report.original import copy_lossy, first_number, patient_orientation
from ai.report.survey import Region, is_slide
from ai.report.words import CAUTION, line, numbers
from ai.result import Result, ResultKind
from dicom.part10 import text

Images = Callable[[int], npt.NDArray[Any]]
"""Gives the rescaled values (y, x), or colours (y, x, 3), of an image of the source."""

MOST: Final = 5
_LONGEST_SIDE: Final = 1024
"""A larger image is drawn smaller: it is a key image, not one to read from."""
_SLIDE_GREY: Final = 235


def build(
    envelope: Envelope, regions: Sequence[Region], images: Images | None
) -> tuple[tuple[int, Result], ...]:
    """Draw the most telling images, each with its number in the source.

    Of a whole-slide image there are heat maps alone, a pixel for each tile; of other images there
    are none without `images`.
    """
    source = envelope.subject.source
    if is_slide(source):
        return tuple(_slides(envelope))
    if images is None:
        return ()
    chosen = telling(envelope, regions)
    return tuple(
        (image, _key_image(envelope, image, number, images(image)))
        for number, image in enumerate(chosen, start=1)
    )


def telling(envelope: Envelope, regions: Sequence[Region]) -> list[int]:
    """Choose at most five images: where most of each segment is, best boxes and points, and so on.

    Where nothing has a place there is one from the middle, for the numbers.
    """
    found = dict.fromkeys(_candidates(envelope, regions))
    return sorted(list(found)[:MOST])


def _candidates(envelope: Envelope, regions: Sequence[Region]) -> Iterator[int]:
    findings = envelope.subject.findings
    for region in regions:
        if region.patches:
            yield region.largest.image
    marks = [finding for finding in findings if isinstance(finding, Box | Point)]
    yield from (mark.image for mark in sorted(marks, key=lambda mark: -mark.score))
    for finding in findings:
        if isinstance(finding, Heatmap):
            peaks = [float(np.max(values)) for values in finding.values]
            yield int(np.argmax(peaks))
    verdicts = [one for one in findings if isinstance(one, Verdict) and one.is_present]
    for verdict in sorted(verdicts, key=lambda one: -one.probability):
        if verdict.image is not None:
            yield verdict.image
    if any(isinstance(finding, Measurement | Verdict | Text) for finding in findings):
        yield len(envelope.subject.source.references) // 2


def _key_image(envelope: Envelope, image: int, number: int, values: npt.NDArray[Any]) -> Result:
    subject = envelope.subject
    shape = (int(values.shape[0]), int(values.shape[1]))
    head = subject.source.head_of(image)
    window = _window(head)
    if text(head, "PhotometricInterpretation") == "MONOCHROME1":
        values = -values.astype(np.float32)
        window = (-window[1], -window[0]) if window else None
    drawn = picture.draw(
        _smaller(values), subject.findings, image, window, _legend(envelope, image), shape=shape
    )
    return _object(envelope, [image], number, drawn)


def _slides(envelope: Envelope) -> Iterator[tuple[int, Result]]:
    source = envelope.subject.source
    maps = [finding for finding in envelope.subject.findings if isinstance(finding, Heatmap)]
    for number, heat in enumerate(maps[:MOST], start=1):
        shape = heat.values[0].shape
        paper = np.full((*shape, 3), _SLIDE_GREY, dtype=np.uint8)
        drawn = picture.draw(_smaller(paper), [heat], 0, None, _legend(envelope, None), shape=shape)
        every = range(len(source.references))
        yield 0, _object(envelope, list(every), number, drawn)


def _legend(envelope: Envelope, image: int | None) -> list[str]:
    contract, findings = envelope.subject.contract, envelope.subject.findings
    own = list(numbers(findings, image)) if image is not None else []
    # The caution comes first: a legend that is too long is cut at its end.
    made_by = f"{contract.algorithm} {contract.algorithm_version}: {CAUTION}"
    return [made_by, *own, *numbers(findings)]


def _smaller(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    step = -(-max(values.shape[:2]) // _LONGEST_SIDE)
    return values[::step, ::step]


def _window(head: Dataset) -> tuple[float, float] | None:
    centre, width = (first_number(head, keyword) for keyword in ("WindowCenter", "WindowWidth"))
    if centre is None or width is None or width <= 0:
        return None
    return (centre - width / 2, centre + width / 2)


def _object(
    envelope: Envelope, images: Sequence[int], number: int, drawn: npt.NDArray[np.uint8]
) -> Result:
    source = envelope.subject.source
    ds = envelope.begin(
        ResultKind.SC, SecondaryCaptureImageStorage, "OT", number=number, part=str(number)
    )
    ds.ConversionType = "WSD"
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.DerivationDescription = line(f"Findings of {envelope.subject.contract.algorithm} drawn in")
    head = source.head_of(images[0])
    ds.PatientOrientation = patient_orientation(head)
    # Where the original says nothing of what is burned in, nobody looked.
    if (burned_in := text(head, "BurnedInAnnotation")) in {"YES", "NO"}:
        ds.BurnedInAnnotation = burned_in
    copy_lossy(ds, head)
    ds.SourceImageSequence = [_made_from(envelope, image) for image in images]
    spacing = source.planes[images[0]].spacing_mm
    if spacing and not is_slide(source) and spacing[0] != spacing[1]:
        ratio = Fraction(spacing[0] / spacing[1]).limit_denominator(1000)
        ds.PixelAspectRatio = [ratio.numerator, ratio.denominator]
    ds.SamplesPerPixel, ds.PlanarConfiguration = 3, 0
    ds.PhotometricInterpretation = "RGB"
    ds.Rows, ds.Columns = drawn.shape[:2]
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    pixels = drawn.tobytes()
    ds.PixelData = pixels + b"\0" * (len(pixels) % 2)
    ds["PixelData"].VR = "OB"
    return envelope.seal(ds, ResultKind.SC)


def _made_from(envelope: Envelope, image: int) -> Dataset:
    item = referenced(envelope.subject.source.references[image])
    item.PurposeOfReferenceCodeSequence = [codes.coded(codes.SOURCE_IMAGE)]
    return item
