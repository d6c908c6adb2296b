"""One request of a Series: asked of one endpoint after another until one answers, or time is up."""

import asyncio
import random
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from ai.contract import Served
from ai.endpoint import Call, Reply, Step
from ai.group import Group
from ai.lanes import Lane
from ai.member import Member
from ai.prepared import Tensors
from ai.trouble import Trouble, Troubled
from dicom.errors import ModelUnavailable

FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5
"""Pauses while every queue is full grow by half up to here, give or take a quarter."""
MOST_REASONS: Final = 8


class Moved(Exception):  # noqa: N818  (no error: it is asked again, of another version)
    """Raised when no endpoint serves the version any more that a Series was prepared for."""


@dataclass(slots=True)
class Counts:
    """What it took to have a Series answered."""

    endpoints: dict[str, int] = field(default_factory=dict)
    """Requests that each endpoint answered."""
    tries: int = 0
    """Calls that were made, those that failed included."""
    waited_s: float = 0.0
    """Seconds that requests waited for a place or for a queue, all together."""
    shared: int = 0
    """Answers to requests whose tensors went by shared memory."""
    healed: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for all requests of one Series."""

    group: Group
    version: str
    """As asked for; "" is the newest."""
    served: Served
    deadline: float
    """On the monotonic clock."""
    lane: Lane
    trace: str
    counts: Counts


_Ask = Callable[[Member, float], Awaitable[Reply]]
"""Asks an endpoint, which has so many seconds."""


async def one(terms: Terms, tensors: Callable[[], Tensors]) -> Reply:
    """Have one request answered. Raises ModelUnavailable, Moved, Unsuitable, BadAnswer."""

    async def ask(member: Member, timeout_s: float) -> Reply:
        return await _call(terms, member, tensors(), timeout_s, None)

    return await _answered(terms, ask)


async def sequence(terms: Terms, tensors: Callable[[int], Tensors], count: int) -> Reply:
    """Have requests answered in order by one endpoint; the last answer counts.

    Begins anew, elsewhere if it can, when one of them fails. Raises what `one` raises.
    """

    async def ask(member: Member, timeout_s: float) -> Reply:
        ends = monotonic() + timeout_s
        name = secrets.randbelow(2**62) + 1
        for i in range(count - 1):
            step = Step(name, is_first=i == 0, is_last=False)
            await _call(terms, member, tensors(i), ends - monotonic(), step)
        step = Step(name, is_first=count == 1, is_last=True)
        return await _call(terms, member, tensors(count - 1), ends - monotonic(), step)

    return await _answered(terms, ask)


async def _answered(terms: Terms, ask: _Ask) -> Reply:
    tried: set[str] = set()
    reasons: dict[str, Troubled] = {}
    healed: set[str] = set()
    pause_s = FIRST_PAUSE_S
    while True:
        left_s = terms.deadline - monotonic()
        if left_s <= 0:
            raise _over(reasons)
        queued_at = monotonic()
        await terms.group.lanes.enter(terms.lane)
        try:
            terms.counts.waited_s += monotonic() - queued_at
            member, able = terms.group.take(terms.version, terms.served, tried)
            if member is not None:
                # Its part of the time, so that another has some left if this one hangs.
                return await ask(member, (terms.deadline - monotonic()) / able)
        except Troubled as fault:
            assert member is not None  # only its call raises it
            reasons[member.address] = fault
        finally:
            terms.group.lanes.leave()
            terms.group.note()
        if member is not None:
            trouble = reasons[member.address].trouble
            if member.address not in healed and await member.healed(trouble):
                healed.add(member.address)
                terms.counts.healed += 1
                await terms.group.describe(terms.version, 0)
            else:
                tried.add(member.address)
            continue
        pause_s = await _next_round(terms, tried, reasons, pause_s)


async def _next_round(
    terms: Terms, tried: set[str], reasons: Mapping[str, Troubled], pause_s: float
) -> float:
    """Wait where waiting may help, when every endpoint was tried; gives the next pause.

    Raises ModelUnavailable where it does not, and Moved where another version is there instead.
    """
    left_s = terms.deadline - monotonic()
    if terms.group.is_on_trial(terms.version, terms.served, tried):
        await terms.group.change(left_s)
        return pause_s
    if any(each.trouble is Trouble.BUSY for each in reasons.values()):
        chance = random.random()  # noqa: S311  (spreads requests, keeps no secret)
        wait_s = min(pause_s * (0.75 + 0.5 * chance), max(left_s, 0.0))
        await asyncio.sleep(wait_s)
        terms.counts.waited_s += wait_s
        tried.clear()
        return min(pause_s * 1.5, LONGEST_PAUSE_S)
    try:
        there = await terms.group.describe(terms.version, 0)
    except ModelUnavailable as fault:
        raise (_over(reasons) if reasons else fault) from None
    if not terms.group.untried(terms.version, terms.served, ()):
        raise Moved(there.version)
    if terms.group.untried(terms.version, terms.served, tried):
        return pause_s  # one has come back meanwhile
    raise _over(reasons)


async def _call(
    terms: Terms, member: Member, tensors: Tensors, timeout_s: float, step: Step | None
) -> Reply:
    terms.counts.tries += 1
    reply = await member.infer(
        Call(
            served=terms.served,
            tensors=tensors,
            timeout_s=max(timeout_s, 0.001),
            urgent=terms.lane is Lane.URGENT,
            step=step,
            trace=terms.trace,
        )
    )
    counts = terms.counts
    counts.endpoints[member.address] = counts.endpoints.get(member.address, 0) + 1
    counts.shared += reply.by_shared_memory
    return reply


def _over(reasons: Mapping[str, Troubled]) -> ModelUnavailable:
    words = [str(each) for each in list(reasons.values())[:MOST_REASONS]]
    return ModelUnavailable("; ".join(words) or "no endpoint answered in time")
