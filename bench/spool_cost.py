"""What encryption costs the spool: CT and MR objects, plain and sealed, written and read back.

python -m bench.spool_cost [OBJECTS]

In a folder of its own under TMPDIR (set it to the disk in question), by one thread. For each size
and way it prints, as the median of five rounds that take turns: the processor time of an object
from its first byte to its commit, with the copy into the buffer that the lane's read from the
socket does, and without the wait for the disk; the same with the wait; and the processor time of
reading it whole with its digest. The last column is the share of one core at 100 objects a second.
A second table is the rate at which one, four and eight threads write that do nothing else.
"""

import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from dicom.entity import Arrival
from storage.spool.reader import SpoolReader
from storage.spool.sealing import SpoolKey, SpoolKeys
from storage.spool.spool import Spool

SIZES: Final = {"MR": 33 << 10, "CT": 525_000}
ROUNDS: Final = 5
RATE: Final = 100
THREADS: Final = (1, 4, 8)

Costs = tuple[float, float, float]
"""Microseconds per object: processor and wall clock while writing, processor while reading."""


def main() -> None:
    """Measure, and print a line for each size and way."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    print("object  spool   write CPU us  write us  read CPU us  of a core at 100/s")
    for name, size_bytes in SIZES.items():
        body = os.urandom(size_bytes)
        key = SpoolKey(os.urandom(32))
        rounds: dict[str, list[Costs]] = {"plain": [], "sealed": []}
        for _ in range(ROUNDS):
            for way, found in rounds.items():
                found.append(_round(body, count, key if way == "sealed" else None))
        for way, found in rounds.items():
            cpu, wall, read = (statistics.median(each) for each in zip(*found, strict=True))
            share = (cpu + read) * RATE / 1e6
            print(f"{name:<6}  {way:<6}  {cpu:12.0f}  {wall:8.0f}  {read:11.0f}  {share:18.1%}")
    print("\nobject  threads  plain/s  sealed/s  ratio")
    for name, size_bytes in SIZES.items():
        for threads in THREADS:
            _print_rates(name, threads, os.urandom(size_bytes), count)


def _print_rates(name: str, threads: int, body: bytes, count: int) -> None:
    key = SpoolKey(os.urandom(32))
    pairs = [(_rate(body, count, threads, None), _rate(body, count, threads, key))
             for _ in range(ROUNDS)]  # fmt: skip
    plain, sealed = (statistics.median(each) for each in zip(*pairs, strict=True))
    print(f"{name:<6}  {threads:7}  {plain:7.0f}  {sealed:8.0f}  {sealed / plain:5.2f}")


def _rate(body: bytes, count: int, threads: int, key: SpoolKey | None) -> float:
    """Write so many objects with so many threads; returns objects per second."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Spool.open(Path(folder), segment_bytes=256 << 20, reserve_bytes=0, key=key) as spool,
        ThreadPoolExecutor(threads) as pool,
    ):
        began_s = time.perf_counter()
        for done in [pool.submit(_store, spool, number, body) for number in range(count)]:
            done.result()
        return count / (time.perf_counter() - began_s)


def _round(body: bytes, count: int, key: SpoolKey | None) -> Costs:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with Spool.open(root, segment_bytes=256 << 20, reserve_bytes=0, key=key) as spool:
            cpu_s, wall_s = time.thread_time(), time.perf_counter()
            for number in range(count):
                _store(spool, number, body)
            cpu_s, wall_s = time.thread_time() - cpu_s, time.perf_counter() - wall_s
            records = list(spool.records({}))
            reader = SpoolReader(root, SpoolKeys(key))
            read_s = time.thread_time()
            for record in records:
                reader.identify(record)
            read_s = time.thread_time() - read_s
    return tuple(spent_s / count * 1e6 for spent_s in (cpu_s, wall_s, read_s))  # type: ignore[return-value]  # three by construction


def _store(spool: Spool, number: int, body: bytes) -> None:
    uid = f"2.25.{number}"
    told = Arrival("1.2.840.10008.5.1.4.1.1.2", uid, "1.2.840.10008.1.2.1", "A", "B", "a", "h", 1.0)
    with spool.begin(told) as recording:
        recording.write(body)
        recording.commit()


if __name__ == "__main__":
    main()
