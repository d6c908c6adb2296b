"""Read what each output tensor means, and judge whether the tensor can say it."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from ai.contract import (
    Aggregate,
    Class,
    Code,
    Input,
    InputKind,
    Output,
    OutputKind,
    Quantity,
    Tensor,
)
from ai.statement import Statement
from config import contracts
from dicom.errors import BadAnswer

ITEMS: Final = frozenset({InputKind.SLICES, InputKind.IMAGES, InputKind.TILES})
"""Kinds of which a model answers a row for each item."""
FINDINGS_TITLE: Final = Code("121070", "DCM", "Findings")
_ANY: Final = -1
_COUNT: Final = {OutputKind.BOXES: 6, OutputKind.POINTS: 4}
_LAID_OVER: Final = frozenset({OutputKind.MASK, OutputKind.HEATMAP})
_CODE_EXAMPLE: Final = '{"value": "...", "scheme": "SCT", "meaning": "..."}'


def read(statement: Statement, tensor: Tensor, image: Input) -> Output:
    """Read one output of the contract. Raises BadAnswer."""
    key = f"output.{tensor.name}"
    stated = statement.output(tensor.name)
    if stated.kind is None:
        kinds = ", ".join(OutputKind)
        raise statement.missing(key, f"'{{\"kind\": ...}}' with one of {kinds}")
    kind = OutputKind(stated.kind)
    aggregate = Aggregate(stated.aggregate or Aggregate.EACH)
    output = Output(
        name=tensor.name,
        kind=kind,
        quantity=_quantity(statement, key, stated, kind),
        classes=_classes(statement, key, stated, kind),
        site=code(stated.site) if stated.site else None,
        title=_title(statement, key, stated, kind),
        aggregate=aggregate,
        exclusive=bool(stated.exclusive),
        limit=stated.limit or Output(tensor.name, kind).limit,
    )
    _check_items(statement, key, output, image)
    return _fitted(statement, tensor, output, image)


def code(row: contracts.Coded) -> Code:
    """Make a fact of a code's row."""
    return Code(row.value, row.scheme, row.meaning)


def _quantity(
    statement: Statement, key: str, stated: contracts.Output, kind: OutputKind
) -> Quantity | None:
    name = stated.name or (stated.title if kind is OutputKind.HEATMAP else None)
    if kind is OutputKind.MEASUREMENT and (name is None or stated.unit is None):
        words = f"needs name and unit, each with value, scheme and meaning: {_CODE_EXAMPLE}"
        raise statement.fault(key, words)
    if (
        name is None
        or stated.unit is None
        or kind not in {OutputKind.MEASUREMENT, OutputKind.HEATMAP}
    ):
        return None
    return Quantity(
        name=code(name),
        unit=code(stated.unit),
        site=code(stated.site) if stated.site else None,
        low=-math.inf if stated.low is None else stated.low,
        high=math.inf if stated.high is None else stated.high,
        decimals=3 if stated.decimals is None else stated.decimals,
    )


def _classes(
    statement: Statement, key: str, stated: contracts.Output, kind: OutputKind
) -> tuple[Class, ...]:
    rows = stated.classes or ()
    wanted = {OutputKind.CLASSIFICATION, OutputKind.MASK, OutputKind.BOXES, OutputKind.POINTS}
    if kind in wanted and not rows:
        example = f'"classes": [{{"name": {_CODE_EXAMPLE}, "threshold": 0.5}}]'
        raise statement.fault(key, f"needs classes: {example}")
    return tuple(
        Class(code(row.name), row.threshold, code(row.category) if row.category else None)
        for row in rows
    )


def _title(
    statement: Statement, key: str, stated: contracts.Output, kind: OutputKind
) -> Code | None:
    found = stated.title or (stated.name if kind is OutputKind.HEATMAP else None)
    if found is not None:
        return code(found)
    if kind is OutputKind.HEATMAP:
        raise statement.fault(key, f'needs title, what it shows: "title": {_CODE_EXAMPLE}')
    return FINDINGS_TITLE if kind is OutputKind.TEXT else None


def _check_items(statement: Statement, key: str, output: Output, image: Input) -> None:
    if output.kind is OutputKind.MASK and image.kind is InputKind.TILES:
        raise statement.fault(key, 'tiles have no mask; a value for each is a "heatmap"')
    numbers = output.kind in {OutputKind.MEASUREMENT, OutputKind.CLASSIFICATION}
    if image.kind not in ITEMS and output.aggregate is not Aggregate.EACH:
        words = f'aggregate "{output.aggregate}" needs a row for each item, and the input is'
        raise statement.fault(key, f"{words} {image.kind}: leave it out")
    if numbers and image.kind is InputKind.TILES and output.aggregate is Aggregate.EACH:
        words = "a finding for each tile would fill a report with thousands"
        raise statement.fault(key, f'{words}: write "aggregate", such as "mean"')


def _fitted(statement: Statement, tensor: Tensor, output: Output, image: Input) -> Output:
    datatypes = _datatypes(output)
    is_its = tensor.datatype in datatypes
    if output.kind in _LAID_OVER and image.kind is not InputKind.TILES:
        least, most = 3, max(3, len(image.preparation.layout))
        if is_its and least <= len(tensor.shape) <= most:
            return output
        needed = f"{' or '.join(datatypes)} with the axes of the input, {least} to {most} of them"
        raise _misfit(statement, tensor, needed)
    shapes = _shapes(output, image)
    if is_its:
        if any(_fits(tensor.shape, shape) for shape in shapes):
            return output
        inner = tensor.shape[1:]
        first_may_go = tensor.shape[:1] in {(1,), (_ANY,)} and image.kind not in ITEMS
        if first_may_go and any(_fits(inner, shape) for shape in shapes):
            return replace(output, is_batched=True)
    needed = " or ".join(f"{datatypes[0]} {list(shape)}" for shape in shapes)
    raise _misfit(statement, tensor, needed)


def _datatypes(output: Output) -> Sequence[str]:
    if output.kind in {OutputKind.TEXT, OutputKind.REFUSAL}:
        return ("BYTES",)
    if output.kind is OutputKind.MASK:
        return ("UINT8", "FP32") if len(output.classes) == 1 else ("UINT8",)
    return ("FP32",)


def _shapes(output: Output, image: Input) -> tuple[tuple[int, ...], ...]:
    """List what a tensor may be declared as; -1 for any length."""
    by_item = image.kind in ITEMS
    if output.kind in _COUNT:
        width = _COUNT[output.kind]
        return ((_ANY, width), (_ANY, _ANY, width - 1)) if by_item else ((_ANY, width),)
    width = {
        OutputKind.CLASSIFICATION: len(output.classes),
        OutputKind.EMBEDDING: _ANY,
        OutputKind.MEASUREMENT: 2 if output.aggregate is Aggregate.WEIGHTED else 1,
    }.get(output.kind, 1)
    if not by_item:
        return ((width,),)
    return ((_ANY, width), (_ANY,)) if width == 1 else ((_ANY, width),)


def _fits(given: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(given) == len(wanted) and all(
        length == _ANY or need in {_ANY, length} for length, need in zip(given, wanted, strict=True)
    )


def _misfit(statement: Statement, tensor: Tensor, needed: str) -> BadAnswer:
    return statement.fault(
        f"output.{tensor.name}",
        f"tensor {tensor.name} is declared {tensor.datatype} {list(tensor.shape)},"
        f" its kind needs {needed}",
    )
