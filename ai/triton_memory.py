"""Tensors for a Triton on the same host, in regions of shared memory that it is told of.

Whatever goes wrong here, the tensors go through the connection instead.
"""
# As ai/triton.py, a home of tritonclient.
# mypy: untyped-calls-exclude=tritonclient

import contextlib
from collections.abc import Awaitable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from time import monotonic
from typing import Any, Final

import structlog
from tritonclient.utils import InferenceServerException

from ai.contract import Served
from ai.prepared import Tensors
from ai.shared_memory import PREFIX, Region, Ring, is_dead, layout, sweep
from ai.tensors import BYTES
from ai.triton_wire import Given

TOLD_WITHIN_S: Final = 2.0
"""How long the server may take to hear of a region."""
REST_S: Final = 60.0
"""So long after a request was given up the server is left to read what it may be reading."""
_SERVER_CANNOT: Final = {"INTERNAL", "INVALID_ARGUMENT", "UNIMPLEMENTED", "PERMISSION_DENIED"}

_log = structlog.get_logger()


@dataclass(slots=True)
class Borrowed:
    """Inputs of one request, whose values lie in a region until it is answered."""

    inputs: list[Given]
    _region: Region
    _memory: "Memory"
    _is_answered: bool = False

    def answered(self) -> None:
        """Note that the server has read the region, and it can be used again."""
        self._is_answered = True

    @contextlib.contextmanager
    def held(self) -> Iterator[list[Given]]:
        """Hold the region for the block.

        Unless `answered` was called in it, the region is never used again: the server may be
        reading it yet, for a request that was given up, and would keep its answer under the
        values of the next one.
        """
        try:
            yield self.inputs
        finally:
            self._memory.returned(self._region, is_answered=self._is_answered)


class Memory:
    """The regions that one server reads. Belongs to one event loop."""

    def __init__(self, address: str, client: Any, headers: Mapping[str, str]) -> None:
        self._address = address
        self._client = client
        self._headers = headers
        self._ring = Ring()
        self._told: set[str] = set()
        self._is_swept = False
        self._is_off = False
        self._lost_at: float | None = None

    async def inputs(self, served: Served, tensors: Tensors) -> Borrowed | None:
        """Lay a request's tensors into a region; None where they have to go another way."""
        if self._is_off:
            return None
        if self._lost_at is not None and monotonic() - self._lost_at > REST_S:
            self._is_swept, self._lost_at = False, None
        if not self._is_swept:
            self._is_swept = True
            await self._sweep()
        shared = [one for one in served.inputs if one.datatype != BYTES]
        offsets, size_bytes = layout([tensors[one.name].nbytes for one in shared])
        taken = self._ring.take(size_bytes)
        if taken is None:
            return None
        region, dropped = taken
        for one in dropped:
            await self._drop(one)
        if region.name not in self._told and not await self._tell(region):
            self._ring.lose(region)
            return None
        places = dict(zip((one.name for one in shared), offsets, strict=True))
        inputs = []
        for tensor in served.inputs:
            array, offset = tensors[tensor.name], places.get(tensor.name)
            if offset is None:
                inputs.append(Given(tensor, array))
            else:
                region.write(offset, array)
                inputs.append(Given(tensor, array, region.name, offset))
        return Borrowed(inputs, region, self)

    def returned(self, region: Region, *, is_answered: bool) -> None:
        """Take a region back; one that the server may still read is closed."""
        if is_answered and region.name in self._told:
            self._ring.give_back(region)
        else:
            self._ring.lose(region)
            self._told.discard(region.name)
            self._lost_at = monotonic()

    def forget(self) -> None:
        """Close what the server no longer knows of: it was started again, or may have been."""
        self._told.clear()
        self._is_swept = False
        for region in self._ring.empty():
            region.close()

    async def close(self) -> None:
        """Give all memory back, the server's hold on it too."""
        for region in self._ring.empty():
            region.close()
        for name in self._told:
            await self._quietly(self._client.unregister_system_shared_memory, name)
        self._told.clear()

    async def _drop(self, region: Region) -> None:
        self._told.discard(region.name)
        region.close()
        await self._quietly(self._client.unregister_system_shared_memory, region.name)

    async def _tell(self, region: Region) -> bool:
        try:
            await self._client.register_system_shared_memory(
                region.name,
                f"/{region.name}",
                region.size_bytes,
                headers=dict(self._headers),
                client_timeout=TOLD_WITHIN_S,
            )
        except InferenceServerException as failed:
            status = str(failed.status() or "").removeprefix("StatusCode.")
            if status in _SERVER_CANNOT:
                self._is_off = True
                _log.info(
                    "shared memory not used",
                    endpoint=self._address,
                    reason=str(failed.message() or "")[:200],
                )
            return False
        self._told.add(region.name)
        return True

    async def _sweep(self) -> None:
        """Remove what killed workers left here, and have the server let go of it."""
        sweep()
        status = await self._quietly(self._client.get_system_shared_memory_status)
        for name in status.regions if status is not None else ():
            if name.startswith(PREFIX) and name not in self._told and is_dead(name):
                await self._quietly(self._client.unregister_system_shared_memory, name)

    async def _quietly(self, ask: Any, *arguments: str) -> Any:
        """Ask the server what is not owed to anybody; None where it does not answer."""
        asked: Awaitable[Any] = ask(
            *arguments, headers=dict(self._headers), client_timeout=TOLD_WITHIN_S
        )
        with contextlib.suppress(InferenceServerException):
            return await asked
        return None


def is_local(address: str) -> bool:
    """Say whether HOST:PORT is this host by its loopback address."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
