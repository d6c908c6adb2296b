"""One of two Tritons is killed under load: how many Series fail, and how long the longest took."""

import asyncio
import os
import signal
import time
from pathlib import Path

from ai.pool import Servers
from bench.infer.series import Slabs, settings, tritons, volume
from bench.laps import Results
from dicom.errors import Fault

AT_ONCE = 4
"""Series that are asked about at the same time, as by as many workers."""


def measure(results: Results, folder: Path, *, seconds: float) -> None:
    """Ask without a pause, and kill one server in the middle of it."""
    with tritons(folder, 2) as servers:
        asked, failed, longest_s, by_other = asyncio.run(
            _load([one.endpoint for one in servers], servers[0].pid, seconds)
        )
    results.findings |= {
        "killed, series": asked,
        "killed, failed": failed,
        "killed, longest ms": 1e3 * longest_s,
        "killed, moved": by_other,
    }


async def _load(endpoints: list[str], pid: int, seconds: float) -> tuple[int, int, float, int]:
    """Give Series asked, Series failed, the longest one, and calls that had to be repeated."""
    servers, images = Servers(), Slabs(volume(32, 128), 8)
    table = settings(*endpoints)
    asked, failed, longest_s, repeated = 0, 0, 0.0, 0
    began = time.monotonic()

    async def keep_asking() -> None:
        nonlocal asked, failed, longest_s, repeated
        while time.monotonic() - began < seconds:
            asked += 1
            at = time.monotonic()
            try:
                answer = await servers.infer(table, lambda _: images)
                repeated += answer.tries - answer.batches
            except Fault:
                failed += 1
            longest_s = max(longest_s, time.monotonic() - at)

    async def kill() -> None:
        await asyncio.sleep(seconds / 2)
        os.kill(pid, signal.SIGKILL)

    try:
        await asyncio.gather(kill(), *(keep_asking() for _ in range(AT_ONCE)))
    finally:
        await servers.close()
    return asked, failed, longest_s, repeated
