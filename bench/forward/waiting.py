"""Thousands of settled Series behind a dead bucket: what they cost the front, and how they drain.

Two nodes run side by side, one with the Series waiting and one without. Both are sent the same in
turns, so that what else the machine does strikes both.
"""

import io
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from pydicom.filewriter import dcmwrite

from bench.forward.to_bucket import put_all
from bench.ingest import native, procfs
from bench.ingest.clients import Load, send
from bench.ingest.measure import Server, account
from bench.ingest.native import NoCompiler, Programs
from bench.ingest.peers import PEERS, Site, node_command, node_config
from bench.ingest.results import Cell
from bench.ingest.scratch import file_system
from bench.ingest.workload import WORKLOADS, files_of, make, uid
from bench.laps import Results
from dicom.entity import Arrival
from examples.peers import seaweed
from examples.peers.node import is_ready
from examples.peers.process import free_port, running, wait_until
from routing.job import State
from storage.ledger.ledger import Ledger
from storage.spool.spool import Spool

WORK = WORKLOADS["small"]
OWED = "OWED"
"""The calling AE of what the bucket is owed; what is sent meanwhile goes nowhere."""
SERIES_PER_STUDY = 10
ASSOCIATIONS = 4
AGE_S = 3600.0
SERIALS_EACH = 100_000
"""More than one association sends in a turn, less than load.c keeps for each."""
WRITERS = 16
PLANNED_WITHIN_S, DRAINS_WITHIN_S = 300.0, 480.0
TABLES = """
[destinations.lake]
kind = "object-store"
url = "s3://penumbra/waiting"
endpoint = "http://127.0.0.1:{port}"
access_key = {{ env = "BENCH_ACCESS" }}
secret_key = {{ env = "BENCH_SECRET" }}
[[rules]]
name = "owed"
when = {{ calling_ae = "{owed}" }}
send = ["lake"]
"""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How much is done."""

    series: int = 10_000
    objects: int = 4_000
    """Sent in each turn while they wait."""
    turns: int = 3
    idle_s: float = 10.0
    rests_within_s: float = 5.0
    """So long nodes may take to come to rest before they are measured."""


@dataclass(slots=True)
class Node:
    """A node that is up, and how many objects it was sent so far."""

    server: Server
    held: int
    cells: list[Cell]

    def receive(self, load: Load) -> None:
        """Send it something, and account for what its front used until all was filed."""
        empty = Cell("waiting", "node", WORK.name, load.associations, len(self.cells))
        site = self.server.site
        cell = account(self.server, empty, lambda: send(load, site.port, site.programs), self.held)
        assert not cell.failures, cell.trouble
        assert cell.filed_s is not None, "the node never filed what it took"
        self.held += cell.objects
        self.cells.append(cell)


def measure(results: Results, folder: Path, home: Path, crowd: Crowd) -> None:
    """Measure it all; without a C compiler, which the sender needs, nothing is.

    `home` keeps programs and files for the next run.
    """
    try:
        programs = native.build(home / "bin")
    except NoCompiler as why:
        results.missing.append(f"Series behind a dead bucket ({why})")
        return
    os.environ |= {"BENCH_ACCESS": seaweed.ACCESS_KEY, "BENCH_SECRET": seaweed.SECRET_KEY}
    port, bodies = free_port(), list(objects(crowd.series))
    fill(folder / "with" / "var" / "spool", bodies)
    with seaweed.running(folder / "s3", port=port):
        pass  # a bucket that comes back was there before
    with ExitStack() as stack:
        with_them = stack.enter_context(node(folder / "with", programs, port, crowd.series))
        without = stack.enter_context(node(folder / "without", programs, port, 0))
        ledger = Ledger.open(folder / "with" / "var")
        stack.callback(ledger.close)
        wait_until(lambda: waiting(ledger) >= crowd.series - 2, PLANNED_WITHIN_S, "planning")
        results.findings |= cost(with_them, without, crowd, home / "work")
        results.findings |= drain(ledger, folder / "s3", port, bodies)


def cost(with_them: Node, without: Node, crowd: Crowd, work: Path) -> dict[str, float]:
    """Say what waiting Series cost the front: its rate, its processor time, and that at rest."""
    files = files_of(WORKLOADS["mr"], work)
    for one in (with_them, without):
        procfs.wait_for_rest(one.server.pid, crowd.rests_within_s)
    for turn in range(crowd.turns + 1):
        nodes = [with_them, without] if turn % 2 else [without, with_them]
        for one in nodes:
            one.receive(Load(files, ASSOCIATIONS, crowd.objects, first_serial=turn * SERIALS_EACH))
    found = {}
    pids = {"with": with_them.server.pid, "without": without.server.pid}
    for one in pids.values():
        procfs.wait_for_rest(one, crowd.rests_within_s)
    before = {name: procfs.cpu_time(pid) for name, pid in pids.items()}
    time.sleep(crowd.idle_s)
    for name, one in (("with", with_them), ("without", without)):
        used = procfs.cpu_time(pids[name]).since(before[name])
        found[f"front at rest, {name}"] = used.main_s / crowd.idle_s
        cells = one.cells[1:]  # the first only warms up
        found[f"ingest, {name}"] = median(cell.objects_per_s for cell in cells)
        found[f"front, {name}"] = median(cell.main_cpu_ms or 0.0 for cell in cells)
    pairs = list(zip(with_them.cells[1:], without.cells[1:], strict=True))
    found["ingest, ratio"] = median(one.objects_per_s / two.objects_per_s for one, two in pairs)
    return found


def drain(ledger: Ledger, folder: Path, port: int, bodies: list[bytes]) -> dict[str, float]:
    """Let the bucket come back, wait until all is delivered, and time the transfer alone."""
    owed = float(len(bodies))
    found = {"drain, series": owed, "drain, attempts spent": float(spent(ledger))}
    with seaweed.running(folder, port=port) as bucket:
        began, first = time.monotonic(), None
        while waiting(ledger) and time.monotonic() - began < DRAINS_WITHIN_S:
            if first is None and ledger.jobs.counts()[State.DONE]:
                first = time.monotonic() - began
            time.sleep(0.2)
        counts, took = ledger.jobs.counts(), time.monotonic() - began
        found |= {
            "drain, all": took,
            "drain, first": took if first is None else first,
            "drain, done": float(counts[State.DONE]),
            "drain, held": float(counts[State.HELD]),
        }
        began = time.monotonic()
        put_all(bucket.store(), "alone", bodies)
        found["drain, transfer alone"] = time.monotonic() - began
    return found


def waiting(ledger: Ledger) -> int:
    """Count the jobs that wait, in hand or not."""
    counts = ledger.jobs.counts()
    return counts[State.WAITING] + counts[State.RUNNING]


def spent(ledger: Ledger) -> int:
    """Count the attempts that were spent on the dead bucket."""
    return sum(job.attempts for job in ledger.jobs.list([State.WAITING], limit=10**6))


@contextmanager
def node(folder: Path, programs: Programs, port: int, held: int) -> Iterator[Node]:
    """Run the whole node until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    site = Site(folder, free_port(), free_port(), programs, file_system(folder))
    config = node_config(site, TABLES.format(port=port, owed=OWED), release_s=0.2)
    with running(
        node_command(config),
        ready=lambda: procfs.listens(site.port) and is_ready(site.http_port),
        log=folder / "node.log",
    ) as process:
        yield Node(Server(PEERS["node"], site, process.pid), held, [])


