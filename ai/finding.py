"""What a model found, as frozen facts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ai.contract import Class, Code


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured number, rounded to the digits that are reported."""

    output: str
    """The output tensor it came from."""
    name: Code
    value: float
    unit: Code
    site: Code | None
    decimals: int
    image: int | None = None
    """Which image it is about, by its place in the source's references; None for all of them."""
    interval: tuple[float, float] | None = None
    """Within which it lies at the contract's coverage."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one class is present, and how probable that is."""

    output: str
    name: Code
    probability: float
    is_present: bool
    site: Code | None
    image: int | None = None
    in_set: bool | None = None
    """Whether it is in the conformal set; None where the contract asks for none."""


@dataclass(frozen=True, slots=True)
class Mask:
    """Which pixels belong to which segment."""

    output: str
    segments: tuple[Class, ...]
    """Segment 1 is the first."""
    labels: Sequence[npt.NDArray[np.uint8]]
    """For each image of the source, in the order of its references: labels (y, x), 0 for none."""
    site: Code | None


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on one image; edges in its pixels, 0 at the outer edge of the first."""

    output: str
    name: Code
    score: float
    image: int
    top: float
    left: float
    bottom: float
    right: float
    site: Code | None


@dataclass(frozen=True, slots=True)
class Point:
    """A place on one image, in its pixels: 0.5 is the middle of the first."""

    output: str
    name: Code
    score: float
    image: int
    row: float
    column: float
    site: Code | None


@dataclass(frozen=True, slots=True)
class Text:
    """A draft in words."""

    output: str
    title: Code
    words: str


@dataclass(frozen=True, slots=True)
class Heatmap:
    """A value for each pixel, or for each block of pixels."""

    output: str
    title: Code
    unit: Code | None
    values: Sequence[npt.NDArray[np.float32]]
    """For each image of the source (y, x); of a whole-slide image one, a pixel for each tile."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """What the model made of its input, for watching over drift; in no report."""

    output: str
    vector: tuple[float, ...]


Finding = Measurement | Verdict | Mask | Box | Point | Text | Heatmap | Embedding
