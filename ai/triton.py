"""One Triton endpoint over gRPC (KServe v2); the home of tritonclient and gRPC.

A client belongs to the event loop it was made in and lives as long as the process: connecting
anew for each call would cost more than a small model does.
"""
# tritonclient has no type information, so its calls are untyped here and nowhere else.
# mypy: untyped-calls-exclude=tritonclient

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy.typing as npt
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ai.contract import Served, Tensor
from dicom.errors import BadAnswer, InferenceFault, ModelUnavailable

Tensors = Mapping[str, npt.NDArray[Any]]

PROBE_S: Final = 2.0
"""How long a question that needs no computing may take."""
_MAX_MESSAGE_BYTES: Final = 2**31 - 1
_CHANNEL: Final = [
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]
_MODEL_IS_WRONG: Final = {"INVALID_ARGUMENT", "UNIMPLEMENTED", "OUT_OF_RANGE"}
"""The server understood and says no; it will say no again."""


class Endpoint:
    """A client of one server. Every method raises ModelUnavailable when the server is not there."""

    def __init__(self, address: str) -> None:
        """Make a client of HOST:PORT; it connects at the first call. Needs a running loop."""
        self.address = address
        self._client = InferenceServerClient(address, channel_args=_CHANNEL)
        self._served: dict[tuple[str, str], Served] = {}

    async def describe(self, model: str, version: str) -> Served:
        """Ask whether the model is ready and what it is; the description is kept per version.

        Raises BadAnswer when the model cannot be described.
        """
        with _faults(self.address, model, self._served.clear):
            if not await self._client.is_model_ready(model, version, client_timeout=PROBE_S):
                raise ModelUnavailable(f"{self.address}: model {model} is not ready")
            if (model, version) not in self._served:
                self._served[model, version] = await self._ask(model, version)
        return self._served[model, version]

    async def infer(
        self, served: Served, version: str, tensors: Tensors, timeout_s: float
    ) -> dict[str, npt.NDArray[Any]]:
        """Run the model on arrays by input name; return arrays by output name.

        `version` is the wanted one, "" for the server's newest. Cancels the model's work when the
        time is over. Raises BadAnswer when the server refuses the tensors, answers for another
        model, or leaves an output out.
        """
        inputs = []
        for tensor in served.inputs:
            array = tensors[tensor.name]
            given = InferInput(tensor.name, list(array.shape), tensor.datatype)
            given.set_data_from_numpy(array)
            inputs.append(given)
        with _faults(self.address, served.model, self._served.clear):
            answer = await self._client.infer(
                served.model,
                inputs,
                model_version=version,
                outputs=[InferRequestedOutput(tensor.name) for tensor in served.outputs],
                client_timeout=timeout_s,
            )
            self._check_answered_by(served, answer.get_response())
            return {tensor.name: _array(answer, tensor) for tensor in served.outputs}

    async def close(self) -> None:
        """Close the connection."""
        await self._client.close()

    def _check_answered_by(self, served: Served, response: Any) -> None:
        if response.model_name != served.model:
            raise BadAnswer(f"{self.address}: another model answered than {served.model}")
        if response.model_version != served.version:
            self._served.clear()  # the server has loaded a newer one meanwhile
            raise ModelUnavailable(f"{self.address}: model {served.model} changed its version")

    async def _ask(self, model: str, version: str) -> Served:
        server = await self._client.get_server_metadata(client_timeout=PROBE_S)
        metadata = await self._client.get_model_metadata(model, version, client_timeout=PROBE_S)
        config = await self._client.get_model_config(model, version, client_timeout=PROBE_S)
        return Served(
            model=model,
            version=version or max(metadata.versions, key=int, default=""),
            server=f"{server.name} {server.version}",
            inputs=_tensors(metadata.inputs),
            outputs=_tensors(metadata.outputs),
            parameters={
                key: parameter.string_value for key, parameter in config.config.parameters.items()
            },
            max_batch_size=config.config.max_batch_size,
        )


def _tensors(declared: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(row.name, row.datatype, tuple(row.shape)) for row in declared)


def _array(answer: Any, tensor: Tensor) -> npt.NDArray[Any]:
    declared = answer.get_output(tensor.name)
    if declared is None:
        raise BadAnswer(f"output {tensor.name} is missing from the answer")
    if declared.datatype != tensor.datatype:
        raise BadAnswer(f"output {tensor.name} came as {declared.datatype}")
    array: npt.NDArray[Any] = answer.as_numpy(tensor.name)
    return array


@contextlib.contextmanager
def _faults(address: str, model: str, forget: Callable[[], None]) -> Iterator[None]:
    """Translate a client's exceptions into faults; `forget` what was known of a failing server."""
    try:
        yield
    except InferenceServerException as failed:
        forget()
        raise _fault(address, model, failed) from failed
    except ValueError as broken:  # the answer's bytes do not fill the shape it declares
        raise BadAnswer(f"{address}: model {model} answered a broken tensor") from broken


def _fault(address: str, model: str, failed: InferenceServerException) -> InferenceFault:
    status = str(failed.status() or "").removeprefix("StatusCode.")
    words = f"{address}: model {model}: {status or 'failed'}"
    if status in _MODEL_IS_WRONG:
        return BadAnswer(f"{words}: {_first_line(failed)}")
    return ModelUnavailable(f"{words}: {_first_line(failed)}")


def _first_line(failed: InferenceServerException) -> str:
    lines = str(failed.message() or "").strip().splitlines()
    return "".join(sign for sign in (lines[0] if lines else "") if sign.isprintable())[:200]