def objects(count: int) -> Iterator[bytes]:
    """Make so many Series of one small object each, ten to a Study."""
    (dataset,) = make(replace(WORK, files=1))
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    whole = buffer.getvalue()
    for number in range(count):
        yield _renumbered(whole, number)


def _renumbered(whole: bytes, number: int) -> bytes:
    """Put in other UIDs of the same length."""
    study = number // SERIES_PER_STUDY
    for level, serial in ((1, study), (2, number), (3, number)):
        old, new = uid(WORK, level, 0), uid(WORK, level, serial)
        whole = whole.replace(old.encode(), new.encode())
    return whole


def fill(spool_folder: Path, bodies: list[bytes]) -> None:
    """Put objects into a spool as if they had come an hour ago."""
    spool_folder.parent.mkdir(parents=True, exist_ok=True)
    came = time.time() - AGE_S
    with Spool.open(spool_folder, segment_bytes=1 << 28, reserve_bytes=0) as spool:

        def put(number: int) -> None:
            arrival = Arrival(
                str(WORK.sop_class), uid(WORK, 3, number), str(WORK.syntax), OWED, "BENCH",
                f"owed-{number}", "127.0.0.1", came,
            )  # fmt: skip
            with spool.begin(arrival) as recording:
                recording.write(bodies[number])
                recording.commit()

        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(put, range(len(bodies))))
