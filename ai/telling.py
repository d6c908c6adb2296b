"""Choose the image that shows most of what was found."""

from collections.abc import Sequence

import numpy as np

from ai.finding import Box, Finding, Heatmap, Mask, Measurement, Point, Verdict


def most_telling(findings: Sequence[Finding], images: int) -> int:
    """Give the place of one image among so many; the middle one where nothing has a place.

    Boxes and points count by their scores, segments and heat maps by their share of what the
    richest image has, and what is said about one image by its probability.
    """
    told = np.zeros(max(images, 1))
    for finding in findings:
        if isinstance(finding, Box | Point):
            told[finding.image] += finding.score
        elif isinstance(finding, Mask):
            for number in range(1, len(finding.segments) + 1):
                _add(told, [float(np.count_nonzero(each == number)) for each in finding.labels])
        elif isinstance(finding, Heatmap):
            _add(told, [float(each.max(initial=0)) for each in finding.values])
        elif isinstance(finding, Verdict) and finding.image is not None:
            told[finding.image] += finding.probability if finding.is_present else 0
        elif isinstance(finding, Measurement) and finding.image is not None:
            told[finding.image] += 1e-6  # only where nothing else tells images apart
    return int(told.argmax()) if told.any() else len(told) // 2


def _add(told: "np.ndarray[tuple[int], np.dtype[np.float64]]", amounts: Sequence[float]) -> None:
    most = max(amounts, default=0)
    if most > 0:
        told[: len(amounts)] += np.array(amounts) / most
