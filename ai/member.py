"""One endpoint as the pool knows it: what it serves, how busy it is, whether it is well.

Belongs to one event loop.
"""

import asyncio
import random
from dataclasses import dataclass
from time import monotonic
from typing import Final

import structlog

from ai import breaker
from ai.balance import Standing
from ai.contract import Served
from ai.endpoint import Call, Endpoint, Reply
from ai.trouble import BLAMING, Trouble, Troubled
from dicom.errors import BadAnswer, InferenceFault, ModelUnavailable

HEAL_EVERY_S: Final = 10.0
"""A model that dies again within this time is not started anew: it is the model."""
HEAL_WITHIN_S: Final = 30.0
STOOD_STILL_S: Final = 3.0
"""A probe that took longer was not waited for: the loop stands still between jobs."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Known:
    """What an endpoint said of a version of its model, and when."""

    at: float
    served: Served | None
    fault: InferenceFault | None = None


class Member:
    """An endpoint, for one model."""

    def __init__(self, endpoint: Endpoint, model: str, *, heals: bool) -> None:
        self.endpoint = endpoint
        self.model = model
        self.known: dict[str, Known] = {}
        """By the version that was asked for; "" is the newest."""
        self.doubtful: set[str] = set()
        """Versions about which the last probe failed, whatever is known from before."""
        self._heals = heals
        self._breaker = breaker.WELL
        self._outstanding = 0
        self._probes: dict[str, asyncio.Task[None]] = {}
        self._healing: asyncio.Task[bool] | None = None
        self._healed_at = -HEAL_EVERY_S

    @property
    def address(self) -> str:
        """HOST:PORT."""
        return self.endpoint.address

    @property
    def standing(self) -> Standing:
        """What the choice goes by."""
        return Standing(self._outstanding, self._breaker)

    def probe(self, version: str) -> "asyncio.Task[None]":
        """Ask what is served now, once at a time; `known` holds what was said."""
        under_way = self._probes.get(version)
        if under_way is None or under_way.done():
            under_way = asyncio.get_running_loop().create_task(self._probe(version))
            self._probes[version] = under_way
        return under_way

    def is_fresh(self, version: str, within_s: float) -> bool:
        """Say whether it was asked a short time ago."""
        known = self.known.get(version)
        return known is not None and monotonic() - known.at < within_s

    async def infer(self, call: Call) -> Reply:
        """Ask it, and learn from how that ends. Raises what the endpoint raises."""
        self._breaker = breaker.begun(self._breaker)
        self._outstanding += 1
        is_told = False
        try:
            reply = await self.endpoint.infer(call)
            self._breaker, is_told = breaker.done(self._breaker), True
        except Troubled as fault:
            if fault.trouble in BLAMING:
                chance = random.random()  # noqa: S311  (spreads questions, keeps no secret)
                self._breaker, is_told = breaker.failed(self._breaker, monotonic(), chance), True
            if fault.trouble in {Trouble.ABSENT, Trouble.AWAY}:
                self.known.clear()
            raise
        except BadAnswer:  # it lives
            self._breaker, is_told = breaker.done(self._breaker), True
            raise
        else:
            return reply
        finally:
            self._outstanding -= 1
            if not is_told:
                self._breaker = breaker.dropped(self._breaker)

    async def healed(self, trouble: Trouble) -> bool:
        """Wait until the model's process is there again, where that can be; whether it is."""
        if self._healing is None and trouble is Trouble.DEAD_PROCESS and self._heals:
            if monotonic() - self._healed_at < HEAL_EVERY_S:
                return False
            self._healed_at = monotonic()
            self._healing = asyncio.get_running_loop().create_task(self._heal())
        if self._healing is None or trouble not in {Trouble.DEAD_PROCESS, Trouble.ABSENT}:
            return False
        return await asyncio.shield(self._healing)

    async def close(self) -> None:
        """End what is under way."""
        tasks = [*self._probes.values(), *([self._healing] if self._healing else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _probe(self, version: str) -> None:
        began = monotonic()
        served, fault = None, None
        try:
            served = await self.endpoint.describe(self.model, version)
        except InferenceFault as failed:
            fault = failed
        if fault is None:
            self.doubtful.discard(version)
        else:
            self.doubtful.add(version)
            if monotonic() - began > STOOD_STILL_S:
                return
        before = self.known.get(version)
        if before is not None and before.served == served:
            served = before.served
        self.known[version] = Known(monotonic(), served, fault)

    async def _heal(self) -> bool:
        try:
            await self.endpoint.heal(self.model, HEAL_WITHIN_S)
        except (ModelUnavailable, BadAnswer) as fault:
            _log.warning("model not healed", endpoint=self.address, reason=str(fault))
            return False
        else:
            _log.warning("model healed", endpoint=self.address, model=self.model)
            self._breaker = breaker.done(self._breaker)
            return True
        finally:
            self._healing = None
