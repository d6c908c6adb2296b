"""Read a model's contract out of the parameters that its config.pbtxt declares.

The parameters' names begin with "penumbra."; `[models.NAME]` in node.toml may override what the
Series must be. Nothing here talks to a server.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final, TypeVar

from ai.contract import (
    Code,
    Contract,
    Input,
    InputKind,
    Orientation,
    Output,
    OutputKind,
    Quantity,
    Served,
    Tensor,
    Wants,
)
from config.models import Model
from dicom.errors import BadAnswer

PREFIX: Final = "penumbra."
_Kind = TypeVar("_Kind", bound=StrEnum)

_INPUTS: Final[Mapping[InputKind, tuple[str, tuple[int, ...]]]] = {
    InputKind.VOLUME: ("INT16", (-1, -1, -1)),
    InputKind.SPACING: ("FP32", (3,)),
}
_OUTPUTS: Final[Mapping[OutputKind, tuple[str, tuple[int, ...]]]] = {
    OutputKind.MEASUREMENT: ("FP32", (1,)),
    OutputKind.REFUSAL: ("BYTES", (1,)),
}


def read(served: Served, settings: Model) -> Contract:
    """Read a model's contract, with the node's own settings laid over it.

    Raises BadAnswer, naming the parameter, when the model states no usable contract or declares
    tensors that do not fit it.
    """
    if served.max_batch_size:
        raise BadAnswer(f"model {served.model}: one Series is one request; set max_batch_size: 0")
    reader = _Reader(served.model, served.parameters)
    return Contract(
        algorithm=reader.text("algorithm"),
        algorithm_version=reader.text("algorithm_version"),
        settings=served.parameters.get(f"{PREFIX}settings", ""),
        procedure=reader.code("procedure"),
        wants=_override(_wants(reader), settings),
        inputs=tuple(_input(reader, tensor) for tensor in served.inputs),
        outputs=tuple(_output(reader, tensor) for tensor in served.outputs),
    )


def _override(wants: Wants, settings: Model) -> Wants:
    if settings.min_slices is not None:
        wants = replace(wants, min_slices=settings.min_slices)
    if settings.max_spacing_mm is not None:
        wants = replace(wants, max_spacing_mm=settings.max_spacing_mm)
    return wants


def _wants(reader: "_Reader") -> Wants:
    return Wants(
        modality=reader.text("wants.modality"),
        orientation=reader.choice("wants.orientation", Orientation, Orientation.AXIAL),
        min_slices=int(reader.number("wants.min_slices", 2)),
        max_spacing_mm=reader.number("wants.max_spacing_mm", math.inf),
    )


def _input(reader: "_Reader", tensor: Tensor) -> Input:
    kind = reader.choice(f"input.{tensor.name}", InputKind)
    _check_declared(reader, tensor, *_INPUTS[kind])
    return Input(tensor.name, kind)


def _output(reader: "_Reader", tensor: Tensor) -> Output:
    path = f"output.{tensor.name}"
    row = reader.table(path)
    if row.get("kind") not in set(OutputKind):
        raise reader.fault(path, f"kind must be one of {', '.join(OutputKind)}")
    kind = OutputKind(row["kind"])
    _check_declared(reader, tensor, *_OUTPUTS[kind])
    return Output(
        name=tensor.name,
        kind=kind,
        quantity=_quantity(reader, path, row) if kind is OutputKind.MEASUREMENT else None,
    )


def _quantity(reader: "_Reader", path: str, row: Mapping[str, Any]) -> Quantity:
    try:
        return Quantity(
            name=_code(row["name"]),
            unit=_code(row["unit"]),
            site=_code(row["site"]) if "site" in row else None,
            low=float(row.get("low", -math.inf)),
            high=float(row.get("high", math.inf)),
            decimals=int(row.get("decimals", 3)),
        )
    except (KeyError, TypeError, ValueError) as fault:
        words = "needs name and unit, each with value, scheme and meaning"
        raise reader.fault(path, words) from fault


def _code(row: Mapping[str, str]) -> Code:
    code = Code(str(row["value"]), str(row["scheme"]), str(row["meaning"]))
    # PS3.3 Table 8.8-1: Code Value and Coding Scheme Designator are SH, Code Meaning is LO.
    if not (
        0 < len(code.value) <= 16 and 0 < len(code.scheme) <= 16 and 0 < len(code.meaning) <= 64
    ):
        raise ValueError("a code has a value and a scheme of 16 characters, a meaning of 64")
    return code


def _check_declared(
    reader: "_Reader", tensor: Tensor, datatype: str, shape: tuple[int, ...]
) -> None:
    fits = len(tensor.shape) == len(shape) and all(
        given in {-1, wanted} or wanted == -1
        for given, wanted in zip(tensor.shape, shape, strict=True)
    )
    if tensor.datatype != datatype or not fits:
        raise BadAnswer(
            f"model {reader.model}: tensor {tensor.name} is declared {tensor.datatype} "
            f"{list(tensor.shape)}, its kind needs {datatype} {list(shape)}"
        )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads typed values out of a model's parameters; every fault names its parameter."""

    model: str
    parameters: Mapping[str, str]

    def fault(self, key: str, words: str) -> BadAnswer:
        return BadAnswer(f"model {self.model}: parameter {PREFIX}{key}: {words}")

    def text(self, key: str) -> str:
        value = self.parameters.get(f"{PREFIX}{key}", "")
        if not value:
            raise self.fault(key, "missing from config.pbtxt")
        return value

    def number(self, key: str, default: float) -> float:
        value = self.parameters.get(f"{PREFIX}{key}")
        try:
            return default if value is None else float(value)
        except ValueError as fault:
            raise self.fault(key, "not a number") from fault

    def choice(self, key: str, kinds: type[_Kind], default: _Kind | None = None) -> _Kind:
        value = self.parameters.get(f"{PREFIX}{key}")
        if value is None and default is not None:
            return default
        if value not in set(kinds):
            raise self.fault(key, f"must be one of {', '.join(kinds)}")
        return kinds(value)

    def table(self, key: str) -> Mapping[str, Any]:
        try:
            row = json.loads(self.text(key))
        except ValueError as fault:
            raise self.fault(key, "not JSON") from fault
        if not isinstance(row, dict):
            raise self.fault(key, "not a JSON object")
        return row

    def code(self, key: str) -> Code:
        try:
            return _code(self.table(key))
        except (KeyError, TypeError, ValueError) as fault:
            raise self.fault(key, "needs value, scheme and meaning") from fault
