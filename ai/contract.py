"""The contract between a Series and a model: what the model wants, and what its numbers mean.

Frozen facts only; ai/declared.py reads them out of a model's config.pbtxt.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 Table 8.8-1): code value, coding scheme designator, code meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor as the server declares it; -1 in the shape stands for any length."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """What a server says about one model."""

    model: str
    version: str
    server: str
    """Name and version of the server's software."""
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    parameters: Mapping[str, str]
    max_batch_size: int = 0


class Orientation(StrEnum):
    """How the slices of a wanted Series lie."""

    AXIAL = "axial"
    ANY = "any"


class InputKind(StrEnum):
    """What a model can be given; a new kind is a row in ai/declared.py and in ai/pipeline.py."""

    VOLUME = "volume"
    """Voxels (z, y, x) in Hounsfield units, z along the slice normal."""
    SPACING = "spacing"
    """Distances in mm between voxel centres along (z, y, x)."""


class OutputKind(StrEnum):
    """What a model can answer. The list is closed: a report knows each of them."""

    MEASUREMENT = "measurement"
    """One number with a code and a unit."""
    REFUSAL = "refusal"
    """Words why the model does not measure this input; empty when it does."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What a Series must be before a model is asked about it."""

    modality: str
    orientation: Orientation = Orientation.AXIAL
    min_slices: int = 2
    max_spacing_mm: float = math.inf
    """The greatest distance between neighbouring slices."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input tensor and what fills it."""

    name: str
    kind: InputKind


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a measured number is: its name, its unit, where in the body, and its limits."""

    name: Code
    unit: Code
    """From UCUM."""
    site: Code | None
    low: float
    high: float
    decimals: int
    """Digits after the point that are reported."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor and what it means."""

    name: str
    kind: OutputKind
    quantity: Quantity | None = None
    """Set for a measurement."""


@dataclass(frozen=True, slots=True)
class Contract:
    """Everything that turns a Series into tensors and an answer into findings."""

    algorithm: str
    algorithm_version: str
    settings: str
    """The algorithm's own parameters in words, for the report; may be empty."""
    procedure: Code
    wants: Wants
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
