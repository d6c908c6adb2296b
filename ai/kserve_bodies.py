"""What is said over HTTP in KServe v2: JSON, with arrays in it or, where both can, behind it. Pure.

The binary tensor data extension puts a JSON object first, then the arrays' bytes one after another;
a header says where the first ends.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ai import tensors
from ai.contract import Served, Tensor
from ai.datatypes import DTYPES
from ai.endpoint import Call
from ai.http_calls import parsed
from ai.trouble import one_line
from dicom.errors import BadAnswer, Unsuitable

LENGTH_HEADER: Final = "inference-header-content-length"
_URGENT: Final = 1
_JSONLESS: Final = frozenset({"FP16"})
"""Datatypes that JSON has no form for (KServe v2)."""
_MOST_DIGITS: Final = 20
_TOLD: Final = ("error", "detail", "message", "Message")
"""Where servers have the words of a fault; the last two are AWS's."""


def request(call: Call, name: str, *, is_binary: bool) -> tuple[bytes, dict[str, str]]:
    """Write a request: its body and its headers. Raises Unsuitable for what JSON cannot say."""
    inputs: list[dict[str, Any]] = []
    behind: list[bytes] = []
    for tensor in call.served.inputs:
        array = call.tensors[tensor.name]
        row: dict[str, Any] = {
            "name": tensor.name,
            "datatype": tensor.datatype,
            "shape": list(array.shape),
        }
        if is_binary:
            behind.append(_bytes(tensor, array))
            row["parameters"] = {"binary_data_size": len(behind[-1])}
        else:
            row["data"] = _listed(call.served, tensor, array)
        inputs.append(row)
    outputs = [
        {"name": each.name, **({"parameters": {"binary_data": True}} if is_binary else {})}
        for each in call.served.outputs
    ]
    said: dict[str, Any] = {"id": name, "inputs": inputs, "outputs": outputs}
    if parameters := _parameters(call):
        said["parameters"] = parameters
    head = json.dumps(said).encode()
    if not is_binary:
        return head, {"content-type": "application/json"}
    headers = {"content-type": "application/octet-stream", LENGTH_HEADER: str(len(head))}
    return b"".join((head, *behind)), headers


def _parameters(call: Call) -> dict[str, Any]:
    said: dict[str, Any] = {}
    if call.step is not None:
        said |= {
            "sequence_id": call.step.sequence,
            "sequence_start": call.step.is_first,
            "sequence_end": call.step.is_last,
        }
    if call.urgent and call.served.priority_levels:
        said["priority"] = _URGENT
    return said


def _bytes(tensor: Tensor, array: tensors.Array) -> bytes:
    if tensor.datatype != tensors.BYTES:
        return np.ascontiguousarray(array).tobytes()
    texts = [each if isinstance(each, bytes) else str(each).encode() for each in array.flat]
    return b"".join(len(each).to_bytes(4, "little") + each for each in texts)


def _listed(served: Served, tensor: Tensor, array: tensors.Array) -> list[Any]:
    if tensor.datatype in _JSONLESS:
        raise Unsuitable(
            f"model {served.model}: input {tensor.name} is {tensor.datatype}, which JSON cannot"
            " say; ask this server over gRPC"
        )
    if tensor.datatype == tensors.BYTES:
        return [each.decode() if isinstance(each, bytes) else str(each) for each in array.flat]
    listed: list[Any] = array.ravel().tolist()
    return listed


def answer(
    served: Served, name: str, body: bytes, length: str | None
) -> tuple[dict[str, tensors.Array], str]:
    """Read an answer: arrays by name, and the version that gave it ("" where none is named).

    `length` is what the header says of the JSON part. Raises BadAnswer.
    """
    head, behind = body, memoryview(b"")
    if length is not None:
        if not (length.isdecimal() and len(length) < _MOST_DIGITS) or int(length) > len(body):
            raise BadAnswer(f"model {served.model} answered with a broken header")
        head, behind = body[: int(length)], memoryview(body)[int(length) :]
    said = _object(served, head)
    if said.get("id") not in {None, "", name}:
        raise BadAnswer(f"model {served.model} answered another request")
    if said.get("model_name") != served.model:
        raise BadAnswer(f"another model answered than {served.model}")
    arrays: dict[str, tensors.Array] = {}
    wanted = {tensor.name: tensor for tensor in served.outputs}
    at = 0
    for row in _rows(served, said):
        size = _size(row)
        if row["name"] in wanted:
            tensor = wanted[row["name"]]
            raw = behind[at : at + size] if size is not None else _raw(tensor, row)
            arrays[tensor.name] = tensors.decode(tensor, row["datatype"], row["shape"], raw)
        at += size or 0
    for tensor in served.outputs:
        if tensor.name not in arrays:
            raise BadAnswer(f"output {tensor.name} is missing from the answer")
    return arrays, str(said.get("model_version") or "")


def words(body: bytes) -> str:
    """Give what a server says of a fault, in one line."""
    said = parsed(body)
    if not isinstance(said, Mapping):
        return ""
    told = next((said[key] for key in _TOLD if said.get(key)), "")
    if isinstance(told, Mapping):  # as Google has it
        told = told.get("message", "")
    return one_line(str(told))


def _object(served: Served, head: bytes) -> Mapping[str, Any]:
    said = parsed(head)
    if not isinstance(said, dict):
        raise BadAnswer(f"model {served.model} answered something else than a JSON object")
    return said


def _rows(served: Served, said: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    rows = said.get("outputs")
    fine = isinstance(rows, list) and all(
        isinstance(row, dict)
        and isinstance(row.get("name"), str)
        and isinstance(row.get("datatype"), str)
        and isinstance(row.get("shape"), list)
        and all(isinstance(length, int) and length >= 0 for length in row["shape"])
        for row in rows
    )
    if not fine or not isinstance(rows, list):
        raise BadAnswer(f"model {served.model} answered without name, datatype or shape")
    return rows


def _size(row: Mapping[str, Any]) -> int | None:
    parameters = row.get("parameters")
    size = parameters.get("binary_data_size") if isinstance(parameters, dict) else None
    if size is not None and (not isinstance(size, int) or size < 0):
        raise BadAnswer(f"output {row['name']} came with a broken length")
    return size


def _raw(tensor: Tensor, row: Mapping[str, Any]) -> bytes:
    """Pack what came as a list; nested lists are flattened, as the standard allows both."""
    dtype = DTYPES.get(row["datatype"])
    try:
        if row["datatype"] == tensors.BYTES:
            texts = [str(each).encode() for each in _flat(row.get("data"))]
            return b"".join(len(each).to_bytes(4, "little") + each for each in texts)
        return np.asarray(row.get("data"), dtype=dtype).tobytes() if dtype is not None else b""
    except (TypeError, ValueError, OverflowError, RecursionError) as fault:
        words = f"output {tensor.name} came with data that are not {row['datatype']}"
        raise BadAnswer(words) from fault


def _flat(data: Any) -> list[Any]:
    if not isinstance(data, list):
        return [data]
    return [leaf for each in data for leaf in _flat(each)]
