"""Whether what a model is given, or says, has become other than it was: the stability index.

Pure. The population stability index (PSI) compares two samples of one number over the deciles of
the first: the sum of (share now - share then) x ln(share now / share then). By common practice less
than 0.1 counts as the same, and more than 0.25 as another population. Small samples scatter by
themselves: PSI is taken less what that alone would give.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

BINS: Final = 10
ALARM: Final = 0.25
_LEAST: Final = 20
"""Of fewer values nothing is said."""
PROJECTED: Final = 8
"""So many numbers an embedding becomes."""
_SEED: Final = 20_261_121


@dataclass(frozen=True, slots=True)
class Drift:
    """One number that has, or has not, moved."""

    name: str
    psi: float
    then: float
    """Its median in the first sample,"""
    now: float
    """and in the second."""


def psi(then: Sequence[float], now: Sequence[float], bins: int = BINS) -> float:
    """Compute the stability index of two samples, at least 0; what is not finite is left out.

    0 where either has less than 20 values.
    """
    before, after = _finite(then), _finite(now)
    if min(len(before), len(after)) < _LEAST:
        return 0.0
    edges = np.unique(np.quantile(before, np.linspace(0, 1, bins + 1)[1:-1]))
    shares = [_shares(values, edges) for values in (before, after)]
    raw = float(((shares[1] - shares[0]) * np.log(shares[1] / shares[0])).sum())
    # What two samples of one population give on average (chi-squared of the bins, both sizes).
    by_chance = len(edges) * (1 / len(before) + 1 / len(after))
    return max(0.0, raw - by_chance)


def compare(then: Sequence[Mapping[str, float]], now: Sequence[Mapping[str, float]]) -> list[Drift]:
    """Compare every number that both samples have, the one that moved most first."""
    found = []
    for name in sorted({key for row in then for key in row} & {key for row in now for key in row}):
        before = [row[name] for row in then if name in row]
        after = [row[name] for row in now if name in row]
        index = psi(before, after)
        found.append(Drift(name, index, _median(before), _median(after)))
    return sorted(found, key=lambda one: -one.psi)


def of_values(values: npt.NDArray[np.generic]) -> dict[str, float]:
    """Describe what a model was given by a few numbers; empty for nothing."""
    finite = _finite(values)
    if not len(finite):
        return {}
    low, middle, high = np.percentile(finite, (5, 50, 95))
    return {
        "input.mean": float(finite.mean()),
        "input.sd": float(finite.std()),
        "input.p5": float(low),
        "input.p50": float(middle),
        "input.p95": float(high),
    }


def of_embedding(output: str, vector: Sequence[float]) -> dict[str, float]:
    """Describe an embedding by its length and by fixed random directions of it.

    Random projections keep distances, so that populations which differ in the embedding differ in
    some of these numbers (Johnson-Lindenstrauss); nobody gets the embedding back from them.
    """
    array = np.asarray(vector, dtype=np.float64)
    norm = float(np.linalg.norm(array))
    if not math.isfinite(norm) or not norm:
        return {}
    chance = np.random.default_rng([_SEED, len(array)])
    directions = chance.standard_normal((PROJECTED, len(array))) / math.sqrt(len(array))
    said = {f"{output}.{number}": float(one) for number, one in enumerate(directions @ array)}
    return {f"{output}.norm": norm, **said}


def _finite(values: Sequence[float] | npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).ravel()
    return array[np.isfinite(array)]


def _shares(
    values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    # Half a value in each: an empty bin would make the index infinite.
    shares = (counts + 0.5) / (len(values) + 0.5 * len(counts))
    return np.asarray(shares, dtype=np.float64)


def _median(values: Sequence[float]) -> float:
    finite = _finite(values)
    return float(np.median(finite)) if len(finite) else math.nan
