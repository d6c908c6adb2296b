"""`python -m bench.query`: time questions and retrievals beside Orthanc, and at scale."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from bench.choices import kept, some
from bench.laps import Results
from bench.measuring import Measuring, measured
from bench.query import beside, report, retrieving, scale

PARTS = ("find", "retrieve", "scale")
STUDIES, MILLION, SLICES, QUESTIONS = 10_000, 1_000_000, 1_000, 100


@click.command(context_settings={"max_content_width": 100})
@click.option(
    "--parts",
    callback=some(PARTS),
    default=",".join(PARTS),
    show_default=True,
    help="What is measured, with commas between.",
)
@click.option(
    "--studies",
    type=click.IntRange(10),
    default=STUDIES,
    show_default=True,
    help="How many the node and Orthanc hold.",
)
@click.option(
    "--million",
    type=click.IntRange(100),
    default=MILLION,
    show_default=True,
    help="How many the node holds alone.",
)
@click.option(
    "--slices",
    type=click.IntRange(2),
    default=SLICES,
    show_default=True,
    help="How many the Series has that is retrieved.",
)
@click.option(
    "--questions",
    type=click.IntRange(2),
    default=QUESTIONS,
    show_default=True,
    help="How many of each kind, in each turn.",
)
@click.option("--quick", is_flag=True, help="A few of each, for development.")
@kept("query")
def main(
    *,
    parts: list[str],
    studies: int,
    million: int,
    slices: int,
    questions: int,
    quick: bool,
    home: Path,
    source: Path | None,
    target: Path | None,
) -> None:
    """Measure how quickly the node answers: C-FIND, QIDO-RS, C-MOVE, WADO-RS.

    Both servers hold the same, and the same client asks them in turns. Ratios are medians of the
    ratios within one turn. What was found is kept in query.json in the scratch folder.

    \b
    Parts:
      find      C-FIND and QIDO-RS beside Orthanc
      retrieve  a CT Series by C-MOVE and by WADO-RS, beside Orthanc
      scale     C-FIND and QIDO-RS to the node alone, over a synthetic index

    \b
    Examples:
      python -m bench.query --quick
      python -m bench.query --parts find --studies 2000
      python -m bench.query --write docs/benchmarks.md     (about 10 minutes)
    """
    if source is not None:
        results = Results.read(source)
    else:
        if quick:
            studies, million, slices, questions = 30, 300, 5, 3
        results = measured(
            "query", home, _runs(parts, studies, million, slices, questions), Results()
        )
    text = report.document(results)
    click.echo(text)
    if target is not None:
        target.write_text(report.placed(target.read_text(), text))


def _runs(
    parts: list[str], studies: int, million: int, slices: int, questions: int
) -> Iterator[tuple[str, Measuring]]:
    if "find" in parts:
        yield "find", partial(beside.measure, studies=studies, count=questions)
    if "retrieve" in parts:
        yield "retrieve", partial(retrieving.measure, slices=slices)
    if "scale" in parts:
        yield "scale", partial(scale.measure, studies=million, count=questions)


if __name__ == "__main__":
    main()
