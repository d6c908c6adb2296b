"""Write a run down as Markdown, between two marks."""

from collections.abc import Iterator

from bench import bounds, marks
from bench.heading import head, section
from bench.ingest.report import number, table
from bench.laps import Results
from bench.query.beside import NODE, ORTHANC, case
from bench.query.figures import WAYS, figures
from bench.query.questions import KINDS
from bench.query.retrieving import MOVES, WADO

BEGIN = "<!-- bench-query: begin (made by `make bench-query`; do not edit) -->"
END = "<!-- bench-query: end -->"


def placed(document: str, text: str) -> str:
    """Put a text between the marks of a document. Raises ValueError when it has none."""
    return marks.placed(document, text, begin=BEGIN, end=END)


def document(results: Results) -> str:
    """Write everything that a run found."""
    parts = [head(results.machine)]
    parts.append(section("Figures of questions", bounds.lines(list(figures()), results)))
    if rows := list(_beside(results)):
        parts.append(section("Questions beside Orthanc, p50 in ms", rows))
    if rows := list(_scale(results)):
        parts.append(section("Questions to the node alone, ms", rows))
    if rows := list(_retrieved(results)):
        parts.append(section("A Series is retrieved", rows))
    if results.missing:
        left_out = [f"- {why}" for why in dict.fromkeys(results.missing)]
        parts.append(section("Not installed, and left out of questions", left_out))
    return "\n\n".join(parts) + "\n"


def _beside(results: Results) -> Iterator[str]:
    rows = []
    for way, words in WAYS.items():
        for kind in KINDS:
            label = case(way, kind)
            rates = [results.rate(label, name) for name in (NODE, ORTHANC)]
            if None not in rates:
                took = [number(1e3 / rate) if rate else "-" for rate in rates]
                rows.append((f"{words} by {kind}", *took))
    if rows:
        yield from table(("", NODE, ORTHANC), rows, words=1)


def _scale(results: Results) -> Iterator[str]:
    rows = []
    for way, words in WAYS.items():
        for kind in KINDS:
            found = [results.findings.get(f"{way} {kind}, {which}") for which in ("p50", "p95")]
            if None not in found:
                rows.append((f"{words} by {kind}", *map(number, found)))
    if rows:
        studies, instances = (
            results.findings[f"scale, {what}"] for what in ("studies", "instances")
        )
        held = f"{studies:,.0f} studies, {instances:,.0f} Instances"
        yield f"{held}; until the first match, and of a page of QIDO-RS."
        yield ""
        yield from table(("", "p50", "p95"), rows, words=1)


def _retrieved(results: Results) -> Iterator[str]:
    rows = []
    for way in (*MOVES, WADO):
        for name in results.names(way):
            rate, mb = results.rate(way, name), results.mb_per_s(way, name)
            first = results.findings.get(f"first byte, {name}") if way == WADO else None
            used = results.cpu_ms(way, name)
            rows.append((f"{way}, {name}", *map(number, (rate, mb, used, first))))
    if rows:
        heads = "", "objects/s", "MB/s", "server's CPU ms per object", "first byte, ms"
        yield from table(heads, rows, words=1)
