"""The contract between a Series and a model: what the model wants, and what its answer means.

Frozen facts only; ai/declared.py reads them out of a model's config.pbtxt and of node.toml.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    priority_levels: int = 0
    """Of its queue; 0 where all wait alike."""


class Orientation(StrEnum):
    """How the slices of a wanted Series lie."""

    AXIAL = "axial"
    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    ANY = "any"


class Contrast(StrEnum):
    """Whether a contrast agent may have been given (PS3.3 C.7.6.4)."""

    ANY = "any"
    NONE = "none"
    REQUIRED = "required"


class InputKind(StrEnum):
    """What a model can be given. The first five are images; a contract has exactly one of them."""

    VOLUME = "volume"
    """All voxels (z, y, x) in one request, z along the slice normal."""
    SLICES = "slices"
    """The same, some slices a request; outputs have one row for each slice."""
    STREAM = "stream"
    """The same, in order, as one sequence to one server; the last response is the answer."""
    IMAGES = "images"
    """Images without a place in space, each by itself: radiographs, mammograms."""
    TILES = "tiles"
    """Tiles of a whole-slide image that show tissue, RGB; outputs have one row for each tile. What
    lies beyond the slide is glass, 255."""
    SPACING = "spacing"
    """Distances in mm between neighbours along the axes of what is given: 3 of a volume, 2 else."""
    ATTRIBUTE = "attribute"
    """One number from the first object's header."""


IMAGE_KINDS = frozenset(InputKind) - {InputKind.SPACING, InputKind.ATTRIBUTE}


class Normalise(StrEnum):
    """What is done to values behind rescale and window."""

    NONE = "none"
    UNIT = "unit"
    """0 to 1 over the window; without one over what a stack holds, over the range in which each
    image wants to be seen, and over 0 to 255 of tiles."""
    SYMMETRIC = "symmetric"
    """-1 to 1 over the same."""
    ZSCORE = "zscore"
    """Mean 0, standard deviation 1, over what is given in all requests together."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """How images become an array."""

    spacing_mm: tuple[float, ...] | None = None
    """Resampled to this distance along (z, y, x), or (y, x); 0 leaves an axis as it is."""
    size: tuple[int, ...] | None = None
    """Then made so large along the same axes; 0 leaves an axis as it is."""
    fit: str = "pad"
    """How: "pad" keeps the scale, centred, cut or filled with the lowest value, or "stretch"."""
    window: tuple[float, float] | None = None
    """Values are cut to [low, high] in the images' own unit (HU for CT)."""
    normalise: Normalise = Normalise.NONE
    layout: str = ""
    """Axes of the tensor, "zyx" for a volume and "nyx" for items by default: letters of them in any
    order, "c" for colours, "1" for an axis of length one."""
    batch: int = 16
    """Items (slices, images, tiles) in one request."""


class OutputKind(StrEnum):
    """What a model can answer. The list is closed: a report knows each of them."""

    MEASUREMENT = "measurement"
    """A number with a code and a unit; (1,), or one row for each item."""
    CLASSIFICATION = "classification"
    """Probabilities FP32 (classes,), or (items, classes)."""
    MASK = "mask"
    """Labels UINT8 of the input's own axes, or FP32 probabilities of one segment."""
    BOXES = "boxes"
    """FP32 (count, 6): item, top, left, bottom, right in the input's pixels, score; or without the
    item for a fixed count of each (items, count, 5), padded with score 0."""
    POINTS = "points"
    """FP32 (count, 4): z or item, y, x in the input's pixels, score; or (items, count, 3)."""
    TEXT = "text"
    """Words for a report draft, one string."""
    HEATMAP = "heatmap"
    """FP32 over the input's own axes, or coarser: what the answer rests on, or where a value is."""
    EMBEDDING = "embedding"
    """FP32 (length,), or (items, length): never reported, watched for drift."""
    REFUSAL = "refusal"
    """Words why the model does not measure this input; empty when it does."""


class Aggregate(StrEnum):
    """What one row for each item becomes."""

    EACH = "each"
    """A finding about each image."""
    MEAN = "mean"
    MAX = "max"
    SUM = "sum"
    WEIGHTED = "weighted"
    """Rows are (value, weight): the mean by weight."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What a Series must be before a model is asked about it."""

    modality: str
    orientation: Orientation = Orientation.AXIAL
    min_slices: int = 2
    """Of a stack, or of images; whole-slide images are not counted."""
    max_spacing_mm: float = math.inf
    """The greatest distance between neighbouring slices."""
    min_thickness_mm: float = 0.0
    max_thickness_mm: float = math.inf
    contrast: Contrast = Contrast.ANY
    kvp: tuple[float, float] | None = None
    """Tube voltage, lowest and highest."""
    body_parts: tuple[str, ...] = ()
    """Of BodyPartExamined, where the object says one; any when empty."""
    views: tuple[str, ...] = ()
    """Of ViewPosition; any when empty."""


@dataclass(frozen=True, slots=True)
class Input:
    """One input tensor and what fills it."""

    name: str
    kind: InputKind
    preparation: Preparation = Preparation()
    keyword: str = ""
    """Of an attribute."""
    datatype: str = ""
    """As the server declares it, INT16 or FP32; "" is INT16 for values as they are, else FP32."""
    shape: tuple[int, ...] = ()
    """As the server declares it, -1 for any length; () where that is not known."""


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
class Class:
    """One class of a classification, or one segment of a mask."""

    name: Code
    """The finding, or the segmented property type."""
    threshold: float = 0.5
    """Probability from which it counts as present."""
    category: Code | None = None
    """The segmented property category (PS3.3 C.8.20.2); of a mask alone."""


@dataclass(frozen=True, slots=True)
class Output:
    """One output tensor and what it means."""

    name: str
    kind: OutputKind
    quantity: Quantity | None = None
    """Of a measurement, and of a heat map that has a unit."""
    classes: tuple[Class, ...] = ()
    """Of a classification in the order of its columns; of a mask in that of its labels, from 1; one
    of boxes and points."""
    site: Code | None = None
    """Where in the body; a measurement's stands in its quantity."""
    title: Code | None = None
    """What a text or a heat map is."""
    aggregate: Aggregate = Aggregate.EACH
    exclusive: bool = False
    """Whether the classes' probabilities add up to one."""
    limit: int = 100
    """Most boxes or points that are reported, best score first; the rest is counted in words."""
    is_batched: bool = False
    """Whether the server puts an axis of length one before the answer about a whole volume."""


@dataclass(frozen=True, slots=True)
class Trust:
    """How sure a model is made to say it is."""

    augment: tuple[str, ...] = ()
    """Test-time augmentation: "flip-x", "flip-y", "flip-z": asked for each, answers averaged."""
    conformal: Mapping[str, float] = field(default_factory=dict)
    """By classification: a class is in the set from this probability on (split conformal)."""
    interval: Mapping[str, float] = field(default_factory=dict)
    """By measurement: half the width of its interval (split conformal, at the stated coverage)."""
    coverage: float = 0.9


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
    trust: Trust = Trust()
