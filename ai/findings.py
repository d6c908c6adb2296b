"""What a model found, as frozen facts, and the check that turns an answer into them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ai.contract import Class, Code, Contract, Output, OutputKind, Quantity
from dicom.errors import BadAnswer, Unsuitable

_MAX_WORDS = 200


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


def read(contract: Contract, answer: Mapping[str, npt.NDArray[Any]]) -> tuple[Measurement, ...]:
    """Turn a model's output arrays into findings, in the contract's order.

    Raises Unsuitable when the model refuses its input, BadAnswer when an output is missing, has
    another type or shape than the contract says, is not finite, or lies outside its limits.
    """
    refusals = [output for output in contract.outputs if output.kind is OutputKind.REFUSAL]
    for output in refusals:
        words = _words(output, answer)
        if words:
            raise Unsuitable(f"the model refuses this Series: {words}")
    return tuple(
        _measurement(output, output.quantity, answer)
        for output in contract.outputs
        if output.quantity is not None
    )


def _array(output: Output, answer: Mapping[str, npt.NDArray[Any]], kind: str) -> npt.NDArray[Any]:
    array = answer.get(output.name)
    if array is None:
        raise BadAnswer(f"output {output.name} is missing from the answer")
    if array.shape != (1,) or array.dtype.kind != kind:
        shape, dtype = list(array.shape), array.dtype
        raise BadAnswer(f"output {output.name} came as {dtype} {shape}, not one value")
    return array


def _words(output: Output, answer: Mapping[str, npt.NDArray[Any]]) -> str:
    raw = _array(output, answer, "O")[0]
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    # The words go into logs: one line, no control characters, no more than needed.
    return "".join(sign for sign in text if sign.isprintable())[:_MAX_WORDS]


def _measurement(
    output: Output, quantity: Quantity, answer: Mapping[str, npt.NDArray[Any]]
) -> Measurement:
    value = float(_array(output, answer, np.dtype(np.float32).kind)[0])
    if not math.isfinite(value):
        raise BadAnswer(f"output {output.name} is {value}, not a number")
    if not quantity.low <= value <= quantity.high:
        limits = f"{quantity.low:g} to {quantity.high:g}"
        raise BadAnswer(f"output {output.name} is {value:g}, outside its limits {limits}")
    return Measurement(
        output=output.name,
        name=quantity.name,
        value=round(value, quantity.decimals),
        unit=quantity.unit,
        site=quantity.site,
        decimals=quantity.decimals,
    )
