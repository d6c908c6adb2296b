"""Run specialties' pipelines: node, Triton and PACS on loopback, a phantom each, one table each.

.venv/bin/python -m examples.pipelines chest-ct cardiac     or --all; --keep leaves it up
"""

import argparse
import contextlib
import io
import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset
from rich.console import Console
from rich.table import Table

from dicom.result_kinds import kind_of
from examples.peers import pacs, triton
from examples.peers.node import Node, penumbra, running_node
from examples.pipelines import answers
from examples.pipelines.specialty import Material, Specialty, repository, tables
from examples.pipelines.table import SPECIALTIES
from routing.job import State
from storage.ledger.events import Event
from storage.ledger.ledger import Ledger

SCRATCH = Path(os.environ.get("PIPELINES_DIR", ".pipelines"))
TIMEOUT_S = 120
PEERS = """
[peers.SCANNER]
may = ["store"]
[peers.{pacs.aet}]
host = "{pacs.host}"
port = {pacs.port}
[destinations.pacs]
kind = "dicom"
peer = "{pacs.aet}"
"""

console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Run:
    """One specialty on its way."""

    specialty: Specialty
    material: Material
    results: Path
    """Where copies of what the PACS got are put."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the chosen pipelines; the exit status says whether every row holds."""
    chosen, is_kept = _choose(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # cleans up as Ctrl-C does
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        runs = [_write(one) for one in chosen]
        served = repository(SCRATCH / "repository", chosen)
        models = stack.enter_context(triton.running(SCRATCH / "triton", repository=served))
        console.print(f"inference  Triton, {models.endpoint}: {', '.join(_models(chosen))}")
        shutil.rmtree(SCRATCH / "pacs", ignore_errors=True)
        where = stack.enter_context(pacs.running(SCRATCH / "pacs"))
        console.print(f"PACS       {where.name}, {where.aet}@{where.host}:{where.port}")
        shutil.rmtree(SCRATCH / "node", ignore_errors=True)
        config = PEERS.format(pacs=where) + tables(chosen, models.endpoint)
        node = stack.enter_context(running_node(SCRATCH / "node", config))
        console.print(f"node       {node.address}, http://127.0.0.1:{node.http_port}")
        ledger = stack.enter_context(contextlib.closing(node.ledger()))
        took = _send(node, ledger, runs)
        rows = [row for run in runs for row in _report(run, ledger, where)]
        console.print(f"{took:.1f} s from the first object sent to the last result delivered")
        if is_kept:
            console.print(f"Ctrl-C ends it; .venv/bin/penumbra status -c {node.config}")
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    return 0 if all(row.ok for row in rows) else 1


def _choose(arguments: Sequence[str] | None) -> tuple[tuple[Specialty, ...], bool]:
    listed = "\n".join(f"  {one.name:12} {one.sentence}" for one in SPECIALTIES.values())
    parser = argparse.ArgumentParser(
        prog="python -m examples.pipelines",
        description="Run specialties' pipelines on phantoms and compare results with the truth.",
        epilog=f"specialties:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="SPECIALTY", help="one of those below")
    parser.add_argument("--all", action="store_true", help="every specialty")
    parser.add_argument("--keep", action="store_true", help="leave the servers up at the end")
    given = parser.parse_args(arguments)
    names = list(SPECIALTIES) if given.all else list(dict.fromkeys(given.names))
    if not names or not SPECIALTIES.keys() >= set(names):
        parser.error(f"name specialties out of {', '.join(SPECIALTIES)}; or --all")
    return tuple(SPECIALTIES[name] for name in names), given.keep


def _write(specialty: Specialty) -> Run:
    home = SCRATCH / specialty.name
    shutil.rmtree(home, ignore_errors=True)
    material = specialty.write(home / "phantom")
    results = home / "results"
    results.mkdir(parents=True)
    return Run(specialty, material, results)


def _models(chosen: Sequence[Specialty]) -> list[str]:
    return sorted({model for one in chosen for model in one.models})


def _send(node: Node, ledger: Ledger, runs: Sequence[Run]) -> float:
    """Send every phantom, and wait until nothing is left to do; returns the seconds."""
    begun = time.monotonic()
    folders = [run.material.folder for run in runs]
    sent = penumbra(
        "send", node.address, *folders, "--aet", "SCANNER", "--called", "PENUMBRA", timeout_s=300
    )
    if sent.returncode:
        raise SystemExit(f"the phantoms could not be sent:\n{sent.stdout}{sent.stderr}")
    files = sum(len(list(folder.rglob("*.dcm"))) for folder in folders)
    models = _models([run.specialty for run in runs])

    def over(_: list[Event]) -> bool:
        # Results come in as received objects do, a moment after the job that made them ended.
        counts = ledger.jobs.counts()
        ended = counts[State.WAITING] + counts[State.RUNNING] == 0
        wanted, received = files + answers.made(ledger, models), ledger.summary()["received"]
        is_all_there = received["instances"] >= wanted and received["open_series"] == 0
        return ended and is_all_there and counts[State.DONE] + counts[State.HELD] >= len(runs)

    with contextlib.suppress(TimeoutError):  # the tables then say what is missing
        node.wait_for(over, TIMEOUT_S, "the pipelines")
    return time.monotonic() - begun


def _report(run: Run, ledger: Ledger, where: pacs.Pacs) -> list[answers.Row]:
    results = _collect(run, where)
    reports = [ds for ds in results if ds.Modality == "SR"]
    rows = []
    for modality, least in run.specialty.objects.items():
        count = sum(ds.Modality == modality for ds in results)
        words = f"{modality} objects at {where.name}"
        rows.append(answers.Row(words, str(count), str(least), count >= least))
    rows += answers.compare(run.material.expected, answers.read(reports))
    held = [
        job for job in ledger.jobs.list([State.HELD]) if job.spec.target in run.specialty.models
    ]
    words = "; ".join(sorted({f"{job.spec.target}: {job.words}" for job in held}))
    rows.append(answers.Row("jobs held", str(len(held)), "0", not held, words))
    table = Table("", "found", "truth", "", title=f"{run.specialty.name}: {run.specialty.sentence}")
    for row in rows:
        mark = "[green]ok[/]" if row.ok else "[bold red]SHORT[/]"
        table.add_row(row.what, row.found, row.truth, f"{mark}  {row.note}" if row.note else mark)
    console.print(table)
    console.print(f"result objects: {run.results}/")
    return rows


def _collect(run: Run, where: pacs.Pacs) -> list[Dataset]:
    """Copy the results that the PACS holds beside the phantom; the originals are there too."""
    found: list[Dataset] = []
    for uid in where.received():
        part10 = where.fetch(uid)
        ds = pydicom.dcmread(io.BytesIO(part10))
        is_ours = run.material.study_instance_uid == ds.StudyInstanceUID
        if is_ours and kind_of(ds.SOPClassUID):
            found.append(ds)
            (run.results / f"{ds.Modality}-{len(found)}.dcm").write_bytes(part10)
    return found


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
