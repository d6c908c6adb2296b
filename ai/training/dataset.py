"""Make labelled sets of synthetic radiographs, divided so that no patient is in two of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.training.synthetic import FINDINGS, SIZE, Finding, draw

TAKES = 2
"""Images of each patient."""


@dataclass(frozen=True, slots=True)
class Case:
    """One image to draw."""

    patient: int
    take: int
    finding: Finding


@dataclass(frozen=True, slots=True)
class Split:
    """Four sets of cases. Each has one task alone, so that no figure is flattered."""

    train: tuple[Case, ...]
    """Weights are fitted on it."""
    validation: tuple[Case, ...]
    """Says when to stop, and fits the temperature."""
    calibration: tuple[Case, ...]
    """Fits the conformal threshold."""
    test: tuple[Case, ...]
    """Fits nothing; measured at the end."""


@dataclass(frozen=True, slots=True)
class Images:
    """Pixels (n, 1, y, x), the class of each as its place in FINDINGS, and where nodules are."""

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    places: npt.NDArray[np.float32]
    """(n, 2): row and column in pixels; NaN where there is no nodule."""


SHARES = (0.6, 0.15, 0.1, 0.15)
"""Of the patients: training, validation, calibration, test."""


def split(patients: int, *, seed: int, first: int = 0) -> Split:
    """Divide numbered patients, `first` and on, among the four sets; classes come equally often.

    Raises ValueError where the patients are too few for every class to be in every set.
    """
    chance = np.random.default_rng([seed, patients])
    order = first + chance.permutation(patients)
    findings = chance.permutation(np.arange(patients * TAKES) % len(FINDINGS))
    ends = np.rint(np.cumsum(SHARES) * patients).astype(int)
    parts = []
    for begin, end in zip((0, *ends[:-1]), ends, strict=True):
        parts.append(
            tuple(
                Case(int(order[at]), take, FINDINGS[findings[at * TAKES + take]])
                for at in range(begin, end)
                for take in range(TAKES)
            )
        )
    if any({case.finding for case in part} != set(FINDINGS) for part in parts):
        raise ValueError(
            f"{patients} patients do not bring each class to each set: give more patients"
        )
    return Split(*parts)


def images(cases: Sequence[Case], *, seed: int, size: int = SIZE) -> Images:
    """Draw every case."""
    drawn = [draw(seed, case.patient, case.take, case.finding, size) for case in cases]
    nowhere = (np.nan, np.nan)
    return Images(
        pixels=np.stack([one.pixels for one in drawn])[:, np.newaxis],
        places=np.array([one.place or nowhere for one in drawn], dtype=np.float32),
        labels=np.array([FINDINGS.index(case.finding) for case in cases], dtype=np.int64),
    )
