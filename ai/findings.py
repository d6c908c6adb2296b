"""The check that turns a model's answer into findings, with the types of what can be found."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from ai.contract import Contract, OutputKind
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
from ai.prepared import Grid, Tensors
from ai.reading import marks, numbers, overlays, words
from ai.reading.answered import Answered, answered
from dicom.errors import Unsuitable

__all__ = [
    "Box",
    "Embedding",
    "Finding",
    "Heatmap",
    "Mask",
    "Measurement",
    "Point",
    "Text",
    "Verdict",
    "read",
]

_READ: Final[Mapping[OutputKind, Callable[[Answered], Iterable[Finding]]]] = {
    OutputKind.MEASUREMENT: numbers.measurement,
    OutputKind.CLASSIFICATION: numbers.classification,
    OutputKind.MASK: overlays.mask,
    OutputKind.BOXES: marks.boxes,
    OutputKind.POINTS: marks.points,
    OutputKind.TEXT: words.text,
    OutputKind.HEATMAP: overlays.heatmap,
    OutputKind.EMBEDDING: numbers.embedding,
}


def read(contract: Contract, answer: Tensors, grid: Grid | None = None) -> tuple[Finding, ...]:
    """Turn a model's output arrays into findings, in the contract's order.

    `answer` holds an array for each output, the rows of several requests joined and their items
    numbered throughout (ai/joined.py); `grid` is the way back to the source's images, which masks,
    boxes, points and heat maps need. Raises Unsuitable when the model refuses its input, BadAnswer
    when an output is missing, has another type or shape than the contract says, is not finite, or
    lies outside its limits.
    """
    said = [answered(output, contract, answer, grid) for output in contract.outputs]
    for each in said:
        if each.output.kind is OutputKind.REFUSAL and (why := words.refusal(each)):
            raise Unsuitable(f"the model refuses this Series: {why}")
    found: list[Finding] = []
    for each in said:
        if each.output.kind in _READ:
            found.extend(_READ[each.output.kind](each))
    return tuple(found)
