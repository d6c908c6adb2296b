"""Findings as plain numbers by name, for the record, for drift and for agreement. Pure."""

import math
from collections import defaultdict
from collections.abc import Iterable

from ai.drift import of_embedding
from ai.finding import Box, Embedding, Finding, Heatmap, Mask, Measurement, Point, Text, Verdict


def outputs(findings: Iterable[Finding]) -> dict[str, float]:
    """Give what was found by output: of several images the mean, of places how many.

    A class is OUTPUT.CODE, with its probability; a segment OUTPUT.NUMBER, with its pixels.
    """
    values: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, int] = defaultdict(int)
    for one in findings:
        match one:
            case Measurement():
                values[one.output].append(one.value)
            case Verdict():
                values[f"{one.output}.{one.name.value}"].append(one.probability)
            case Box() | Point():
                counts[one.output] += 1
            case Mask():
                for number, _ in enumerate(one.segments, 1):
                    name = f"{one.output}.{number}"
                    counts[name] += sum(int((image == number).sum()) for image in one.labels)
            case Text() | Heatmap() | Embedding():
                pass
    means = {name: math.fsum(found) / len(found) for name, found in values.items()}
    return {**means, **{name: float(count) for name, count in counts.items()}}


def features(findings: Iterable[Finding]) -> dict[str, float]:
    """Give what embeddings were like; of several images the mean of each number."""
    values: dict[str, list[float]] = defaultdict(list)
    for one in findings:
        if isinstance(one, Embedding):
            for name, value in of_embedding(one.output, one.vector).items():
                values[name].append(value)
    return {name: math.fsum(found) / len(found) for name, found in values.items()}


def is_anything(findings: Iterable[Finding]) -> bool:
    """Whether there is anything to report: a number, a place, words, or a class that is there."""
    return any(
        one.is_present
        if isinstance(one, Verdict)
        else any(image.any() for image in one.labels)
        if isinstance(one, Mask)
        else not isinstance(one, Embedding)
        for one in findings
    )
