"""Measure a server once: start it on an empty store, send, account for what it used, stop it."""

import contextlib
import os
import re
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from bench.ingest import procfs
from bench.ingest.clients import Load, send
from bench.ingest.native import Programs
from bench.ingest.peers import Peer, Site
from bench.ingest.results import Cell
from bench.ingest.scratch import Scratch
from examples.peers.node import is_ready
from examples.peers.process import free_port, running, wait_until

RESTS_WITHIN_S = 15.0
WARM_UP_SERIAL = 9_000_000
WARM_UP_EACH = 4
"""Small objects by each association before anything is measured."""
FILED_WITHIN_S = 90.0
STOPS_WITHIN_S = 15.0
KILLED_AFTER_S = 0.2
"""Other servers are not asked for long to leave in order: their stores are thrown away."""
FIELDS = frozenset(each.name for each in fields(Cell))


@dataclass(frozen=True, slots=True)
class Bench:
    """What all measurements of a run share."""

    scratch: Scratch
    programs: Programs


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is up."""

    peer: Peer
    site: Site
    pid: int

    @property
    def is_node(self) -> bool:
        """Whether it is ours, which files what it received after it answered."""
        return self.peer.name == "node"


@contextlib.contextmanager
def up(
    peer: Peer, bench: Bench, command: Callable[[Site], list[str | Path]] | None = None
) -> Iterator[Server]:
    """Run a peer on an empty store until the block ends; its store is then moved aside.

    `command` takes the place of the peer's own. Raises PeerDied when it does not start.
    """
    scratch = bench.scratch
    site = Site(
        scratch.empty(peer.name), free_port(), free_port(), bench.programs, scratch.file_system
    )
    os.sync()  # what the peer before left to be written shall not be this one's burden
    try:
        with running(
            (command or peer.command)(site),
            ready=lambda: (
                procfs.listens(site.port) and (peer.name != "node" or is_ready(site.http_port))
            ),
            log=site.folder / "server.log",
            env=peer.env(site),
            grace_s=STOPS_WITHIN_S if peer.name == "node" else KILLED_AFTER_S,
        ) as process:
            # A server is not judged by its start: its children may still be importing.
            procfs.wait_for_rest(process.pid, RESTS_WITHIN_S)
            yield Server(peer, site, process.pid)
    finally:
        scratch.retire(site.folder)


def warm_up(server: Server, files: Sequence[Path], associations: int) -> int:
    """Let the first objects of a server's life be none that are measured; gives their count."""
    count = WARM_UP_EACH * associations
    load = Load(files, associations, count, calling="WARMUP", first_serial=WARM_UP_SERIAL)
    told = send(load, server.site.port, server.site.programs)
    stored = int(told.get("objects", 0))
    if server.is_node:
        wait_filed(server, stored)
    procfs.wait_for_rest(server.pid, RESTS_WITHIN_S)
    return stored


def account(
    server: Server, empty: Cell, sending: Callable[[], dict[str, Any]], already: int
) -> Cell:
    """Send, and fill a Cell with what was answered and used; a node is watched until it has filed.

    `already` is how many Instances a node held before.
    """
    pid = server.pid
    before, before_mb = procfs.cpu_time(pid), procfs.resident_mb(pid)
    with contextlib.suppress(OSError):
        procfs.forget_highest(pid)
    with procfs.MemoryWatch(pid) as memory:
        busy_s, began = procfs.busy_s(), time.monotonic()
        told = sending()
        ended = time.monotonic()
        used, busy_s = procfs.cpu_time(pid).since(before), procfs.busy_s() - busy_s
        known = {key: value for key, value in told.items() if key in FIELDS}
        cell = replace(
            empty, **known, main_cpu_s=used.main_s, tree_cpu_s=used.tree_s,
            others_cores=(busy_s - used.tree_s - told.get("client_cpu_s", 0)) / (ended - began),
        )  # fmt: skip
        if server.is_node:
            filed_s = wait_filed(server, already + cell.objects)
            after = procfs.cpu_time(pid).since(before)
            cell = replace(
                cell, filed_s=filed_s, main_filed_cpu_s=after.main_s, tree_filed_cpu_s=after.tree_s
            )
        else:
            procfs.wait_for_rest(pid, RESTS_WITHIN_S)
    highest_mb = procfs.highest_resident_mb(pid)
    return replace(
        cell,
        peak_rss_mb=max(memory.peak_mb, highest_mb),
        main_peak_rss_mb=highest_mb,
        main_growth_mb=highest_mb - before_mb,
    )


def gauges(server: Server) -> dict[str, float]:
    """Read the node's metrics; the key is a metric's name with its labels, as it is written."""
    url = f"http://127.0.0.1:{server.site.http_port}/metrics"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return read_gauges(answer.read().decode())


def read_gauges(text: str) -> dict[str, float]:
    """Read OpenMetrics text without its comments."""
    rows = re.findall(r"^([^#\s{]+(?:{[^}]*})?) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in rows}


def wait_filed(server: Server, wanted: int) -> float | None:
    """Wait until ledger and index hold so many Instances; gives how long that took, None: never."""
    began = time.monotonic()

    def everything() -> bool:
        found = gauges(server)
        names = ("penumbra_instances", "penumbra_index_instances")
        return all(found.get(name, 0) >= wanted for name in names)

    try:
        wait_until(everything, FILED_WITHIN_S, "filing")
    except (TimeoutError, OSError):
        return None
    return time.monotonic() - began
