"""Write a run down as Markdown: figures, tables, machine and its load; between two marks."""

from collections.abc import Iterator, Sequence
from typing import Any

from bench import marks
from bench.forward import through, to_bucket, to_orthanc
from bench.forward.figures import AMONG, asked, figures, verdict
from bench.forward.laps import Results
from bench.ingest.report import number, table

BEGIN = "<!-- bench-forward: begin (made by `make bench-forward`; do not edit) -->"
END = "<!-- bench-forward: end -->"
QUIET = 0.5
"""More than so much load before the start, and the numbers are marked."""
CASES = (
    ("To SeaweedFS", to_bucket.case, (to_bucket.STORE, to_bucket.BOTH)),
    ("To Orthanc", to_orthanc.case, (to_orthanc.STORESCU,)),
    ("Door to door, to Orthanc", through.case, (through.LUA,)),
)
"""Each kind of table, and whom its contenders are compared with."""


def placed(document: str, text: str) -> str:
    """Put a text between the marks of a document. Raises ValueError when it has none."""
    return marks.placed(document, text, begin=BEGIN, end=END)


def document(results: Results) -> str:
    """Write everything that a run found."""
    parts = [_head(results.machine), _section("Figures of delivery", _figures(results))]
    for words, case, bases in CASES:
        for work, size in AMONG.items():
            if results.names(case(work)):
                parts.append(_section(f"{words}: {size}", _side(results, case(work), bases)))
    if rows := list(_waiting(results)):
        parts.append(_section("Series behind a dead bucket", rows))
    if rows := list(_deciding(results)):
        parts.append(_section("Deciding", rows))
    if results.missing:
        left_out = [f"- {why}" for why in dict.fromkeys(results.missing)]
        parts.append(_section("Not installed, and left out of delivery", left_out))
    return "\n\n".join(parts) + "\n"


def is_loaded(machine: dict[str, Any]) -> bool:
    """Whether others kept the machine busy before the run began."""
    return float(machine["load_begin"]) > QUIET * float(machine["cores"])


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n".join([f"### {title}", "", *lines])


def _head(machine: dict[str, Any]) -> str:
    names = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    mark = ""
    if is_loaded(machine):
        mark = "\n- **The machine was busy with other work: these numbers are provisional.**"
    return f"""\
- {machine["date"]}, commit {machine["commit"]}; medians, ratios within a turn.
- {machine["cores"]} cores of {machine["processor"]}, {machine["memory_bytes"] / 1e9:.0f} GB;
  {machine["system"]}, Linux {machine["kernel"]}; {machine["file_system"]}.
- {names}.
- Load (one minute) before the run {machine["load_begin"]:.2f}, at its end
  {machine["load_end"]:.2f}; the run took {machine["took_s"] / 60:.1f} minutes.{mark}
- Command: `{machine["command"]}`"""


def _figures(results: Results) -> list[str]:
    rows = []
    for figure in figures(results.machine["profile"]):
        found, words = verdict(figure, results)
        rows.append((figure.words, asked(figure), found, words, f"`{figure.command}`"))
    header = ("figure", "asked", "found", "", "command")
    return table(header, rows, words=len(header))


def _side(results: Results, case: str, bases: Sequence[str]) -> list[str]:
    rows = []
    for name in results.names(case):
        ratios = (results.ratio(case, name, base) for base in bases)
        shown = ["-" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        ours = name.startswith(("worker", "penumbra"))
        rows.append((
            f"**{name}**" if ours else name, number(results.rate(case, name)),
            number(results.mb_per_s(case, name)), number(results.cpu_ms(case, name)), *shown,
        ))  # fmt: skip
    turns = len(results.of(case, results.names(case)[0]))
    of = [f"of {base}" for base in bases]
    header = (f"{turns} turn{'s' if turns > 1 else ''}", "objects/s", "MB/s", "CPU ms/object", *of)
    return table(header, rows, words=1)


def _waiting(results: Results) -> Iterator[str]:
    found = results.findings
    if "drain, all" not in found:
        return
    rows = [
        (words, number(found.get(f"{name}, with")), number(found.get(f"{name}, without")))
        for words, name in (
            ("received meanwhile, MR, objects/s", "ingest"),
            ("processor time of the front per object, ms", "front"),
            ("processors that the front keeps busy at rest", "front at rest"),
        )
    ]
    yield from table(("", "with them", "without"), rows, words=1)
    yield ""
    yield (
        f"{found['drain, done']:,.0f} of {found['drain, series']:,.0f} Series were delivered"
        f" {found['drain, all']:.1f} s after the bucket's return, the first after"
        f" {found['drain, first']:.1f} s;"
    )
    yield (
        f"obstore alone, eight at once, takes {found['drain, transfer alone']:.1f} s for the same"
        f" objects. Attempts spent while it was away: {found['drain, attempts spent']:.0f};"
        f" held for a person: {found['drain, held']:.0f}."
    )


def _deciding(results: Results) -> Iterator[str]:
    found = results.findings
    if "rules" in found:
        yield f"- Ten rules of three conditions each: {found['rules']:.1f} µs for a Series; with"
        yield f"  an `expr` in CEL in each: {found['rules, CEL']:.1f} µs."
    if "held" in found:
        yield f"- `penumbra held` lists {found['held, jobs']:,.0f} jobs in {found['held']:.2f} s."
