"""The servers of a model: ask the first that can answer, within one deadline."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from ai.contract import Served
from ai.triton import Endpoint, Tensors
from config.models import Model
from dicom.errors import ModelUnavailable

_Said = TypeVar("_Said")
_Ask = Callable[[Endpoint, float], Awaitable[_Said]]
"""A question to one endpoint, with the seconds that are left for it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model answered, and which model of which server it was."""

    served: Served
    arrays: Tensors


class Servers:
    """One client per endpoint, made at first use and kept. Belongs to one event loop."""

    def __init__(self) -> None:
        self._endpoints: dict[str, Endpoint] = {}

    async def describe(self, settings: Model) -> Served:
        """Ask the first ready endpoint what the model is. Raises ModelUnavailable, BadAnswer."""

        async def ask(endpoint: Endpoint, _: float) -> Served:
            return await endpoint.describe(settings.model, settings.version)

        return await self._first(settings, ask)

    async def infer(self, settings: Model, tensors: Callable[[Served], Tensors]) -> Answer:
        """Run the model on the first endpoint that manages; `tensors` fits them to its inputs.

        Goes to the next endpoint when one is down, not ready, overloaded or fails, until
        `settings.timeout_s` is over. Raises ModelUnavailable with each endpoint's reason, and
        BadAnswer or Unsuitable at once: another server would say the same.
        """

        async def ask(endpoint: Endpoint, left_s: float) -> Answer:
            served = await endpoint.describe(settings.model, settings.version)
            arrays = await endpoint.infer(served, settings.version, tensors(served), left_s)
            return Answer(served, arrays)

        return await self._first(settings, ask)

    async def close(self) -> None:
        """Close every connection."""
        endpoints, self._endpoints = self._endpoints, {}
        for endpoint in endpoints.values():
            await endpoint.close()

    async def _first(
        self, settings: Model, ask: Callable[[Endpoint, float], Awaitable[_Said]]
    ) -> _Said:
        deadline = asyncio.get_running_loop().time() + settings.timeout_s
        reasons = []
        for address in settings.endpoints:
            left_s = deadline - asyncio.get_running_loop().time()
            if left_s <= 0:
                reasons.append(f"{address}: no time left")
                continue
            try:
                return await ask(self._endpoint(address), left_s)
            except ModelUnavailable as fault:
                reasons.append(str(fault))
        raise ModelUnavailable("; ".join(reasons))

    def _endpoint(self, address: str) -> Endpoint:
        if address not in self._endpoints:
            self._endpoints[address] = Endpoint(address)
        return self._endpoints[address]
