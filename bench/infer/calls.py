"""What the node's client costs: one small call, and a Series of 300 slices, beside tritonclient."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ai.pool import Servers
from bench.infer.series import ByHand, Slabs, settings, tritons, volume
from bench.laps import Lap, Results, Run

HAND, NODE, SHARED = "tritonclient by hand", "node", "node, shared memory"
CALL, SERIES = "call", "series"
SLABS = (8, 12, 16)
"""Slices in one request; of each client the best counts."""
IN_FLIGHT, TURNS, WARM_UP = 4, 9, 3
"""A model's first requests of a size wait for memory, whoever asks: those turns do not count."""
SIZE = 512


def with_slabs(name: str, slices: int) -> str:
    """Name a client that sends so many slices at a time."""
    return f"{name}, {slices} slices"


def measure(results: Results, folder: Path, *, calls: int, slices: int, turns: int = TURNS) -> None:
    """Let both clients ask one Triton in turns, over connections that stay open."""
    with tritons(folder, 1) as (server,), asyncio.Runner() as runner:
        by_hand = runner.run(_made(server.endpoint))
        servers = Servers()
        try:
            results.take_turns(turns, _of_calls(runner, by_hand, servers, server.endpoint, calls))
            results.take_turns(
                turns + WARM_UP, _of_series(runner, by_hand, servers, server.endpoint, slices)
            )
        finally:
            runner.run(servers.close())
            runner.run(by_hand.close())
    results.laps = [lap for lap in results.laps if lap.case == CALL or lap.turn >= WARM_UP]
    results.findings["series, slices"] = slices


async def _made(endpoint: str) -> ByHand:
    return ByHand(endpoint)


def _of_calls(
    runner: asyncio.Runner, by_hand: ByHand, servers: Servers, endpoint: str, calls: int
) -> dict[str, Run]:
    small = Slabs(volume(2, 8), 2)
    table = settings(endpoint)

    async def ours() -> None:
        for _ in range(calls):
            await servers.infer(table, lambda _: small)

    async def theirs() -> None:
        for _ in range(calls):
            await by_hand.call(small.volume)

    return {
        name: partial(_lap, runner, (CALL, name, calls, small.volume.nbytes * calls), ask)
        for name, ask in ((HAND, theirs), (NODE, ours))
    }


def _of_series(
    runner: asyncio.Runner, by_hand: ByHand, servers: Servers, endpoint: str, slices: int
) -> dict[str, Run]:
    images = volume(slices, SIZE)
    plain = settings(endpoint, shared_memory="off", in_flight=IN_FLIGHT)
    shared = settings(endpoint, in_flight=IN_FLIGHT)

    async def through(table: Any, count: int) -> None:
        answer = await servers.infer(table, lambda _: Slabs(images, count))
        _check(answer.arrays["level"], slices)

    async def direct(count: int) -> None:
        _check(await by_hand.whole(Slabs(images, count), IN_FLIGHT), slices)

    asked: dict[str, Callable[[], Awaitable[None]]] = {}
    for count in SLABS:
        asked[with_slabs(HAND, count)] = partial(direct, count)
        asked[with_slabs(NODE, count)] = partial(through, plain, count)
        asked[with_slabs(SHARED, count)] = partial(through, shared, count)
    return {
        name: partial(_lap, runner, (SERIES, name, slices, images.nbytes), ask)
        for name, ask in asked.items()
    }


def _check(found: Any, slices: int) -> None:
    assert np.array_equal(found, np.arange(slices)), "the rows are not those of the slices"


def _lap(
    runner: asyncio.Runner,
    what: tuple[str, str, int, int],
    ask: Callable[[], Awaitable[None]],
    turn: int,
) -> Lap:
    case, name, objects, size_bytes = what

    async def asked() -> float:
        began = time.perf_counter()
        await ask()
        return time.perf_counter() - began

    return Lap(case, name, turn, objects, size_bytes, runner.run(asked()))
