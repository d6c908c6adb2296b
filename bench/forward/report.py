"""Write a run down as Markdown: figures, tables, machine and its load; between two marks."""

from collections.abc import Iterator, Sequence

from bench import bounds, marks
from bench.forward import through, to_bucket, to_orthanc
from bench.forward.figures import AMONG, figures
from bench.heading import head, section
from bench.ingest.report import number, table
from bench.laps import Results

BEGIN = "<!-- bench-forward: begin (made by `make bench-forward`; do not edit) -->"
END = "<!-- bench-forward: end -->"
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
    parts = [
        head(results.machine),
        section(
            "Figures of delivery", bounds.lines(list(figures(results.machine["profile"])), results)
        ),
    ]
    for words, case, bases in CASES:
        for work, size in AMONG.items():
            if results.names(case(work)):
                parts.append(section(f"{words}: {size}", _side(results, case(work), bases)))
    if rows := list(_waiting(results)):
        parts.append(section("Series behind a dead bucket", rows))
    if rows := list(_deciding(results)):
        parts.append(section("Deciding", rows))
    if results.missing:
        left_out = [f"- {why}" for why in dict.fromkeys(results.missing)]
        parts.append(section("Not installed, and left out of delivery", left_out))
    return "\n\n".join(parts) + "\n"


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
