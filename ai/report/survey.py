"""Where the segments of masks lie: on which images, and how many pixels of each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ai.contract import Class
from ai.findings import Finding, Mask
from ai.header import Source

WHOLE_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"


@dataclass(frozen=True, slots=True)
class Patch:
    """What one segment covers of one image."""

    image: int
    pixels: int
    bits: bytes
    """A bit for each pixel, the first in the lowest (PS3.5 8.1.1); the last byte filled with 0."""


@dataclass(frozen=True, slots=True)
class Region:
    """One segment of one mask."""

    mask: Mask
    number: int
    """Its label in the mask."""
    segment: Class
    patches: tuple[Patch, ...]
    """In the order of the images; none where the segment is empty."""

    @property
    def pixels(self) -> int:
        """How many pixels it has on all images."""
        return sum(patch.pixels for patch in self.patches)

    @property
    def largest(self) -> Patch:
        """The image that shows most of it; the first of several. It is not empty."""
        return max(self.patches, key=lambda patch: patch.pixels)


def survey(findings: Sequence[Finding]) -> tuple[Region, ...]:
    """Go through all masks once; regions are in the order of masks and segments."""
    return tuple(
        region for finding in findings if isinstance(finding, Mask) for region in _regions(finding)
    )


def _regions(mask: Mask) -> list[Region]:
    patches: list[list[Patch]] = [[] for _ in mask.segments]
    for image, labels in enumerate(mask.labels):
        for number in _numbers(labels):
            if 0 < number <= len(patches):
                inside = labels == number
                bits = np.packbits(inside, axis=None, bitorder="little").tobytes()
                patches[number - 1].append(Patch(image, int(np.count_nonzero(inside)), bits))
    return [
        Region(mask, number, segment, tuple(found))
        for number, (segment, found) in enumerate(zip(mask.segments, patches, strict=True), start=1)
    ]


def _numbers(labels: npt.NDArray[np.uint8]) -> list[int]:
    if not labels.any():
        return []
    return [int(number) for number in np.flatnonzero(np.bincount(labels.ravel()))]


def is_placed(source: Source) -> bool:
    """Whether every image has its place in a frame of reference, and they are of one size."""
    return (
        bool(source.frame_of_reference_uid)
        and bool(source.planes)
        and len({plane.shape for plane in source.planes}) == 1
        and all(
            plane.position and plane.row and plane.column and plane.spacing_mm
            for plane in source.planes
        )
        and not is_slide(source)
    )


def is_slide(source: Source) -> bool:
    """Whether it is a whole-slide image, whose findings are about tiles."""
    return any(reference.sop_class_uid == WHOLE_SLIDE for reference in source.references)


def area_mm2(region: Region, source: Source, image: int) -> float | None:
    """Give a region's area on one image; None where nobody calibrated its pixels."""
    if image >= len(source.planes) or (spacing := source.planes[image].spacing_mm) is None:
        return None
    pixels = sum(patch.pixels for patch in region.patches if patch.image == image)
    return pixels * spacing[0] * spacing[1]


def volume_ml(region: Region, source: Source) -> float | None:
    """Give a region's volume; None for what is no stack."""
    if not is_placed(source) or source.thickness_mm is None:
        return None
    areas = (area_mm2(region, source, patch.image) for patch in region.patches)
    return sum(area for area in areas if area is not None) * source.thickness_mm / 1000
