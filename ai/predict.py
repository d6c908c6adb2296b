"""Whoever answers a JSON predict call over HTTPS: Vertex AI, SageMaker, TensorFlow Serving.

Two forms are common. By rows: {"instances": [{"image": [...]}]} is answered {"predictions":
[{"probability": [...]}]}, one for each. By columns: {"inputs": {"image": [...]}} is answered
{"outputs": {"probability": [...]}}. Such a server describes nothing: [models.NAME.predict] does.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from ai import tensors
from ai.contract import Served, Tensor
from ai.datatypes import DTYPES
from ai.endpoint import PROBE_S, Call, Reply
from ai.http_calls import Calls, parsed, require_good
from ai.kserve_bodies import words
from ai.tracing import traceparent
from config.predict import Predict
from dicom.errors import BadAnswer, Unsuitable

_ROWS, _COLUMNS = ("instances", "predictions"), ("inputs", "outputs")
_UNKNOWN: Final = "unversioned"


class PredictEndpoint:
    """A client of one URL. See ai/endpoint.py for what its methods raise."""

    def __init__(self, calls: Calls, predict: Predict) -> None:
        """Take the URL that is called, and what stands in for the model's own description."""
        self.address = calls.address
        self._calls = calls
        self._predict = predict

    async def describe(self, model: str, version: str) -> Served:
        """Say what the config says, once there are credentials; the server is not asked."""
        await self._calls.identify(PROBE_S)
        return Served(
            model=model,
            version=version or _UNKNOWN,
            server="HTTP predict",
            inputs=_tensors(self._predict.inputs),
            outputs=_tensors(self._predict.outputs),
            parameters={},
        )

    async def infer(self, call: Call) -> Reply:
        """Run the model. The server may go on computing when the time is over."""
        tensors.check_inputs(call.served, call.tensors)
        if call.step is not None:
            raise Unsuitable(f"model {call.served.model}: a predict call has no sequences")
        headers = {"content-type": "application/json"}
        if call.trace:
            headers["traceparent"] = traceparent(call.trace)
        is_rows = self._predict.form == "instances"
        body = json.dumps(_said(call, is_rows=is_rows)).encode()
        said = await self._calls.ask("POST", "", call.timeout_s, body, headers)
        who = f"{self.address}: model {call.served.model}"
        require_good(said, who, words(said.body))
        return Reply(read(call, said.body, is_rows=is_rows))

    async def heal(self, model: str, timeout_s: float) -> None:
        """Do nothing: nobody can ask such a server for that."""

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()


def _tensors(declared: Mapping[str, Any]) -> tuple[Tensor, ...]:
    return tuple(Tensor(name, each.datatype, each.shape) for name, each in declared.items())


def _said(call: Call, *, is_rows: bool) -> dict[str, Any]:
    """Write a request: what has one axis alone is said of every row."""
    arrays = {tensor.name: call.tensors[tensor.name] for tensor in call.served.inputs}
    if not is_rows:
        return {_COLUMNS[0]: {name: _plain(array) for name, array in arrays.items()}}
    counts = {len(array) for array in arrays.values() if array.ndim > 1}
    if len(counts) != 1:
        raise Unsuitable(
            f"model {call.served.model}: the inputs have no common number of rows; a volume wants"
            ' a layout that begins with "1", or form = "inputs"'
        )
    (rows,) = counts
    return {
        _ROWS[0]: [
            {
                name: _plain(array[row] if array.ndim > 1 else array)
                for name, array in arrays.items()
            }
            for row in range(rows)
        ]
    }


def _plain(array: tensors.Array) -> Any:
    if array.dtype.kind in "OSU":
        return [one.decode() if isinstance(one, bytes) else str(one) for one in array.flat]
    return array.tolist()


def read(call: Call, body: bytes, *, is_rows: bool) -> dict[str, tensors.Array]:
    """Read an answer into arrays as the config declares them. Raises BadAnswer."""
    served = call.served
    said = parsed(body)
    key = _ROWS[1] if is_rows else _COLUMNS[1]
    if not isinstance(said, dict) or key not in said:
        raise BadAnswer(f'model {served.model} answered no JSON object with "{key}"')
    names = [tensor.name for tensor in served.outputs]
    found = _by_rows(call, said[key], names) if is_rows else _by_columns(said[key], names)
    return {
        tensor.name: _array(tensor, found.get(tensor.name, _MISSING)) for tensor in served.outputs
    }


_MISSING: Final = object()


def _by_rows(call: Call, rows: Any, names: Sequence[str]) -> dict[str, list[Any]]:
    asked = max((len(array) for array in call.tensors.values() if array.ndim > 1), default=1)
    if not isinstance(rows, list) or len(rows) != asked:
        raise BadAnswer(f"model {call.served.model} answered no list of {asked} predictions")
    found: dict[str, list[Any]] = {name: [] for name in names}
    for row in rows:
        for name, value in _by_columns(row, names).items():
            found[name].append(value)
    return {name: values for name, values in found.items() if len(values) == len(rows)}


def _by_columns(said: Any, names: Sequence[str]) -> dict[str, Any]:
    """Give values by output; a bare value is that of the only output."""
    if isinstance(said, dict):
        return {name: said[name] for name in names if name in said}
    return {names[0]: said} if len(names) == 1 else {}


def _array(tensor: Tensor, value: Any) -> tensors.Array:
    if value is _MISSING:
        raise BadAnswer(f"output {tensor.name} is missing from the answer")
    if tensor.datatype == tensors.BYTES:
        array = np.empty(len(value) if isinstance(value, list) else 1, dtype=np.object_)
        array[:] = [str(one).encode() for one in (value if isinstance(value, list) else [value])]
        return array
    try:
        array = np.asarray(value, dtype=DTYPES[tensor.datatype])
    except (TypeError, ValueError, OverflowError) as fault:
        raise BadAnswer(f"output {tensor.name} came with data that are no numbers") from fault
    if array.ndim == len(tensor.shape) + 1 and array.shape[:1] == (1,):
        array = array[0]  # one row, said as a row
    return tensors.decode(tensor, tensor.datatype, array.shape, array.tobytes())
