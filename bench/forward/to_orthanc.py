"""From the spool to Orthanc: our worker, beside DCMTK's storescu and dcmsend on the same files.

Each turn of each contender meets an Orthanc of its own that holds nothing: one that knows an object
answers quicker. It runs with TCP_NODELAY=1, and so do DCMTK's programs.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.forward.site import Order, Site, made
from bench.ingest.peers import NODELAY
from bench.ingest.workload import SERIES_OF
from bench.laps import Lap, Results, Run, Watch
from config.destinations import DicomDestination
from examples.peers import orthanc
from examples.peers.process import debian, free_port

AET = "ORTHANC"
STORESCU, DCMSEND = "DCMTK storescu", "DCMTK dcmsend"
PROGRAMS = {
    STORESCU: ["storescu", "-R", "-aec", AET],
    DCMSEND: ["dcmsend", "-aec", AET],
}
PEER = '[peers.{aet}]\nhost = "127.0.0.1"\nport = {port}\n'
DESTINATION = """
[destinations.{name}]
kind = "dicom"
peer = "{aet}"
associations = {associations}
"""
DEFAULT = int(DicomDestination.model_fields["associations"].default)
ASSOCIATIONS = (1, DEFAULT)
"""One object after another, as storescu sends, and what a destination has unless it is told."""


def case(work: str) -> str:
    """Name the table of a workload."""
    return f"orthanc {work}"


def worker(associations: int, profile: str = "") -> str:
    """Name our worker as it stands in the table."""
    plural = "s" if associations > 1 else ""
    return f"worker, {profile or 'as it is'}, {associations} association{plural}"


@dataclass(frozen=True, slots=True)
class Course:
    """One site, one port, and a new Orthanc there for every lap."""

    site: Site
    work: str
    port: int
    folder: Path
    orders: list[Order]
    """One for each of our contenders and turns: a destination is owed nothing twice."""

    def contenders(self) -> dict[str, Run]:
        """Give what takes turns: each does one Series."""
        found: dict[str, Run] = {}
        for name in dict.fromkeys(order.name.partition(";")[0] for order in self.orders):
            found[name] = self._timed(name, self._ours(name))
        for name, command in PROGRAMS.items():
            if debian(command[0]):
                found[name] = self._timed(name, self._theirs(command))
        return found

    def _ours(self, name: str) -> Callable[[int], None]:
        def act(turn: int) -> None:
            order = next(one for one in self.orders if one.name == f"{name};{turn}")
            self.site.deliver(self.site.key(turn), order)

        return act

    def _theirs(self, command: list[str]) -> Callable[[int], None]:
        def act(turn: int) -> None:
            files = self.site.files[self.site.key(turn)]
            done = subprocess.run(
                [*command, "127.0.0.1", str(self.port), *map(str, files)],
                env={**os.environ, **NODELAY}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr}")

        return act

    def _timed(self, name: str, act: Callable[[int], None]) -> Run:
        def run(turn: int) -> Lap:
            key = self.site.key(turn)
            count = len(self.site.files[key])
            with self._empty_pacs() as pacs, Watch() as watch:
                act(turn)
                held = arrived(pacs)
            assert held == count, f"{name}: {held} of {count} arrived"
            size = self.site.size_bytes([key])
            return Lap(case(self.work), name, turn, count, size, watch.seconds, watch.cpu_s)

        return run

    @contextmanager
    def _empty_pacs(self) -> Iterator[orthanc.Orthanc]:
        try:
            with orthanc.running(self.folder, port=self.port, aet=AET) as pacs:
                yield pacs
                # What is over is thrown away: a long farewell would only take time.
                pacs.kill()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)


def arrived(pacs: orthanc.Orthanc) -> int:
    """Count the Instances that it holds."""
    told: dict[str, Any] = pacs.ask("/statistics")
    return int(told["CountInstances"])


def measure(results: Results, folder: Path, work: str, objects: int, base: str) -> None:
    """Measure one workload; what is not installed is left out and named."""
    for program, package in (("Orthanc", "orthanc"), ("storescu", "dcmtk")):
        if debian(program) is None:
            results.missing.append(f"{program} (Debian: apt-get install {package})")
    if orthanc.binary() is None:
        return
    turns, port = -(-objects // SERIES_OF), free_port()
    tables, orders = PEER.format(aet=AET, port=port), []
    for turn in range(turns):
        for profile in ("", base):
            for associations in ASSOCIATIONS if not profile else ASSOCIATIONS[:1]:
                target = f"pacs-{turn}-{profile or 'plain'}-{associations}"
                tables += DESTINATION.format(name=target, aet=AET, associations=associations)
                orders.append(Order(f"{worker(associations, profile)};{turn}", target, profile))
    with made(folder / "site", work, objects, tables, orders, base=base) as site:
        course = Course(site, work, port, folder / "orthanc", orders)
        results.take_turns(turns, course.contenders())
