"""Show a run to whoever waits for it: one line for each measurement, a bar, and a table at the end.

Lines and bar go to standard error, so that standard output is the result alone.
"""

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from bench.ingest.figures import ASSOCIATIONS, by_words, verdict
from bench.ingest.plan import MATRIX, Step
from bench.ingest.report import NOTHING, number
from bench.ingest.results import Cell, Results

WIDE = 140
"""Off a terminal there is no width to fit into."""


class Screen:
    """Says what is measured, and what was found."""

    def __init__(self) -> None:
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, words: str) -> None:
        """Say something that is not a measurement."""
        self._errors.print(words, markup=False)

    @contextlib.contextmanager
    def progress(self, steps: Sequence[Step]) -> Iterator["Ticker"]:
        """Show a bar over so many measurements until the block ends; none off a terminal."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TimeElapsedColumn(), Remaining())  # fmt: skip
        off = not self._errors.is_terminal
        with Progress(*columns, console=self._errors, transient=True, disable=off) as bar:
            yield Ticker(self, bar, len(steps))


class Ticker:
    """Moves the bar on, measurement by measurement."""

    def __init__(self, screen: Screen, bar: Progress, total: int) -> None:
        self._screen, self._bar = screen, bar
        self._task = bar.add_task("", total=total)

    def begin(self, step: Step) -> None:
        """Name the measurement that is under way."""
        words = f"{step.case} {step.work} x{step.associations} {step.peer}"
        self._bar.update(self._task, description=words)

    def end(self, cell: Cell) -> None:
        """Tell what a measurement found."""
        self._screen.say(line(cell))
        self._bar.advance(self._task)


def line(cell: Cell) -> str:
    """Tell a measurement in one line."""
    what = f"{cell.case:8} {cell.work:5} x{cell.associations} {cell.peer:17}"
    rate = f"{cell.objects_per_s:9.1f}/s {cell.mb_per_s:7.1f} MB/s"
    answer = f"p50 {number(cell.p50_ms):>6} p99 {number(cell.p99_ms):>6} ms"
    used = f"cpu {number(cell.tree_cpu_ms):>6} ms  rss {number(cell.peak_rss_mb):>6} MB"
    words = f"{what} {rate}  {answer}  {used}"
    if cell.peer == "node":
        filed = f"{cell.filed_s:.1f} s" if cell.filed_s is not None else "never"
        words += f"  front {number(cell.main_cpu_ms)} ms +{number(cell.main_growth_mb)} MB"
        words += f"  filed after {filed}"
    if cell.failures or cell.trouble:
        words += f"  {cell.failures} FAILED: {cell.trouble.partition(chr(10))[0]}"
    return words


def summary(results: Results) -> None:
    """Print the tables of a run for people, on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDE)
    for work in results.works(MATRIX):
        console.print(_rates(results, work))
    console.print(_figures(results))


def _rates(results: Results, work: str) -> Table:
    table = Table(title=f"{work}: objects/s (of the floor; node is so many times as fast)")
    table.add_column("server")
    counts = results.associations(MATRIX, work)
    for count in counts:
        table.add_column(f"{count} assoc.", justify="right")
    for peer in results.peers(MATRIX, work):
        table.add_row(peer, *(_rate(results, peer, work, count) for count in counts))
    return table


def _rate(results: Results, peer: str, work: str, count: int) -> str:
    words = number(results.median("objects_per_s", peer, work, count))
    of_floor = results.ratio(work, count, peer, "floor")
    times = results.ratio(work, count, "node", peer)
    told = [NOTHING if of_floor is None else f"{of_floor:.2f}"]
    told += [f"{times:.2f} x"] if times is not None and peer != "node" else []
    return f"{words} ({'; '.join(told)})"


def _figures(results: Results) -> Table:
    table = Table(title="figures to reach")
    table.add_column("figure")
    for count in ASSOCIATIONS:
        table.add_column(f"{count} assoc.")
    for words, figures in by_words().items():
        told = {each.associations: verdict(each, results).replace("**", "") for each in figures}
        if any("not measured" not in each for each in told.values()):
            table.add_row(words, *(told.get(count, "") for count in ASSOCIATIONS))
    return table
