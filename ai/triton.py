"""Triton, and whoever else speaks KServe v2 over gRPC: the home of tritonclient and gRPC.

A client belongs to the event loop it was made in and lives as long as the process: connecting
anew for each call would cost more than a small model does.
"""
# tritonclient has no type information, so its calls are untyped here and nowhere else.
# mypy: untyped-calls-exclude="tritonclient,grpc"

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import grpc
import numpy as np
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from ai import tensors, triton_wire
from ai.contract import Served, Tensor
from ai.datatypes import DTYPES
from ai.endpoint import PROBE_S, Call, Reply
from ai.tracing import traceparent
from ai.triton_memory import Memory, is_local
from ai.triton_wire import Given
from ai.trouble import Trouble, Troubled, classify, one_line, why_absent
from dicom.errors import BadAnswer, InferenceFault, Unsuitable

SHARED_FROM_BYTES: Final = 1 << 16
"""Less than this is carried by the call itself: it is on its way sooner."""
MOST_BYTES: Final = 2**31 - 1
"""What one message can carry."""
_ROOM_BYTES: Final = 1 << 16
"""For names and shapes beside the arrays."""
_CHANNEL: Final = [
    ("grpc.max_send_message_length", MOST_BYTES),
    ("grpc.max_receive_message_length", MOST_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
]


class TritonEndpoint:
    """A client of one server. See ai/endpoint.py for what its methods raise."""

    def __init__(
        self,
        address: str,
        *,
        credentials: "Credentials | None" = None,
        headers: Mapping[str, str] | None = None,
        shared_memory: bool = True,
    ) -> None:
        """Make a client of HOST:PORT; it connects at the first call. Needs a running loop.

        `headers` go with every call. `shared_memory` is used where the server is on this host and
        can, and only then.
        """
        self.address = address
        tls = credentials or Credentials()
        options = [*_CHANNEL, *tls.options]
        self._client = InferenceServerClient(address, channel_args=options, creds=tls.channel)
        # A channel to the same place by the same means: the two share one connection.
        self._channel = (
            grpc.aio.insecure_channel(address, options)
            if tls.channel is None
            else grpc.aio.secure_channel(address, tls.channel, options)
        )
        self._infer: Any = self._channel.unary_unary(
            triton_wire.METHOD, response_deserializer=triton_wire.parse
        )
        self._headers = dict(headers or {})
        self._metadata = tuple(self._headers.items())
        self._writer = triton_wire.Writer()
        self._name = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._software = ""
        self._memory: Memory | None = None
        self._wants_memory = shared_memory and is_local(address)

    async def describe(self, model: str, version: str) -> Served:
        """Ask whether the model is ready and what it is. Raises BadAnswer where nobody can say."""
        with self._faults(model):
            if not await self._client.is_model_ready(
                model, version, headers=dict(self._headers), client_timeout=PROBE_S
            ):
                named = f"{model} version {version}" if version else model
                words = f"{self.address}: model {named} is not ready{await self._why(model)}"
                raise Troubled(words, Trouble.ABSENT)
            if not self._software:
                await self._meet()
            metadata, config = await asyncio.gather(
                self._client.get_model_metadata(
                    model, version, headers=dict(self._headers), client_timeout=PROBE_S
                ),
                self._config(model, version),
            )
        return _served(model, version, self._software, metadata, config)

    async def infer(self, call: Call) -> Reply:
        """Run the model. Cancels its work when the time is over.

        Raises Unsuitable where the arrays are not what the server takes, BadAnswer where it
        refuses them or its answer is broken, or is to another request.
        """
        tensors.check_inputs(call.served, call.tensors)
        size = tensors.size_bytes(call.tensors)
        if self._memory is not None and size >= SHARED_FROM_BYTES:
            reply = await self._by_memory(self._memory, call)
            if reply is not None:
                return reply
        if size + _ROOM_BYTES > MOST_BYTES:
            raise Unsuitable(
                f"model {call.served.model}: {size / 1e9:.1f} GB in one request, and gRPC carries"
                " 2.1; have the contract ask for slices, or a coarser spacing"
            )
        inputs = [Given(tensor, call.tensors[tensor.name]) for tensor in call.served.inputs]
        return Reply(await self._ask(call, inputs))

    async def _by_memory(self, memory: Memory, call: Call) -> Reply | None:
        borrowed = await memory.inputs(call.served, call.tensors)
        if borrowed is None:
            return None
        with borrowed.held() as inputs:
            try:
                arrays = await self._ask(call, inputs)
            except Troubled as fault:
                if fault.trouble is not Trouble.LOST_MEMORY:
                    raise
                memory.forget()  # the server was started again; this once without
                return None
            borrowed.answered()
        return Reply(arrays, by_shared_memory=True)

    async def heal(self, model: str, timeout_s: float) -> None:
        """Have the server start a model's process anew."""
        for change in (self._client.unload_model, self._client.load_model):
            with self._faults(model):
                await change(model, headers=dict(self._headers), client_timeout=timeout_s)

    async def close(self) -> None:
        """Give shared memory back, and close the connection."""
        if self._memory is not None:
            await self._memory.close()
        await self._channel.close()
        await self._client.close()

    async def _meet(self) -> None:
        """Ask what the server is, and what it can, when it is first met."""
        server = await self._client.get_server_metadata(
            headers=dict(self._headers), client_timeout=PROBE_S
        )
        self._software = f"{server.name} {server.version}"
        if self._wants_memory and "system_shared_memory" in server.extensions:
            self._memory = Memory(self.address, self._client, self._headers)

    async def _why(self, model: str) -> str:
        """Ask what the server knows of a model that is not ready."""
        try:
            index = await self._client.get_model_repository_index(
                headers=dict(self._headers), client_timeout=PROBE_S
            )
        except InferenceServerException:
            return ""  # who has no repository has no words about it
        return why_absent(model, [(each.name, each.version, each.reason) for each in index.models])

    async def _config(self, model: str, version: str) -> Any:
        try:
            found = await self._client.get_model_config(
                model, version, headers=dict(self._headers), client_timeout=PROBE_S
            )
        except InferenceServerException as failed:
            if _status(failed) != "UNIMPLEMENTED":
                raise
            return None  # a server of another make: its contract stands in node.toml
        return found.config

    async def _ask(self, call: Call, inputs: list[Given]) -> dict[str, tensors.Array]:
        metadata = self._metadata
        if call.trace:
            metadata = (*metadata, ("traceparent", traceparent(call.trace)))
        name = f"{self._name}-{next(self._numbers)}"
        try:
            response = await self._infer(
                self._writer.request(call, name, inputs), timeout=call.timeout_s, metadata=metadata
            )
        except grpc.aio.AioRpcError as failed:
            status, said = failed.code().name, str(failed.details() or "")
            raise self._fault(call.served.model, status, said) from failed
        self._check_answered(call.served, name, response)
        return self._outputs(call.served, response)

    def _check_answered(self, served: Served, name: str, response: Any) -> None:
        if response.id != name:
            raise BadAnswer(f"{self.address}: model {served.model} answered another request")
        if response.model_name != served.model:
            raise BadAnswer(f"{self.address}: another model answered than {served.model}")
        if served.version and response.model_version != served.version:
            words = f"{self.address}: model {served.model} changed its version"
            raise Troubled(words, Trouble.ABSENT)

    def _outputs(self, served: Served, response: Any) -> dict[str, tensors.Array]:
        found = {
            row.name: (row, raw) for row, raw in zip(response.outputs, _raw(response), strict=False)
        }
        arrays = {}
        for tensor in served.outputs:
            if tensor.name not in found:
                raise BadAnswer(f"{self.address}: output {tensor.name} is missing from the answer")
            row, raw = found[tensor.name]
            arrays[tensor.name] = tensors.decode(tensor, row.datatype, row.shape, raw)
        return arrays

    @contextlib.contextmanager
    def _faults(self, model: str) -> Iterator[None]:
        try:
            yield
        except InferenceServerException as failed:
            said = str(failed.message() or "")
            raise self._fault(model, _status(failed), said) from failed

    def _fault(self, model: str, status: str, said: str) -> InferenceFault:
        words = f"{self.address}: model {model}: {status or 'failed'}: {one_line(said)}"
        trouble = classify(status, said)
        if trouble is Trouble.AWAY and self._memory is not None:
            self._memory.forget()
        return BadAnswer(words) if trouble is None else Troubled(words, trouble)


class Credentials:
    """What a TLS channel is made of; without anything, the channel is plain."""

    def __init__(
        self,
        *,
        authorities: bytes | None = None,
        key: bytes | None = None,
        certificate: bytes | None = None,
        name: str | None = None,
        is_tls: bool = False,
    ) -> None:
        """Take PEM contents. `name` is what the server's certificate must carry instead."""
        self.channel: Any = None
        self.options: list[tuple[str, Any]] = []
        if is_tls:
            self.channel = grpc.ssl_channel_credentials(authorities, key, certificate)
            if name:
                self.options.append(("grpc.ssl_target_name_override", name))


def _served(model: str, version: str, software: str, metadata: Any, config: Any) -> Served:
    parameters = {} if config is None else config.parameters
    batching = None if config is None else config.dynamic_batching
    return Served(
        model=model,
        version=version or newest(metadata.versions),
        server=software,
        inputs=_tensors(metadata.inputs),
        outputs=_tensors(metadata.outputs),
        parameters={key: each.string_value for key, each in parameters.items()},
        max_batch_size=0 if config is None else config.max_batch_size,
        priority_levels=0 if batching is None else batching.priority_levels,
    )


def newest(versions: Iterable[str]) -> str:
    """Choose the highest version by number; by name where they are none."""

    def rank(version: str) -> tuple[int, str]:
        return int(version) if version.isdecimal() else -1, version

    return max(versions, key=rank, default="")


def _tensors(declared: Any) -> tuple[Tensor, ...]:
    return tuple(Tensor(row.name, row.datatype, tuple(row.shape)) for row in declared)


def _raw(response: Any) -> Iterable[bytes]:
    """Give the bytes of each output in its order; what other servers send typed is packed here."""
    if response.raw_output_contents:
        return response.raw_output_contents  # type: ignore[no-any-return]  # protobuf is untyped
    return [_packed(row) for row in response.outputs]


def _packed(row: Any) -> bytes:
    if row.datatype == tensors.BYTES:
        texts = row.contents.bytes_contents
        return b"".join(len(each).to_bytes(4, "little") + each for each in texts)
    fields = row.contents.ListFields()
    values = fields[0][1] if fields else []
    return np.array(values, dtype=DTYPES.get(row.datatype, "V0")).tobytes()


def _status(failed: InferenceServerException) -> str:
    return str(failed.status() or "").removeprefix("StatusCode.")
