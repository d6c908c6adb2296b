"""Write a run down as Markdown: tables, figures, machine; between two marks of a document."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bench import marks
from bench.ingest import figures
from bench.ingest.peers import PEERS
from bench.ingest.plan import BURST, BUSY, EXTRAS, MATRIX, QUIET, STORESCU
from bench.ingest.results import Results, Row
from bench.ingest.workload import WORKLOADS

BEGIN = "<!-- bench-ingest: begin (made by `make bench-ingest`; do not edit) -->"
END = "<!-- bench-ingest: end -->"
NOTHING = "-"

_COLUMNS = ("associations", "server", "objects/s", "MB/s", "of the floor", "node is", "p50 ms",
            "p99 ms", "CPU ms/object", "peak RSS MB", "failures")  # fmt: skip
_EXTRA_WORDS = {
    BURST: "many small objects in one go",
    QUIET: "workers with nothing to do",
    BUSY: "workers that de-identify",
}


def placed(document: str, text: str) -> str:
    """Put a text between the marks of a document. Raises ValueError when it has none."""
    return marks.placed(document, text, begin=BEGIN, end=END)


def document(results: Results, machine: Mapping[str, Any]) -> str:
    """Write everything that a run found."""
    parts = [_head(results, machine), _section("Figures to reach", _figures(results))]
    for work in results.works(MATRIX):
        title = f"{WORKLOADS[work].words[0].upper()}{WORKLOADS[work].words[1:]}"
        parts.append(_section(title, _side_by_side(results, work, MATRIX)))
    for work in results.works(STORESCU):
        title = f"{WORKLOADS[work].words}, sent by DCMTK's storescu"
        parts.append(_section(title, _side_by_side(results, work, STORESCU)))
    if extras := list(_extras(results)):
        parts.append(_section("The node under strain", extras))
    if troubles := list(_troubles(results, machine)):
        parts.append(_section("What went wrong", troubles))
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 2) -> list[str]:
    """Write a Markdown table; its first columns are words, the others numbers."""
    rule = ["---" if place < words else "---:" for place in range(len(header))]
    return [f"| {' | '.join(row)} |" for row in (header, rule, *rows)]


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"### {title}", "", *lines])


def _head(results: Results, machine: Mapping[str, Any]) -> str:
    if not machine:
        return f"Medians of {results.repetitions()}."
    others = [cell.others_cores for cell in results.cells()]
    names = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"""\
- {machine["date"]}, commit {machine["commit"]}; medians of {results.repetitions()}.
- {machine["cores"]} cores of {machine["processor"]}, {machine["memory_bytes"] / 1e9:.0f} GB;
  {machine["system"]}, Linux {machine["kernel"]}.
- Disk: {machine["file_system"]}; fdatasync after 4 KB takes {machine["sync_ms"]:.3f} ms (median).
- {names}.
- Beside server and client, {sum(others) / max(len(others), 1):.2f} cores were busy on average:
  writing back, and whatever else ran.
- Command: `{machine["command"]}`"""


def _figures(results: Results) -> list[str]:
    header = ("figure", *(_associations(count) for count in figures.ASSOCIATIONS))
    rows = []
    for words, line in figures.by_words().items():
        told = {each.associations: figures.verdict(each, results) for each in line}
        rows.append((words, *(told.get(count, "") for count in figures.ASSOCIATIONS)))
    return table(header, rows, words=len(header))


def _associations(count: int) -> str:
    return f"{count} association{'s' if count > 1 else ''}"


def _side_by_side(results: Results, work: str, case: str) -> list[str]:
    rows = []
    for count in results.associations(case, work):
        for peer in (name for name in PEERS if results.row(name, work, count, case)):
            row = results.row(peer, work, count, case)
            assert row is not None
            rows.append(_line(results, row, count, case))
    return table(_COLUMNS, rows)


def _line(results: Results, row: Row, count: int, case: str) -> list[str]:
    cell = row.cells[0]
    peer, work = PEERS[cell.peer], cell.work
    of_floor = results.ratio(work, count, cell.peer, "floor", case)
    times = results.ratio(work, count, "node", cell.peer, case)
    title = peer.title if peer.durable else f"{peer.title} *"
    return [
        str(count), f"**{title}**" if peer.name == "node" else title,
        number(row.median("objects_per_s")), number(row.median("mb_per_s")),
        NOTHING if of_floor is None else f"{of_floor:.{2 if of_floor >= 0.1 else 3}f}",
        NOTHING if times is None or peer.name == "node" else f"{number(times)} x",
        number(row.median("p50_ms")), number(row.median("p99_ms")),
        _used(row, "tree_cpu_ms", "main_cpu_ms", "; receiving {}", "receiving_cpu_ms"),
        _used(row, "peak_rss_mb", "main_peak_rss_mb", ", +{}", "main_growth_mb"),
        str(row.failures),
    ]  # fmt: skip


def _used(row: Row, whole: str, front: str, more: str, detail: str) -> str:
    """Tell what all processes used; of the node also what its front alone used, and a detail."""
    told = number(row.median(whole))
    if row.cells[0].peer != "node":
        return told
    return f"{told} (front {number(row.median(front))}{more.format(number(row.median(detail)))})"


def number(value: float | None) -> str:
    """Write a number with three digits that say something, thousands set apart."""
    if value is None:
        return NOTHING
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}"


def _extras(results: Results) -> Iterator[str]:
    header = ("measurement", "sent", "objects/s", "MB/s", "p50 ms", "p99 ms",
              "CPU of the front, ms/object", "the front's memory grew, MB", "all filed after, s",
              "cores of its other processes", "failures")  # fmt: skip
    rows = []
    for case, (work, count) in EXTRAS.items():
        row = results.row("node", work, count, case)
        if row is None:
            continue
        sent = f"{number(row.median('objects'))} {WORKLOADS[work].words}, {_associations(count)}"
        names = ("objects_per_s", "mb_per_s", "p50_ms", "p99_ms", "main_cpu_ms", "main_growth_mb",
                 "filed_s", "beside_main_cores")  # fmt: skip
        rows.append([_EXTRA_WORDS[case], sent, *(number(row.median(name)) for name in names),
                     str(row.failures)])  # fmt: skip
    if rows:
        yield from table(header, rows)


def _troubles(results: Results, machine: Mapping[str, Any]) -> Iterator[str]:
    for peer, why in machine.get("missing", {}).items():
        yield f"- {PEERS[peer].title} was left out: {why}."
    for cell in results.cells():
        if cell.trouble:
            where = f"{cell.peer}, {cell.case} {cell.work}, {_associations(cell.associations)}"
            yield f"- {where}, repetition {cell.repetition + 1}: {cell.trouble.splitlines()[0]}"
