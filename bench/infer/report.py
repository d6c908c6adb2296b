"""Write a run down as Markdown, between two marks."""

from collections.abc import Iterator

from bench import bounds, marks
from bench.heading import head, section
from bench.infer.calls import CALL, SERIES
from bench.infer.figures import figures
from bench.ingest.report import number, table
from bench.laps import Results

BEGIN = "<!-- bench-infer: begin (made by `make bench-infer`; do not edit) -->"
END = "<!-- bench-infer: end -->"


def placed(document: str, text: str) -> str:
    """Put a text between the marks of a document. Raises ValueError when it has none."""
    return marks.placed(document, text, begin=BEGIN, end=END)


def document(results: Results) -> str:
    """Write everything that a run found."""
    parts = [head(results.machine)]
    parts.append(section("Figures of inference", bounds.lines(list(figures()), results)))
    if rows := list(_calls(results)):
        parts.append(section("A small call, and a Series", rows))
    if rows := list(_troubles(results)):
        parts.append(section("Servers that die", rows))
    if rows := list(_through(results)):
        parts.append(section("To the report at the PACS", rows))
    if results.missing:
        left_out = [f"- {why}" for why in dict.fromkeys(results.missing)]
        parts.append(section("Not installed, and left out of inference", left_out))
    return "\n\n".join(parts) + "\n"


def _calls(results: Results) -> Iterator[str]:
    rows = []
    for case, words in ((CALL, "a small call"), (SERIES, "the Series")):
        for name in results.names(case):
            laps = results.of(case, name)
            rate, mb = results.rate(case, name), results.mb_per_s(case, name)
            whole = 1 if case == CALL else laps[0].objects
            took = None if rate is None else 1e3 * whole / rate
            rows.append((f"{words}, {name}", *map(number, (took, mb if case == SERIES else None))))
    if rows:
        yield from table(("", "ms", "MB/s"), rows, words=1)


def _troubles(results: Results) -> Iterator[str]:
    found = results.findings
    if "killed, series" in found:
        yield (
            f"- One of two servers killed under load: {found['killed, series']:,.0f} Series, "
            f"{found['killed, failed']:.0f} failed, {found['killed, moved']:.0f} calls were asked"
            f" again; the longest Series took {found['killed, longest ms']:.0f} ms."
        )
    if "away, studies" in found:
        yield (
            f"- All servers down: {found['away, studies']:.0f} Series waited,"
            f" {found['away, lost']:.0f} were lost; once a server was ready the first result came"
            f" after {found['away, first s']:.1f} s, the last after {found['away, all s']:.1f} s."
        )


def _through(results: Results) -> Iterator[str]:
    found = results.findings
    if "result, studies" in found:
        yield (
            f"- {found['result, studies']:.0f} Series of {found['result, slices']:.0f} slices, one"
            " after another, from the last slice to the report at the PACS, less the model's time:"
            f" p50 {found['result, p50 s']:.2f} s, p95 {found['result, p95 s']:.2f} s."
        )
        yield (
            f"- A burst of {found['burst, studies']:.0f} such studies:"
            f" {found['burst, per minute']:.0f} reported per minute."
        )
