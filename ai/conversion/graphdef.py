"""Read a frozen TensorFlow graph (a GraphDef protocol buffer) without TensorFlow.

Only what a frozen network of convolutions needs: nodes, their inputs, and the attributes that hold
a tensor, a text or a list of integers.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_DTYPES: Final[Mapping[int, np.dtype[Any]]] = {
    1: np.dtype("<f4"),
    3: np.dtype("<i4"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
}
"""By number of tensorflow.DataType."""
_VALUES: Final = {1: 5, 3: 7, 9: 10, 10: 11}
"""By the same: the field of TensorProto that holds single values."""
_MOST_VALUES: Final = 2**28


class NotUnderstood(ValueError):  # noqa: N818  (the file's state)
    """The bytes are no GraphDef, or one that holds more than is read here."""


@dataclass(frozen=True, slots=True)
class Node:
    """One operation."""

    name: str
    op: str
    inputs: tuple[str, ...]
    """Names of nodes; ":1" and on at the end is another output than the first."""
    value: npt.NDArray[Any] | None = None
    """Of a constant."""
    texts: dict[str, str] = field(default_factory=dict)
    integers: dict[str, tuple[int, ...]] = field(default_factory=dict)


def read(graph: bytes) -> dict[str, Node]:
    """Read every node, by name. Raises NotUnderstood."""
    try:
        nodes = [_node(value) for number, value in _fields(graph) if number == 1]
    except NotUnderstood:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as fault:
        raise NotUnderstood(f"no readable GraphDef ({type(fault).__name__})") from fault
    return {node.name: node for node in nodes}


def _node(message: bytes) -> Node:
    fields = list(_fields(message))
    texts = {number: value for number, value in fields if number in {1, 2}}
    attributes = dict(_attribute(value) for number, value in fields if number == 5)
    return Node(
        name=texts[1].decode(),
        op=texts[2].decode(),
        inputs=tuple(value.decode() for number, value in fields if number == 3),
        value=next((one for one in attributes.values() if isinstance(one, np.ndarray)), None),
        texts={key: one for key, one in attributes.items() if isinstance(one, str)},
        integers={key: one for key, one in attributes.items() if isinstance(one, tuple)},
    )


def _attribute(entry: bytes) -> tuple[str, Any]:
    """Read one entry of a node's attributes: a text, a list of integers, a tensor, or None."""
    parts = dict(_fields(entry))
    value = dict(_fields(parts[2]))
    found: Any = None
    if 8 in value:
        found = _tensor(value[8])
    elif 2 in value:
        found = value[2].decode("utf-8", "replace")
    elif 1 in value:
        packed = [item for number, item in _fields(value[1]) if number == 3]
        found = tuple(part for item in packed for part in _integers(item)) or None
    return parts[1].decode(), found


def _tensor(message: bytes) -> npt.NDArray[Any]:
    fields = dict(_fields(message))
    kind: int = fields[1]
    dtype = _DTYPES.get(kind)
    if dtype is None:
        raise NotUnderstood(f"a tensor of data type {kind}")
    sizes = [dict(_fields(size)).get(1, 0) for number, size in _fields(fields[2]) if number == 2]
    if math.prod(sizes) > _MOST_VALUES:
        raise NotUnderstood(f"a tensor of {sizes} values")
    values: npt.NDArray[Any]
    if fields.get(4):
        values = np.frombuffer(fields[4], dtype=dtype)
        return values.reshape(sizes)
    packed = fields.get(_VALUES[kind], b"")
    if dtype.kind == "f":
        values = np.frombuffer(packed, dtype=dtype)
    else:
        values = np.array(_integers(packed)).astype(dtype)
    # A single value stands for as many as the shape says.
    return np.full(sizes, values[0]) if values.size == 1 else values.reshape(sizes)


def _integers(packed: bytes | int) -> list[int]:
    if isinstance(packed, int):
        return [_signed(packed)]
    values, at = [], 0
    while at < len(packed):
        value, at = _varint(packed, at)
        values.append(_signed(value))
    return values


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield (field number, value) of a protocol buffer's wire format."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == 2:
            size, at = _varint(message, at)
        else:
            size = {1: 8, 5: 4}[wire]
        if at + size > len(message):
            raise NotUnderstood("a field reaches beyond the end")
        yield number, message[at : at + size]
        at += size
