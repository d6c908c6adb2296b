"""Run the parts of a benchmark one after another in a scratch folder, and keep what they find."""

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from importlib import metadata
from pathlib import Path

import click

from bench.ingest import machine
from bench.ingest.scratch import InUse, Scratch
from bench.laps import Results

Measuring = Callable[[Results, Path], None]
"""Adds what it finds to the results; the folder is empty, and its own."""


def measured(
    name: str,
    home: Path,
    runs: Iterable[tuple[str, Measuring]],
    results: Results,
    *,
    needed_bytes: int = 0,
    packages: Mapping[str, str] | None = None,
) -> Results:
    """Do each run, and write what was found to NAME.json in `home`.

    `packages` are Python packages whose versions the reader wants, and how they are called.
    Raises ClickException where another run is on, or the disk has too little room.
    """
    # What ends this program lets it end its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    free = machine.free_bytes(home)
    if free < needed_bytes:
        raise click.ClickException(
            f"{free / 1e9:.1f} GB of the disk are free, {needed_bytes / 1e9:.0f} GB are needed:"
            " make room, or name a folder on another disk with --scratch"
        )
    try:
        scratch = Scratch(home)
    except InUse as why:
        raise click.ClickException(str(why)) from None
    began = time.monotonic()
    try:
        command = shlex.join(["python", "-m", f"bench.{name}", *sys.argv[1:]])
        results.machine |= machine.facts(home, scratch.file_system, command)
        results.machine["load_begin"] = os.getloadavg()[0]
        for package, called in (packages or {}).items():
            results.machine["versions"][called] = metadata.version(package)
        for part, run in runs:
            click.echo(f"{time.monotonic() - began:6.0f} s  {part}", err=True)
            folder = scratch.empty(part.replace(" ", "-"))
            run(results, folder)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        scratch.remove()
    results.machine |= {"load_end": os.getloadavg()[0], "took_s": time.monotonic() - began}
    results.write(home / f"{name}.json")
    return results
