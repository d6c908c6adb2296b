"""The endpoints of one model together: what they serve, and which of them is asked next.

Belongs to one event loop.
"""

import asyncio
from collections.abc import Collection, Sequence
from time import monotonic
from typing import Final

from ai.balance import choose
from ai.breaker import State
from ai.contract import Served
from ai.endpoint import Endpoint
from ai.lanes import Lanes
from ai.member import Member
from ai.triton import newest
from dicom.errors import BadAnswer, ModelUnavailable

FRESH_S: Final = 2.0
"""So long what an endpoint said of itself counts."""
GRACE_S: Final = 0.1
"""So long slower endpoints are waited for when the first has said what it serves."""


class Group:
    """The endpoints that are asked about one model."""

    def __init__(
        self, endpoints: Sequence[Endpoint], model: str, *, in_flight: int, heals: bool, turn: int
    ) -> None:
        self.members = [Member(one, model, heals=heals) for one in endpoints]
        self.lanes = Lanes(in_flight)
        self._model = model
        self._turn = turn
        self._changed = asyncio.Event()
        self._waiting = 0

    async def describe(self, version: str, within_s: float = FRESH_S) -> Served:
        """Say what is served of a version, "" being the newest that any endpoint has.

        Asks all endpoints whose word is older than `within_s`, and waits for the first that has
        the model, and a moment for the others. Raises ModelUnavailable with what each said, and
        BadAnswer where none can be understood.
        """
        stale = [one for one in self.members if not one.is_fresh(version, within_s)]
        if stale:
            await self._probe(stale, version)
        found = self.serving(version)
        if not found:
            raise self._fault(version)
        if len(found) == 1:
            return found[0]
        best = newest(each.version for each in found)
        return next(each for each in found if each.version == best)

    def serving(self, version: str) -> list[Served]:
        """List what the endpoints say that they serve."""
        known = (one.known.get(version) for one in self.members)
        return [each.served for each in known if each is not None and each.served is not None]

    def take(
        self, version: str, served: Served, tried: Collection[str]
    ) -> tuple[Member | None, int]:
        """Choose who is asked next, of those that serve the very same and were not tried.

        Also says how many these are; None where none of them is to be asked now.
        """
        able = [one for one in self._able(version, served) if one.address not in tried]
        place = choose([one.standing for one in able], monotonic(), self._turn)
        self._turn += 1
        return None if place is None else able[place], len(able)

    def untried(self, version: str, served: Served, tried: Collection[str]) -> int:
        """Count those that could be asked yet."""
        return sum(one.address not in tried for one in self._able(version, served))

    def is_on_trial(self, version: str, served: Served, tried: Collection[str]) -> bool:
        """Say whether another request is finding out whether an endpoint is well again."""
        states = {
            one.standing.breaker.state
            for one in self._able(version, served)
            if one.address not in tried
        }
        return State.TRIAL in states

    async def change(self, timeout_s: float) -> None:
        """Wait until something was learned of an endpoint, or the time is over."""
        self._waiting += 1
        try:
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        except TimeoutError:
            return
        finally:
            self._waiting -= 1

    def note(self) -> None:
        """Wake those who wait for something to be learned."""
        if self._waiting:
            self._changed.set()
            self._changed = asyncio.Event()

    async def close(self) -> None:
        """End what is under way."""
        for one in self.members:
            await one.close()

    def _able(self, version: str, served: Served) -> list[Member]:
        # By what it serves, not where: two servers with one repository are the same to a Series.
        return [
            one
            for one in self.members
            if (known := one.known.get(version)) is not None
            and known.served is not None
            and _is_same(known.served, served)
        ]

    async def _probe(self, stale: list[Member], version: str) -> None:
        # Whoever failed last time is asked too, and not waited for once another has answered.
        hopeful = {one.address for one in stale if version not in one.doubtful}
        probes = {one.probe(version): one for one in stale}
        pending: set[asyncio.Task[None]] = set(probes)
        while pending and not self.serving(version):
            ended, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                if not each.cancelled():
                    each.result()  # what is no Fault is a bug, and not to be kept from anybody
        waited_for = {task for task in pending if probes[task].address in hopeful}
        if waited_for:
            await asyncio.wait(waited_for, timeout=GRACE_S)

    def _fault(self, version: str) -> ModelUnavailable | BadAnswer:
        faults = [
            known.fault
            for one in self.members
            if (known := one.known.get(version)) is not None and known.fault is not None
        ]
        words = "; ".join(map(str, faults))
        if faults and all(isinstance(each, BadAnswer) for each in faults):
            return BadAnswer(words)
        return ModelUnavailable(words or f"model {self._model}: no endpoint answered in time")


def _is_same(one: Served, other: Served) -> bool:
    return one is other or (
        (one.version, one.inputs, one.outputs, one.parameters)
        == (other.version, other.inputs, other.outputs, other.parameters)
    )
