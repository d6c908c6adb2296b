"""Places for requests under way: when all are taken, what is urgent goes first.

Belongs to one event loop. Triton has priorities of its own, for what waits there.
"""

import asyncio
import heapq
import itertools
from enum import IntEnum


class Lane(IntEnum):
    """Who goes first."""

    URGENT = 1
    BATCH = 2
    SHADOW = 3


class Lanes:
    """So many places, and those who wait for one."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._order = itertools.count()
        self._waiting: list[tuple[Lane, int, asyncio.Future[None]]] = []

    async def enter(self, lane: Lane) -> None:
        """Take a place; waits for one, behind those of a lower number. `leave` gives it back."""
        if self._free and not self._waiting:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (lane, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            # Whoever was given a place in the very moment of giving up passes it on.
            if turn.done() and not turn.cancelled():
                self.leave()
            raise

    def leave(self) -> None:
        """Give a place back, to whoever waits for it."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
