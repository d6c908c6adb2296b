"""How a request to infer is laid out as bytes, with one copy of the tensors and no more.

tritonclient's own way copies them three times before they leave: into an input, into a message,
and into what is sent. Here the message is written without its tensors, which follow it as fields
of their own; the order of fields means nothing (Protocol Buffers, encoding).
"""
# As ai/triton.py, a home of tritonclient.
# mypy: untyped-calls-exclude=tritonclient

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tritonclient.grpc import service_pb2
from tritonclient.utils import serialize_byte_tensor

from ai.contract import Served, Tensor
from ai.endpoint import Call
from ai.tensors import BYTES, Array

_messages: Any = service_pb2  # its classes are made when it is imported, unseen by a type checker

METHOD: Final = "/inference.GRPCInferenceService/ModelInfer"
_LENGTH_DELIMITED: Final = 2
_ID_TAG: Final = _messages.ModelInferRequest.ID_FIELD_NUMBER << 3 | _LENGTH_DELIMITED
_RAW_TAG: Final = (
    _messages.ModelInferRequest.RAW_INPUT_CONTENTS_FIELD_NUMBER << 3 | _LENGTH_DELIMITED
)
_URGENT: Final = 1
"""Triton's first priority; without one a request has the model's default."""

parse = _messages.ModelInferResponse.FromString


@dataclass(frozen=True, slots=True)
class Given:
    """One input: its array, and the region of shared memory that holds its values, if one does."""

    tensor: Tensor
    array: Array
    region: str = ""
    offset: int = 0


class Writer:
    """Writes requests; those of one kind, shapes and all, differ in their ids and tensors alone.

    What the last one began with is kept for the next: a message made of parts costs a small call
    a tenth of its time.
    """

    def __init__(self) -> None:
        self._served: Served | None = None
        self._shapes: list[tuple[int, ...]] = []
        self._is_urgent = False
        self._head = b""

    def request(self, call: Call, name: str, inputs: Sequence[Given]) -> bytes:
        """Write a request. `name` is its id, which the answer repeats.

        `inputs` are those of `call.served`, in their order.
        """
        number = name.encode()
        parts: list[Any] = [self._begin(call, inputs), _field(_ID_TAG, len(number)), number]
        for given in inputs:
            if not given.region:
                values, size_bytes = _values(given)
                parts += [_field(_RAW_TAG, size_bytes), values]
        return b"".join(parts)

    def _begin(self, call: Call, inputs: Sequence[Given]) -> bytes:
        if call.step is not None or any(given.region for given in inputs):
            return _head(call, inputs)
        shapes = [given.array.shape for given in inputs]
        if (
            self._served is not call.served
            or self._shapes != shapes
            or self._is_urgent != call.urgent
        ):
            self._served, self._shapes, self._is_urgent = call.served, shapes, call.urgent
            self._head = _head(call, inputs)
        return self._head


def _head(call: Call, inputs: Sequence[Given]) -> bytes:
    """Write all of a request but its id and its tensors."""
    served, step = call.served, call.step
    message = _messages.ModelInferRequest(model_name=served.model, model_version=served.version)
    for given in inputs:
        row = message.inputs.add(
            name=given.tensor.name, datatype=given.tensor.datatype, shape=given.array.shape
        )
        if given.region:
            row.parameters["shared_memory_region"].string_param = given.region
            row.parameters["shared_memory_byte_size"].int64_param = given.array.nbytes
            if given.offset:
                row.parameters["shared_memory_offset"].int64_param = given.offset
    for tensor in served.outputs:
        message.outputs.add(name=tensor.name)
    if step is not None:
        message.parameters["sequence_id"].int64_param = step.sequence
        message.parameters["sequence_start"].bool_param = step.is_first
        message.parameters["sequence_end"].bool_param = step.is_last
    if call.urgent and served.priority_levels:
        message.parameters["priority"].uint64_param = _URGENT
    head: bytes = message.SerializeToString()
    return head


def _values(given: Given) -> tuple[Any, int]:
    """Give the bytes of an array, as they are in memory where that is their order, and how many."""
    if given.tensor.datatype == BYTES:
        packed = serialize_byte_tensor(given.array)
        values = packed.item() if packed.size else b""
        return values, len(values)
    return np.ascontiguousarray(given.array), given.array.nbytes


def _field(tag: int, size_bytes: int) -> bytes:
    """Begin a field of so many bytes."""
    return bytes((tag,)) + _varint(size_bytes)


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
