"""Make one answer of several: findings about a Series and about its mirror images, averaged.

Findings are averaged rather than tensors: the way back from a mirrored image belongs to its grid,
and findings are on the images as they are stored.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from ai.contract import Contract, Trust
from ai.finding import Finding, Heatmap, Mask, Measurement, Verdict
from dicom.errors import BadAnswer

AXES: Final[Mapping[str, str]] = {"flip-x": "x", "flip-y": "y", "flip-z": "z"}
"""What a contract may ask for, and the axis that `Prepared.flipped` takes."""


@dataclass(frozen=True, slots=True)
class Averaged:
    """Findings of several answers as one."""

    findings: tuple[Finding, ...]
    spread: Mapping[str, float]
    """Standard deviation of each number, by output tensor; the largest where it has several."""


def axes(trust: Trust) -> tuple[str, ...]:
    """Give the axes to mirror a Series along. Raises BadAnswer for what nobody knows."""
    unknown = set(trust.augment) - AXES.keys()
    if unknown:
        raise BadAnswer(f"the contract's trust asks for {min(unknown)[:16]!r}: no such thing")
    return tuple(AXES[each] for each in dict.fromkeys(trust.augment))


def average(contract: Contract, answers: Sequence[tuple[Finding, ...]]) -> Averaged:
    """Average numbers, probabilities, heat maps and masks over all answers.

    Boxes, points, texts and embeddings are those of the first, which saw the Series as it is.
    Raises BadAnswer where the answers do not speak of the same things.
    """
    first, spread = answers[0], defaultdict[str, float](float)
    if len(answers) == 1:
        return Averaged(first, {})
    thresholds = {
        (output.name, each.name): each.threshold
        for output in contract.outputs
        for each in output.classes
    }
    others = [_by_name(findings) for findings in answers]
    averaged: list[Finding] = []
    for name, (finding, *_) in others[0].items():
        same = [each for findings in others for each in findings.get(name, ())]
        if _is_averaged(finding) and not all(name in findings for findings in others):
            raise BadAnswer(f"output {finding.output} says something else of the mirrored Series")
        if isinstance(finding, Measurement):
            values = [each.value for each in same if isinstance(each, Measurement)]
            averaged.append(_measurement(finding, values))
            spread[finding.output] = max(spread[finding.output], float(np.std(values)))
        elif isinstance(finding, Verdict):
            values = [each.probability for each in same if isinstance(each, Verdict)]
            limit = thresholds.get((finding.output, finding.name), 0.5)
            averaged.append(_verdict(finding, values, limit, contract.trust))
            spread[finding.output] = max(spread[finding.output], float(np.std(values)))
        elif isinstance(finding, Mask):
            averaged.append(_mask(finding, [each for each in same if isinstance(each, Mask)]))
        elif isinstance(finding, Heatmap):
            averaged.append(_heatmap(finding, [each for each in same if isinstance(each, Heatmap)]))
        else:
            averaged.append(finding)
    return Averaged(tuple(averaged), dict(spread))


def _is_averaged(finding: Finding) -> bool:
    return isinstance(finding, Measurement | Verdict | Mask | Heatmap)


def _by_name(findings: Iterable[Finding]) -> dict[tuple[object, ...], list[Finding]]:
    """Tell findings apart by what they are about; the others by their place.

    One image may have several: where the model was given a finer stack, each slice says something.
    """
    found = defaultdict[tuple[object, ...], list[Finding]](list)
    for at, each in enumerate(findings):
        if isinstance(each, Measurement | Verdict):
            found[each.output, each.name, each.image].append(each)
        elif isinstance(each, Mask | Heatmap):
            found[each.output, type(each)].append(each)
        else:
            found[each.output, at].append(each)
    return found


def _measurement(first: Measurement, values: Sequence[float]) -> Measurement:
    value = round(float(np.mean(values)), first.decimals)
    interval = first.interval
    if interval is not None:  # as wide as before, around the mean
        interval = (interval[0] + value - first.value, interval[1] + value - first.value)
    return replace(first, value=value, interval=interval)


def _verdict(first: Verdict, values: Sequence[float], threshold: float, trust: Trust) -> Verdict:
    probability = float(np.mean(values))
    in_set = first.in_set
    if in_set is not None and first.output in trust.conformal:
        in_set = probability >= trust.conformal[first.output]
    return replace(
        first, probability=probability, is_present=probability >= threshold, in_set=in_set
    )


def _mask(first: Mask, masks: Sequence[Mask]) -> Mask:
    """Give each pixel the label that most answers give it; with as many for two, the first's."""
    labels = [_vote([mask.labels[at] for mask in masks]) for at in range(len(first.labels))]
    return replace(first, labels=labels)


def _vote(votes: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint8]:
    if len({each.shape for each in votes}) > 1:
        raise BadAnswer("a mask of the mirrored Series has another size")
    chosen = votes[0].copy()
    most = _count(votes, chosen)
    for candidate in votes[1:]:
        count = _count(votes, candidate)
        better = count > most
        chosen[better], most[better] = candidate[better], count[better]
    return chosen


def _count(
    votes: Sequence[npt.NDArray[np.uint8]], candidate: npt.NDArray[np.uint8]
) -> npt.NDArray[np.uint8]:
    count: npt.NDArray[np.uint8] = np.sum(
        [each == candidate for each in votes], axis=0, dtype=np.uint8
    )
    return count


def _heatmap(first: Heatmap, maps: Sequence[Heatmap]) -> Heatmap:
    values: list[npt.NDArray[np.float32]] = []
    for at in range(len(first.values)):
        each = [one.values[at] for one in maps]
        if len({one.shape for one in each}) > 1:
            raise BadAnswer("a heat map of the mirrored Series has another size")
        values.append(np.asarray(np.mean(each, axis=0), dtype=np.float32))
    return replace(first, values=values)
