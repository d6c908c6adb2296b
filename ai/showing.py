"""Show what came of a trial: the image that tells most, with the findings drawn in."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from ai import picture
from ai.header import Part10, Source
from ai.outcome import Outcome
from ai.pictures import Pictures
from ai.report.words import numbers
from ai.telling import most_telling
from dicom.errors import Unsuitable
from dicom.part10 import text

_LARGEST_PAPER = 1024
_GREY = 225


def draw(outcome: Outcome, series: Sequence[Part10]) -> npt.NDArray[np.uint8] | None:
    """Draw the image that shows most of the findings, RGB; None where there is nothing to show."""
    source = outcome.source
    if source is None or outcome.refusal or not outcome.findings:
        return None
    image = most_telling(outcome.findings, len(source.references))
    values, shape = _values(source, series, image)
    window = _window(source.head)
    if text(source.head, "PhotometricInterpretation") == "MONOCHROME1" and values.ndim == 2:
        values = -values.astype(np.float32)
        window = (-window[1], -window[0]) if window else None
    made_by = f"{outcome.contract.algorithm} {outcome.contract.algorithm_version}"
    legend = [*numbers(outcome.findings, image), *numbers(outcome.findings)]
    where = f"image {image + 1} of {len(source.references)}"
    return picture.draw(
        values, outcome.findings, image, window, [*legend, f"{made_by}, {where}"], shape=shape
    )


def _values(
    source: Source, series: Sequence[Part10], image: int
) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """Give an image, and how many rows and columns it has; grey paper where it is a slide."""
    try:
        values = Pictures(source, series)(image)
    except Unsuitable:
        shape = source.planes[image].shape if image < len(source.planes) else (512, 512)
        step = -(-max(shape) // _LARGEST_PAPER)
        paper = (-(-shape[0] // step), -(-shape[1] // step), 3)
        return np.full(paper, _GREY, dtype=np.uint8), shape
    return values, (int(values.shape[0]), int(values.shape[1]))


def _window(head: Dataset) -> tuple[float, float] | None:
    found = list(_firsts(head, "WindowCenter", "WindowWidth"))
    if len(found) != 2 or found[1] <= 0:
        return None
    return found[0] - found[1] / 2, found[0] + found[1] / 2


def _firsts(head: Dataset, *keywords: str) -> Iterator[float]:
    for keyword in keywords:
        try:
            yield float(text(head, keyword).split("\\")[0])
        except ValueError:
            return
