"""`python -m bench.deid`: time our de-identification beside other tools' and a plain copy."""

import json
import platform
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.ingest.workload import WORKLOADS, files_of

SUBJECTS = Path(__file__).with_name("subjects.py")
OURS = {
    "plain": "pydicom, read and written",
    "basic": "Penumbra, basic",
    "research": "Penumbra, research",
}
PEERS = {"dicognito": "dicognito", "dicom-anonymizer": "dicom-anonymizer", "deid": "deid (pydicom)"}
WORKS = ("mr", "ct")
LARGE = "huge"
BEGIN, END = (
    "<!-- bench-deid: begin (made by `make bench-deid`; do not edit) -->",
    ("<!-- bench-deid: end -->"),
)


@dataclass(slots=True)
class Subject:
    """A process that de-identifies when it is told to."""

    name: str
    process: subprocess.Popen[str]
    seconds: list[float] = field(default_factory=list)

    def ask(self, line: str) -> dict[str, float]:
        """Send a line, and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            command = " ".join(map(str, self.process.args))
            raise click.ClickException(f"{self.name} failed; see why: echo {line} | {command}")
        return json.loads(answer)


def started(name: str, python: str, files: list[Path], stack: ExitStack) -> Subject | None:
    """Start a subject; None where the environment lacks it."""
    process = stack.enter_context(
        subprocess.Popen(
            [python, str(SUBJECTS), name, *map(str, files)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
    )  # fmt: skip
    assert process.stdin is not None
    stack.callback(process.stdin.close)
    assert process.stdout is not None
    return Subject(name, process) if process.stdout.readline() else None


def pythons(peers: Path) -> dict[str, str]:
    """Say which interpreter runs which subject."""
    theirs = str(peers / "bin" / "python")
    return {**dict.fromkeys(OURS, sys.executable), **dict.fromkeys(PEERS, theirs)}


def measured(work: str, files: list[Path], peers: Path, rounds: int) -> dict[str, float]:
    """Give milliseconds per object, the median of rounds in which the subjects take turns."""
    with ExitStack() as stack:
        there = []
        for name, python in pythons(peers).items():
            subject = started(name, python, files, stack) if Path(python).exists() else None
            if subject is None:
                click.echo(f"{name} is not installed in {peers} and is left out", err=True)
                continue
            there.append(subject)
        for turn in range(rounds + 1):
            for subject in there[turn % len(there) :] + there[: turn % len(there)]:
                answer = subject.ask("go")
                if turn:  # the first one only warms up
                    subject.seconds.append(answer["seconds"] / answer["objects"])
        click.echo(f"{work}: {rounds} rounds of {len(files)} objects", err=True)
        return {each.name: statistics.median(each.seconds) * 1000 for each in there}


def grown(file: Path, peers: Path) -> dict[str, float]:
    """Give the MB by which de-identifying one large object raises the peak of resident memory."""
    found = {}
    for name, python in pythons(peers).items():
        with ExitStack() as stack:
            subject = started(name, python, [file], stack) if Path(python).exists() else None
            if subject is not None:
                subject.ask("go")
                answer = subject.ask("peak")
                found[name] = (answer["peak"] - answer["before"]) / 1e6
    return found


def table(times: dict[str, dict[str, float]], memory: dict[str, float]) -> list[list[str]]:
    """Make the rows of the table, each with its ratio to the plain copy."""
    rows = []
    for name, words in (OURS | PEERS).items():
        if name not in times[WORKS[0]]:
            continue
        cells = [words]
        for work in WORKS:
            time_ms = times[work][name]
            cells.append(f"{time_ms:.2f} ms ({time_ms / times[work]['plain']:.2f} x)")
        rows.append([*cells, f"{memory[name]:.0f} MB"])
    return rows


def document(rows: list[list[str]], rounds: int) -> str:
    """Write the table as Markdown."""
    head = ["", *(WORKLOADS[work].words for work in WORKS), "memory, 200 MB object"]
    lines = [head, ["---"] * len(head), *rows]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return (
        f"{BEGIN}\n\n`python -m bench.deid --rounds {rounds}`, Python "
        f"{platform.python_version()}, one process each.\n\n{text}\n\n{END}"
    )


@click.command()
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option("--objects", type=click.IntRange(1), default=20, show_default=True)
@click.option(
    "--peers",
    type=click.Path(path_type=Path),
    default=Path(".venv-deid-peers"),
    show_default=True,
    help="The environment of the other tools, as deploy/setup-deid-peers.sh makes it.",
)
@click.option(
    "--scratch", type=click.Path(path_type=Path), default=Path("build/bench"), show_default=True
)
@click.option("--write", "target", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def main(*, rounds: int, objects: int, peers: Path, scratch: Path, target: Path | None) -> None:
    """Time de-identification per object, from bytes to bytes, beside other tools.

    Each tool is a process of its own; they take turns over the same objects, and the table shows
    medians, also as a ratio to reading and writing the object with pydicom. The last column is
    how much an object of 200 MB raises the peak of memory, its own bytes not counted.
    """
    times = {
        work: measured(work, files_of(WORKLOADS[work], scratch / "work")[:objects], peers, rounds)
        for work in WORKS
    }
    memory = grown(files_of(WORKLOADS[LARGE], scratch / "work")[0], peers)
    rows = table(times, memory)
    shown = Table("", *(WORKLOADS[work].words for work in WORKS), "memory, 200 MB object")
    for row in rows:
        shown.add_row(*row)
    Console().print(shown)
    if target is not None:
        text = target.read_text()
        start, end = text.index(BEGIN), text.index(END) + len(END)
        target.write_text(text[:start] + document(rows, rounds) + text[end:])


if __name__ == "__main__":
    main()
