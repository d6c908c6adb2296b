"""`python -m bench.ingest`: measure receiving side by side, and write down what was found."""

import signal
import sys
from dataclasses import replace
from pathlib import Path

import click

from bench.choices import kept, some
from bench.ingest import report
from bench.ingest.cases import QUICK, Size
from bench.ingest.native import NoCompiler
from bench.ingest.peers import PEERS
from bench.ingest.plan import EXTRAS, Step, steps
from bench.ingest.results import Results, read
from bench.ingest.run import TooSmall, run
from bench.ingest.scratch import InUse
from bench.ingest.screen import summary
from bench.ingest.workload import WORKLOADS
from examples.peers.process import debian

SIDE_BY_SIDE = ("mr", "ct", "jls", "huge")
CLIENTS = ("load", "storescu")


def _counts(_context: object, _parameter: object, text: str) -> list[int]:
    parts = text.split(",")
    if not all(part.strip().isdigit() and 1 <= int(part) <= 64 for part in parts):
        raise click.BadParameter("numbers from 1 to 64, with commas between them")
    return [int(part) for part in parts]


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--peers",
    callback=some(PEERS, none=True),
    default=",".join(PEERS),
    show_default=True,
    help="The servers, with commas between them.",
)
@click.option(
    "--work",
    "works",
    callback=some(WORKLOADS, none=True),
    default=",".join(SIDE_BY_SIDE),
    show_default=True,
    help="What is sent: mr 34 KB, ct 526 KB, jls CT in JPEG-LS, huge"
    ' 200 MB, small 10 KB. "none": only --extras.',
)
@click.option(
    "--assoc",
    "associations",
    callback=_counts,
    default="1,4,8",
    show_default=True,
    help="Over how many associations.",
)
@click.option(
    "--client",
    "clients",
    callback=some(CLIENTS, none=True),
    default="load",
    show_default=True,
    help="load: our own, which costs next to nothing. storescu: DCMTK's, which"
    " sends ct to durable servers that do not wait.",
)
@click.option(
    "--extras",
    callback=some(EXTRAS, none=True),
    default=None,
    help='What the node alone is put to: burst, quiet, busy, or "none".'
    "  [default: all; with --quick none]",
)
@click.option(
    "--reps",
    type=click.IntRange(1, 100),
    help="Repetitions; the tables show medians.  [default: 5; with --quick 1]",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.05, 60),
    help="How long one measurement sends.  [default: 1.25; with --quick 0.5]",
)
@click.option(
    "--objects",
    type=click.IntRange(1),
    help="How many objects one measurement sends at most; huge is not bounded by it."
    "  [default: by workload]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="One repetition of half a second and small extras, for development.",
)
@kept("ingest")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where measurements go, a line of JSON each.  [default: results.jsonl in"
    " the scratch folder]",
)
def main(
    *,
    peers: list[str],
    works: list[str],
    associations: list[int],
    clients: list[str],
    extras: list[str] | None,
    reps: int | None,
    seconds: float | None,
    objects: int | None,
    quick: bool,
    home: Path,
    out: Path | None,
    source: Path | None,
    target: Path | None,
) -> None:
    """Measure how fast the node receives, beside other storage SCPs and the floor.

    The floor is a C program that appends what it gets to one log and syncs it before it answers:
    what the disk allows. Every server is started on an empty store for every measurement, on
    loopback, and one follows the other on the same load, so that a machine that drifts does so
    for all. Servers that are not installed are left out, and named.

    \b
    Examples:
      python -m bench.ingest --quick --peers floor,node --work ct,mr --extras none
      python -m bench.ingest --peers floor,node,storescp-durable --work ct --assoc 4 --reps 3
      python -m bench.ingest --work none --extras burst,busy,quiet --quick
      python -m bench.ingest --client load,storescu --write docs/benchmarks.md     (about 40 min)
      python -m bench.ingest --from build/bench/results.jsonl
    """
    if source is None:
        source = out or home / "results.jsonl"
        usual = QUICK if quick else Size()
        size = replace(
            usual,
            seconds=seconds or usual.seconds,
            most_objects=objects or usual.most_objects,
        )
        if extras is None:
            extras = [] if quick else list(EXTRAS)
        there = [peer for peer in peers if not PEERS[peer].missing()]
        planned = steps(
            there,
            works,
            associations,
            clients=[one for one in clients if one == "load" or debian(one)],
            for_storescu=[one for one in there if PEERS[one].durable and not PEERS[one].waits],
            extras=extras,
            repetitions=reps or (1 if quick else 5),
        )
        _measure(list(planned), size, home, source)
    _tell(source, target)


def _measure(planned: list[Step], size: Size, home: Path, out: Path) -> None:
    # What ends this program lets it end its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    command = " ".join(["python -m bench.ingest", *sys.argv[1:]])
    try:
        run(planned, size, home, out, command)
    except (NoCompiler, TooSmall, InUse) as why:
        raise click.ClickException(str(why)) from None


def _tell(source: Path, target: Path | None) -> None:
    cells, machine = read(source)
    results = Results(cells)
    summary(results)
    if target is not None:
        target.write_text(report.placed(target.read_text(), report.document(results, machine)))
    if any(cell.failures or cell.trouble for cell in cells):
        raise click.ClickException(f"some measurements failed: {source} says which, and why")


if __name__ == "__main__":
    main()
