"""Make one measurement of the plan: what each case sends, and what it does before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench.ingest.clients import Load, send, send_with_storescu
from bench.ingest.measure import Bench, Server, account, gauges, up, warm_up
from bench.ingest.peers import PEERS, Site, node_command, node_config
from bench.ingest.plan import BURST, BUSY, MATRIX, QUIET, STORESCU, Step
from bench.ingest.results import Cell
from bench.ingest.workload import WORKLOADS, Workload
from examples.peers.node import new_key
from examples.peers.process import PeerDied, wait_until

KEPT_FREE_BYTES = 4_000_000_000
BACKLOG_SERIES = 8
BACKLOG_CALLING = "BACKLOG"
BUSY_WITHIN_S = 30.0

RULE = f"""
[profiles.research]
key = {{ file = "research.key" }}
[destinations.archive]
kind = "folder"
path = "archive"
[[rules]]
name = "backlog"
when = {{ calling_ae = "{BACKLOG_CALLING}" }}
profile = "research"
send = ["archive"]
"""
"""Work for both workers: what BACKLOG sends is de-identified, what others send is not."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much each measurement sends."""

    seconds: float = 1.25
    most_objects: int = 0
    """Of one measurement of the tables; 0 leaves it to the workload."""
    burst: int = 20_000
    backlog_each: int = 150
    """CT objects in each Series of the backlog."""

    def count(self, workload: Workload, associations: int) -> int:
        """Tell how many objects one measurement sends at most."""
        if workload.most_objects:
            return self.most_objects or workload.most_objects
        return max(workload.files, associations)

    def needed_disk_bytes(self, step: Step) -> int:
        """Tell how much room a measurement needs, with what nodes keep free for themselves."""
        workload = WORKLOADS[step.work]
        count = self.burst if step.case == BURST else self.count(workload, step.associations)
        return KEPT_FREE_BYTES + count * workload.size_bytes


QUICK = Size(seconds=0.5, most_objects=4000, burst=2_000, backlog_each=60)


@dataclass(frozen=True, slots=True)
class Cases:
    """Makes measurements, one at a time."""

    bench: Bench
    files: Mapping[str, Sequence[Path]]
    """Of each workload."""
    size: Size

    def make(self, step: Step) -> Cell:
        """Make one measurement; a server that does not start is told as its trouble."""
        empty = Cell(step.case, step.peer, step.work, step.associations, step.repetition)
        making = {
            MATRIX: self._side_by_side,
            STORESCU: self._side_by_side,
            BURST: self._burst,
            QUIET: self._beside_workers,
            BUSY: self._beside_workers,
        }[step.case]
        try:
            return making(step, empty)
        except (PeerDied, TimeoutError, OSError) as why:
            return replace(empty, failures=1, trouble=f"{type(why).__name__}: {why}")

    def _side_by_side(self, step: Step, empty: Cell) -> Cell:
        load = self._load(step)
        with up(PEERS[step.peer], self.bench) as server:
            already = warm_up(server, self.files["mr"], step.associations)
            if step.case == MATRIX:
                return account(server, empty, lambda: self._send(server, load), already)
            port = server.site.port
            return account(server, empty, lambda: send_with_storescu(load, port), already)

    def _burst(self, step: Step, empty: Cell) -> Cell:
        load = Load(self.files[step.work], step.associations, self.size.burst)
        with up(PEERS["node"], self.bench) as server:
            already = warm_up(server, self.files["mr"], step.associations)
            return account(server, empty, lambda: self._send(server, load), already)

    def _beside_workers(self, step: Step, empty: Cell) -> Cell:
        load = self._load(step)
        with up(PEERS["node"], self.bench, _with_rule) as server:
            already = warm_up(server, self.files["mr"], step.associations)
            if step.case == QUIET:
                return account(server, empty, lambda: self._send(server, load), already)
            already += self._give_work(server)
            still_busy = []

            def sending() -> dict[str, Any]:
                told = self._send(server, load)
                still_busy.append(_jobs(server, "running") > 1)
                return told

            cell = account(server, empty, sending, already)
            return cell if still_busy[0] else replace(cell, trouble="the workers ran out of work")

    def _give_work(self, server: Server) -> int:
        """Give both workers a backlog, and wait until they are at it; gives its objects."""
        count = BACKLOG_SERIES * self.size.backlog_each
        files = self.files["ct"]
        load = Load(files, BACKLOG_SERIES, count, calling=BACKLOG_CALLING, first_serial=5_000_000)
        stored = int(self._send(server, load)["objects"])
        wait_until(lambda: _jobs(server, "running") > 1, BUSY_WITHIN_S, "work for both workers")
        return stored

    def _send(self, server: Server, load: Load) -> dict[str, Any]:
        return send(load, server.site.port, self.bench.programs)

    def _load(self, step: Step) -> Load:
        """Bound what one measurement sends: by time, and by a count."""
        files = self.files[step.work]
        most = self.size.count(WORKLOADS[step.work], step.associations)
        # Peers that wait do the same every 40 ms: half the time tells as much.
        seconds = self.size.seconds * (0.5 if PEERS[step.peer].waits else 1)
        return Load(files, step.associations, most, seconds)


def _with_rule(site: Site) -> list[str | Path]:
    new_key(site.folder)
    return node_command(node_config(site, RULE, release_s=0.2))


def _jobs(server: Server, state: str) -> float:
    return gauges(server).get(f'penumbra_jobs{{state="{state}"}}', 0)
