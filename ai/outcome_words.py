"""Say findings in words and as JSON, for `penumbra model try`: no patient's data, no pixels."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from ai.contract import Code
from ai.finding import (
    Box,
    Embedding,
    Finding,
    Heatmap,
    Mask,
    Measurement,
    Point,
    Text,
    Verdict,
)
from ai.outcome import Outcome
from dicom.ucum import behind

MOST_MARKS: Final = 10
Row = tuple[str, str, str, str]
"""Output, what it is, on which image (from 1), and what was found."""


def rows(outcome: Outcome, most: int = MOST_MARKS) -> Iterator[Row]:
    """Give a line for each finding; of the boxes or points of an output, the best few."""
    marks = Counter[str]()
    for finding in outcome.findings:
        if isinstance(finding, Box | Point):
            marks[finding.output] += 1
            if marks[finding.output] > most:
                continue
        yield from _rows(finding, outcome.contract.trust.coverage)
    for output, count in marks.items():
        if count > most:
            yield output, "", "", f"and {count - most} more of lower score"


def plain(outcome: Outcome, series_instance_uid: str) -> dict[str, Any]:
    """Give an outcome as JSON takes it; masks and heat maps as what they cover."""
    return {
        "series": series_instance_uid,
        "model": outcome.served.model,
        "version": outcome.served.version,
        "server": outcome.served.server,
        "endpoint": outcome.endpoint,
        "algorithm": outcome.contract.algorithm,
        "images": outcome.images,
        "refusal": outcome.refusal,
        "seconds": {step: round(seconds, 4) for step, seconds in outcome.seconds.items()},
        "findings": [_plain(finding) for finding in outcome.findings],
        "results": [
            {"kind": str(one.kind), "sop_instance_uid": one.sop_instance_uid}
            for one in outcome.results
        ],
    }


def _rows(finding: Finding, coverage: float) -> Iterator[Row]:
    out = finding.output
    match finding:
        case Measurement():
            said = f"{finding.value:.{finding.decimals}f}{behind(finding.unit.value)}"
            if finding.interval is not None:
                low, high = finding.interval
                said += f" ({low:g} to {high:g} at {coverage:.0%})"
            yield out, finding.name.meaning, _image(finding.image), said
        case Verdict():
            said = f"{'present' if finding.is_present else 'absent'}, {finding.probability:.3f}"
            if finding.in_set is not None:
                said += ", in the set" if finding.in_set else ", not in the set"
            yield out, finding.name.meaning, _image(finding.image), said
        case Mask():
            for name, counts in _covered(finding):
                said = f"{sum(counts)} pixels on {sum(map(bool, counts))} images"
                yield out, name.meaning, "", said
        case Box():
            said = f"rows {finding.top:.1f} to {finding.bottom:.1f},"
            said += f" columns {finding.left:.1f} to {finding.right:.1f}, score {finding.score:.3f}"
            yield out, finding.name.meaning, _image(finding.image), said
        case Point():
            said = f"row {finding.row:.1f}, column {finding.column:.1f}, score {finding.score:.3f}"
            yield out, finding.name.meaning, _image(finding.image), said
        case Text():
            yield out, finding.title.meaning, "", finding.words
        case Heatmap():
            low, high, at = _range(finding)
            yield out, finding.title.meaning, _image(at), f"{low:.3g} to {high:.3g}, the most here"
        case Embedding():
            yield out, "embedding", "", f"{len(finding.vector)} numbers, in no report"


def _plain(finding: Finding) -> dict[str, Any]:
    found: dict[str, Any] = {"type": type(finding).__name__.lower(), "output": finding.output}
    for key in finding.__slots__:
        value = getattr(finding, key)
        if key in {"labels", "values", "segments"}:
            continue
        found[key] = _code(value) if isinstance(value, Code) else value
    if isinstance(finding, Mask):
        found["segments"] = [
            {"name": _code(name), "pixels_by_image": counts} for name, counts in _covered(finding)
        ]
    elif isinstance(finding, Heatmap):
        low, high, at = _range(finding)
        found.update(low=low, high=high, image=at)
    return found


def _code(code: Code) -> Mapping[str, str]:
    return {"value": code.value, "scheme": code.scheme, "meaning": code.meaning}


def _covered(mask: Mask) -> Iterator[tuple[Code, list[int]]]:
    for number, segment in enumerate(mask.segments, start=1):
        yield segment.name, [int(np.count_nonzero(each == number)) for each in mask.labels]


def _range(heat: Heatmap) -> tuple[float, float, int]:
    highs = [float(each.max()) for each in heat.values]
    return min(float(each.min()) for each in heat.values), max(highs), int(np.argmax(highs))


def _image(image: int | None) -> str:
    return "" if image is None else str(image + 1)
