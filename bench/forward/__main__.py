"""`python -m bench.forward`: time delivery to a bucket beside what its parts reach alone."""

import statistics
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.forward.site import made
from bench.ingest.workload import WORKLOADS

BASE = {"worker, profile": "engine + obstore", "worker, as it is": "obstore"}
"""What each is compared with."""


@click.command()
@click.option("--objects", type=click.IntRange(200), default=2000, show_default=True)
@click.option("--work", type=click.Choice(["ct", "mr", "small"]), default="ct", show_default=True)
@click.option(
    "--scratch", type=click.Path(path_type=Path), default=Path("build/bench"), show_default=True
)
def main(*, objects: int, work: str, scratch: Path) -> None:
    """Time how objects go from the spool to SeaweedFS, in Series of 200.

    The contenders take turns, one Series each, so that what else the machine does strikes all of
    them. Rates are medians over Series; the ratio is the median of the ratios within one Series.

    \b
    Example:
      python -m bench.forward --work ct --objects 2000
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=scratch) as folder,
        made(Path(folder).absolute(), work, objects) as site,
    ):
        contenders = site.contenders()
        seconds: dict[str, list[float]] = {name: [] for name in contenders}
        cpu: dict[str, list[float]] = {name: [] for name in contenders}
        names = list(contenders)
        for turn, key in enumerate(site.series):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                begun, used = time.perf_counter(), time.process_time()
                contenders[name](key)
                count = len(site.series[key])
                seconds[name].append((time.perf_counter() - begun) / count)
                cpu[name].append((time.process_time() - used) / count)
    Console().print(shown(seconds, cpu, work))


def shown(seconds: dict[str, list[float]], cpu: dict[str, list[float]], work: str) -> Table:
    """Make the table: objects/s, MB/s, our processor time, and ratios to the parts alone."""
    size_mb = WORKLOADS[work].size_bytes / 1e6
    table = Table(WORKLOADS[work].words, "objects/s", "MB/s", "CPU, ms", "ratio", "of CPU")
    for name, each in seconds.items():
        rate = 1 / statistics.median(each)
        base = next((what for begin, what in BASE.items() if name.startswith(begin)), name)
        ratios = [_ratio(all_of[base], all_of[name]) for all_of in (seconds, cpu)]
        used_ms = 1000 * statistics.median(cpu[name])
        table.add_row(name, f"{rate:.0f}", f"{rate * size_mb:.1f}", f"{used_ms:.2f}", *ratios)
    return table


def _ratio(base: list[float], mine: list[float]) -> str:
    """How much of the base's rate is reached, as the median over Series."""
    return f"{statistics.median(b / m for b, m in zip(base, mine, strict=True)):.2f}"


if __name__ == "__main__":
    main()
