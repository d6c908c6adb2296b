"""From the spool to SeaweedFS: our worker, beside its parts alone and boto3."""

import json
import os
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
from obstore.store import S3Store

from bench.forward.site import Order, Site, made
from bench.ingest.workload import SERIES_OF
from bench.laps import Lap, Results, Run, Watch
from examples.peers import seaweed

THREADS = 8
"""As many requests at once as a destination makes by default."""
CHECKS = ("read-back", "checksum")
ENGINE, STORE, BOTH = "engine alone", "obstore", "engine + obstore"
WAYS = {
    "boto3, upload_file": "upload",
    "boto3, put_object": "put",
    "boto3, put_object once, SHA-256, read back": "checked",
}
BOTO = Path(__file__).with_name("boto.py")
DESTINATION = """
[destinations.{name}]
kind = "object-store"
url = "s3://{bucket}/{name}"
endpoint = "{endpoint}"
access_key = {{ env = "BENCH_ACCESS" }}
secret_key = {{ env = "BENCH_SECRET" }}
verify = "{verify}"
"""


def case(work: str) -> str:
    """Name the table of a workload."""
    return f"bucket {work}"


def worker(check: str, profile: str = "") -> str:
    """Name our worker as it stands in the table."""
    return f"worker, {profile or 'as it is'}, {check}"


@dataclass(slots=True)
class Boto:
    """A process of the other environment that puts files when it is told to."""

    process: subprocess.Popen[str]
    version: str

    def ask(self, **wish: Any) -> dict[str, float]:
        """Have it put files, and wait for its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError("boto3's process ended: its trouble stands above")
        return json.loads(answer)


@contextmanager
def boto(bucket: seaweed.Seaweed, python: Path) -> Iterator[Boto]:
    """Run boto3 in its own environment until the block ends."""
    keys = {"AWS_ACCESS_KEY_ID": bucket.access_key, "AWS_SECRET_ACCESS_KEY": bucket.secret_key}
    command = [str(python), str(BOTO), bucket.endpoint, bucket.bucket, str(THREADS)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, **keys},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield Boto(process, json.loads(process.stdout.readline())["version"])
        finally:
            process.stdin.close()


@dataclass(slots=True)
class Race:
    """Everybody who puts the Series of a site into one bucket."""

    site: Site
    store: S3Store
    work: str
    boto: Boto | None

    def contenders(self, orders: Iterable[Order]) -> dict[str, Run]:
        """Give what takes turns: each does one Series."""
        site = self.site
        found: dict[str, Run] = {
            ENGINE: self._timed(ENGINE, lambda turn: [len(x) for x in site.clean(site.key(turn))]),
            STORE: self._timed(STORE, lambda turn: self._put(turn, "o", self._as_it_is(turn))),
            BOTH: self._timed(BOTH, lambda turn: self._put(turn, "eo", self._clean(turn))),
        }
        for order in orders:
            found[order.name] = self._timed(
                order.name, lambda turn, order=order: site.deliver(site.key(turn), order)
            )
        if self.boto is not None:
            found |= {name: self._theirs(name, way) for name, way in WAYS.items()}
        return found

    def _as_it_is(self, turn: int) -> Iterator[memoryview]:
        return iter(self.site.objects(self.site.key(turn)))

    def _clean(self, turn: int) -> Iterator[bytes]:
        return self.site.clean(self.site.key(turn))

    def _timed(self, name: str, act: Any) -> Run:
        def run(turn: int) -> Lap:
            with Watch() as watch:
                act(turn)
            return self._lap(name, turn, watch.seconds, watch.cpu_s)

        return run

    def _theirs(self, name: str, way: str) -> Run:
        def run(turn: int) -> Lap:
            assert self.boto is not None
            key = self.site.key(turn)
            told = self.boto.ask(
                way=way, prefix=f"boto-{way}/{turn}", files=list(map(str, self.site.files[key]))
            )
            return self._lap(name, turn, told["seconds"], told["cpu_s"])

        return run

    def _lap(self, name: str, turn: int, seconds: float, cpu_s: float) -> Lap:
        key = self.site.key(turn)
        size = self.site.size_bytes([key])
        return Lap(case(self.work), name, turn, len(self.site.series[key]), size, seconds, cpu_s)

    def _put(self, turn: int, prefix: str, bodies: Iterator[memoryview] | Iterator[bytes]) -> None:
        put_all(self.store, f"{prefix}/{turn}", bodies)


def put_all(store: S3Store, prefix: str, bodies: Iterable[memoryview | bytes]) -> None:
    """Create objects with obstore alone, eight at once, at most eight more made ready."""

    def put(number: int, body: bytes | memoryview) -> None:
        obstore.put(store, f"{prefix}/{number}.dcm", body, mode="create")

    under_way: list[Future[None]] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for number, body in enumerate(bodies):
            under_way.append(pool.submit(put, number, body))
            if len(under_way) > 2 * THREADS:
                under_way.pop(0).result()
    for one in under_way:
        one.result()


def measure(  # noqa: PLR0917  (a run's choices, in the order of the command's options)
    results: Results, folder: Path, work: str, objects: int, base: str, python: Path
) -> None:
    """Measure one workload; who is not installed is left out and named."""
    orders = [
        Order(worker(check, profile), f"{profile or 'plain'}-{check}", profile)
        for profile in ("", base)
        for check in CHECKS
    ]
    with ExitStack() as stack:
        bucket = stack.enter_context(seaweed.running(folder / "s3"))
        os.environ |= {"BENCH_ACCESS": bucket.access_key, "BENCH_SECRET": bucket.secret_key}
        tables = "".join(_destination(order, bucket) for order in orders)
        site = stack.enter_context(made(folder / "site", work, objects, tables, orders, base=base))
        theirs = None
        if python.exists():
            theirs = stack.enter_context(boto(bucket, python))
            results.machine.setdefault("versions", {})["boto3"] = theirs.version
        else:
            home = python.parents[1].name
            results.missing.append(f"boto3 (deploy/setup-bench-peers.sh makes {home})")
        race = Race(site, bucket.store(), work, theirs)
        results.take_turns(-(-objects // SERIES_OF), race.contenders(orders))


def _destination(order: Order, bucket: seaweed.Seaweed) -> str:
    check = order.target.partition("-")[2]
    return DESTINATION.format(
        name=order.target, bucket=bucket.bucket, endpoint=bucket.endpoint, verify=check
    )
