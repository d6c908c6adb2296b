"""Whoever speaks KServe v2 over HTTP: Triton, MLServer, KServe and SageMaker's Triton behind it."""

import itertools
import secrets
from collections.abc import Mapping
from typing import Any, Final

from ai import kserve_bodies, tensors
from ai.contract import Served, Tensor
from ai.endpoint import PROBE_S, Call, Reply
from ai.http_calls import Calls, Said, parsed, require_good
from ai.tracing import traceparent
from ai.triton import newest
from ai.trouble import Trouble, Troubled, why_absent
from dicom.errors import BadAnswer

_BINARY: Final = "binary_tensor_data"


class KserveEndpoint:
    """A client of one server. See ai/endpoint.py for what its methods raise."""

    def __init__(self, calls: Calls) -> None:
        """Take the server; its URL is what stands before /v2."""
        self.address = calls.address
        self._calls = calls
        self._name = secrets.token_hex(4)
        self._numbers = itertools.count(1)
        self._software = ""
        self._is_binary = False

    async def describe(self, model: str, version: str) -> Served:
        """Ask whether the model is ready and what it is. Raises BadAnswer where nobody can say."""
        path = _path(model, version)
        ready = await self._calls.ask("GET", f"{path}/ready", PROBE_S)
        if ready.status in {400, 404}:
            named = f"{model} version {version}" if version else model
            words = f"{self.address}: model {named} is not ready{await self._why(model)}"
            raise Troubled(words, Trouble.ABSENT)
        self._require(ready, model)
        if not self._software:
            await self._meet()
        metadata = self._json(await self._calls.ask("GET", path, PROBE_S), model)
        config = await self._config(path)
        try:
            return Served(
                model=model,
                version=version or newest(map(str, metadata.get("versions") or ())),
                server=self._software,
                inputs=_tensors(metadata.get("inputs")),
                outputs=_tensors(metadata.get("outputs")),
                parameters=_parameters(config),
                max_batch_size=int(config.get("max_batch_size") or 0),
                priority_levels=_priority_levels(config),
            )
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as fault:
            raise BadAnswer(f"{self.address}: model {model} is described badly") from fault

    async def infer(self, call: Call) -> Reply:
        """Run the model. The server may go on computing when the time is over."""
        served = call.served
        tensors.check_inputs(served, call.tensors)
        name = f"{self._name}-{next(self._numbers)}"
        body, headers = kserve_bodies.request(call, name, is_binary=self._is_binary)
        if call.trace:
            headers["traceparent"] = traceparent(call.trace)
        path = _path(served.model, served.version)
        said = await self._calls.ask("POST", f"{path}/infer", call.timeout_s, body, headers)
        self._require(said, served.model)
        length = said.headers.get(kserve_bodies.LENGTH_HEADER)
        arrays, version = kserve_bodies.answer(served, name, said.body, length)
        if served.version and version not in {"", served.version}:
            words = f"{self.address}: model {served.model} changed its version"
            raise Troubled(words, Trouble.ABSENT)
        return Reply(arrays)

    async def heal(self, model: str, timeout_s: float) -> None:
        """Have the server start a model's process anew."""
        for change in ("unload", "load"):
            path = f"/v2/repository/models/{model}/{change}"
            self._require(await self._calls.ask("POST", path, timeout_s, b"{}"), model)

    async def close(self) -> None:
        """Close the connections."""
        await self._calls.close()

    async def _meet(self) -> None:
        """Ask what the server is, and what it can, when it is first met."""
        server = self._json(await self._calls.ask("GET", "/v2", PROBE_S), "")
        extensions = server.get("extensions")
        self._is_binary = isinstance(extensions, list) and _BINARY in extensions
        self._software = f"{server.get('name', '')} {server.get('version', '')}".strip()

    async def _why(self, model: str) -> str:
        """Ask what the server knows of a model that is not ready."""
        said = await self._calls.ask("POST", "/v2/repository/index", PROBE_S, b"{}")
        rows = parsed(said.body)
        if said.status != 200 or not isinstance(rows, list):
            return ""  # who has no repository has no words about it
        keys = ("name", "version", "reason")
        there = [[str(row.get(key, "")) for key in keys] for row in rows if isinstance(row, dict)]
        return why_absent(model, [(name, version, why) for name, version, why in there])

    async def _config(self, path: str) -> Mapping[str, Any]:
        """Ask for what KServe does not have and Triton does."""
        said = await self._calls.ask("GET", f"{path}/config", PROBE_S)
        return self._json(said, "") if said.status == 200 else {}

    def _json(self, said: Said, model: str) -> Mapping[str, Any]:
        self._require(said, model)
        found = parsed(said.body)
        if not isinstance(found, dict):
            raise BadAnswer(f"{self.address} does not speak KServe v2: no JSON object")
        return found

    def _require(self, said: Said, model: str) -> None:
        who = f"{self.address}: model {model}" if model else self.address
        require_good(said, who, kserve_bodies.words(said.body))


def _tensors(rows: Any) -> tuple[Tensor, ...]:
    return tuple(
        Tensor(str(row["name"]), str(row["datatype"]), tuple(map(int, row["shape"])))
        for row in rows or ()
    )


def _priority_levels(config: Mapping[str, Any]) -> int:
    return int((config.get("dynamic_batching") or {}).get("priority_levels") or 0)


def _path(model: str, version: str) -> str:
    return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")


def _parameters(config: Mapping[str, Any]) -> dict[str, str]:
    parameters = config.get("parameters")
    if not isinstance(parameters, dict):
        return {}
    return {
        key: str(each.get("string_value", "")) if isinstance(each, dict) else str(each)
        for key, each in parameters.items()
    }
