"""Say how good probabilities are: discrimination, calibration, confusion, conformal sets.

Arrays: probabilities and logits (n, classes), labels (n,) as class numbers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

_Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Metrics:
    """The figures of one set of images."""

    images: int
    accuracy: float
    auc: tuple[float, ...]
    """Area under the ROC curve of each class against the others."""
    ece: float
    """Expected calibration error of the most probable class, 15 bins of equal width."""
    log_loss: float
    confusion: tuple[tuple[int, ...], ...]
    """Rows are the truth, columns what was said."""
    coverage: float
    """Share of images whose conformal set holds the truth."""
    set_size: float
    """Classes in a set, on average."""


def measure(probabilities: _Array, labels: _Array, conformal: float) -> Metrics:
    """Compute every figure; `conformal` is the probability from which a class is in the set."""
    classes = probabilities.shape[1]
    said = probabilities.argmax(axis=1)
    sets = probabilities >= conformal
    true = probabilities[np.arange(labels.size), labels]
    return Metrics(
        images=labels.size,
        accuracy=float((said == labels).mean()),
        auc=tuple(auc(probabilities[:, each], labels == each) for each in range(classes)),
        ece=ece(probabilities, labels),
        log_loss=float(-np.log(np.clip(true, 1e-12, 1)).mean()),
        confusion=tuple(
            tuple(int(((labels == row) & (said == column)).sum()) for column in range(classes))
            for row in range(classes)
        ),
        coverage=float((true >= conformal).mean()),
        set_size=float(sets.sum(axis=1).mean()),
    )


def softmax(logits: _Array, temperature: float = 1.0) -> _Array:
    """Turn logits into probabilities."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def auc(scores: _Array, positive: _Array) -> float:
    """Give the probability that a positive scores higher than a negative; ties count half.

    Raises ValueError where there are no positives or no negatives.
    """
    count = int(positive.sum())
    others = positive.size - count
    if not count or not others:
        raise ValueError("an AUC needs positives and negatives")
    values, place = np.unique(scores, return_inverse=True)
    each = np.bincount(place, minlength=values.size)
    ranks = (np.cumsum(each) - (each - 1) / 2)[place]
    return float((ranks[positive].sum() - count * (count + 1) / 2) / (count * others))


def ece(probabilities: _Array, labels: _Array, bins: int = 15) -> float:
    """Average, over bins of confidence, how far confidence is from accuracy."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / labels.size)


def fit_temperature(logits: _Array, labels: _Array) -> float:
    """Find the temperature of the lowest log loss, between 0.05 and 20 (golden section)."""
    low, high = np.log(0.05), np.log(20.0)
    ratio = (np.sqrt(5) - 1) / 2

    def loss(log_temperature: float) -> float:
        chosen = softmax(logits, float(np.exp(log_temperature)))[np.arange(labels.size), labels]
        return float(-np.log(np.clip(chosen, 1e-12, 1)).mean())

    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return float(np.exp((low + high) / 2))


def conformal_threshold(probabilities: _Array, labels: _Array, coverage: float) -> float:
    """Find the probability from which a class belongs to the set (split conformal).

    The set then holds the truth of a new image with at least this coverage, on average over
    calibration sets, as long as new images are like those of calibration. With n images it is the
    floor((n + 1) (1 - coverage))-th lowest probability of a truth, 0 where there are too few.
    """
    true = np.sort(probabilities[np.arange(labels.size), labels])
    rank = int(np.floor((labels.size + 1) * (1 - coverage)))
    return float(true[rank - 1]) if rank else 0.0
