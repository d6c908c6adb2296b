"""Make the measurements of a plan one after the other, and keep each as soon as it is made."""

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path

from bench.ingest import machine, native
from bench.ingest.cases import Cases, Size
from bench.ingest.measure import Bench
from bench.ingest.peers import PEERS
from bench.ingest.plan import Step
from bench.ingest.results import to_line
from bench.ingest.scratch import Scratch
from bench.ingest.screen import Screen
from bench.ingest.workload import WORKLOADS, files_of

NEEDED_MEMORY_BYTES = 8_000_000_000
"""Eight objects of 200 MB, in a peer that holds each several times."""
WARM_UP = "mr"
"""Sent before anything is measured, whatever is."""


class TooSmall(RuntimeError):  # noqa: N818  (a fact about the machine)
    """The machine has too little room for what was asked; the message says what to do."""


def run(planned: Sequence[Step], size: Size, home: Path, out: Path, command: str) -> None:
    """Measure all that is planned, and write it to `out` as lines of JSON.

    `home` is on the disk that is measured; programs and objects stay there, stores do not.
    `command` is told with the results. Raises NoCompiler, TooSmall for disk or
    memory, or InUse while another run has the folder.
    """
    os.environ.pop("TCP_NODELAY", None)  # which peer has it is what is measured
    home.mkdir(parents=True, exist_ok=True)
    home = home.absolute()
    works = {WARM_UP, *(step.work for step in planned)}
    needed = max((size.needed_disk_bytes(step) for step in planned), default=0)
    check_disk(machine.free_bytes(home), needed)
    check_memory(machine.available_memory_bytes(), works)
    programs = native.build(home / "bin")
    screen = Screen()
    scratch = Scratch(home)
    try:
        files = {work: files_of(WORKLOADS[work], home / "work") for work in sorted(works)}
        facts = machine.facts(home, scratch.file_system, command)
        for peer, why in facts["missing"].items():
            screen.say(f"{PEERS[peer].title} is left out: {why}")
        cases = Cases(Bench(scratch, programs), files, size)
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("w") as sink, screen.progress(planned) as ticker:
            sink.write(json.dumps(facts) + "\n")
            for step in planned:
                ticker.begin(step)
                cell = cases.make(step)
                sink.write(to_line(cell) + "\n")
                sink.flush()
                ticker.end(cell)
    finally:
        screen.say("removing what the servers wrote")
        scratch.remove()


def check_disk(free_bytes: int, needed_bytes: int) -> None:
    """Refuse what the disk has no room for. Raises TooSmall."""
    if free_bytes < needed_bytes:
        raise TooSmall(
            f"{free_bytes / 1e9:.1f} GB of the disk are free, {needed_bytes / 1e9:.1f} GB are"
            " needed: make room, or name a folder on another disk with --scratch"
        )


def check_memory(available_bytes: int, works: Collection[str]) -> None:
    """Refuse what the memory has no room for. Raises TooSmall."""
    if "huge" in works and available_bytes < NEEDED_MEMORY_BYTES:
        raise TooSmall(
            f"{available_bytes / 1e9:.1f} GB of memory are available, and some servers need"
            f" {NEEDED_MEMORY_BYTES / 1e9:.0f} GB for objects of 200 MB: leave huge out of --work"
        )
