"""`python -m bench.infer`: time the node's client beside tritonclient, and let servers die."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from bench.choices import kept, some
from bench.infer import away, calls, killed, report, through
from bench.laps import Results
from bench.measuring import Measuring, measured

PARTS = ("calls", "killed", "away", "through")
CALLS, SLICES, STUDIES, LOAD_S, AWAY_S = 1000, 300, 5, 10.0, 20.0
ALONE, BURST, THIN = 20, 50, 60


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--parts",
    callback=some(PARTS),
    default=",".join(PARTS),
    show_default=True,
    help="What is measured, with commas between.",
)
@click.option("--quick", is_flag=True, help="A few of each, for development.")
@kept("infer")
def main(
    *, parts: list[str], quick: bool, home: Path, source: Path | None, target: Path | None
) -> None:
    """Measure what asking a model costs, and what happens when its servers die.

    The servers are real Tritons with a model that does next to nothing. Clients take turns;
    ratios are medians of the ratios within one turn. What was found is kept in infer.json in the
    scratch folder.

    \b
    Parts:
      calls   a small call, and 300 slices, beside a client written by hand
      killed  one of two servers is killed under load
      away    a node's jobs while no server is there
      through from the last slice to the report at a PACS, and a burst of studies

    \b
    Examples:
      python -m bench.infer --quick
      python -m bench.infer --parts calls
      python -m bench.infer --write docs/benchmarks.md     (about 4 minutes)
    """
    if source is not None:
        results = Results.read(source)
    else:
        packages = {"tritonclient": "tritonclient", "grpcio": "gRPC"}
        results = measured("infer", home, _runs(parts, quick=quick), Results(), packages=packages)
    text = report.document(results)
    click.echo(text)
    if target is not None:
        target.write_text(report.placed(target.read_text(), text))


def _runs(parts: list[str], *, quick: bool) -> Iterator[tuple[str, Measuring]]:
    if "calls" in parts:
        count, slices, turns = (20, 20, 1) if quick else (CALLS, SLICES, calls.TURNS)
        yield "calls", partial(calls.measure, calls=count, slices=slices, turns=turns)
    if "killed" in parts:
        yield "killed", partial(killed.measure, seconds=1.0 if quick else LOAD_S)
    if "away" in parts:
        studies, seconds = (1, 0.0) if quick else (STUDIES, AWAY_S)
        yield "away", partial(away.measure, studies=studies, seconds=seconds)
    if "through" in parts:
        alone, burst, slices = (1, 2, 20) if quick else (ALONE, BURST, THIN)
        yield "through", partial(through.measure, alone=alone, burst=burst, slices=slices)


if __name__ == "__main__":
    main()
