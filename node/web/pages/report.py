"""The pages of saved reports: the list, and one report with its parameters, drawing and table."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from node.web.pages import amounts
from node.web.pages.chart import draw
from node.web.pages.html import Markup, tag, together
from node.web.pages.layout import PREFIX, Cell, card, table
from storage.index.offered import Role
from storage.index.saved import Parameter, Report

MOST_ROWS: Final = 20_000
"""For a page, which draws them; the files have all."""
MOST_SHOWN: Final = 1000
"""In its table."""
_INPUTS: Final = {"int": "number", "number": "number", "date": "date", "text": "text"}
_NUMBERS: Final = ("BIGINT", "INTEGER", "HUGEINT", "DOUBLE", "FLOAT", "DECIMAL", "UBIGINT",
                   "SMALLINT", "TINYINT")  # fmt: skip
_FILES: Final = (("CSV", "csv"), ("Parquet", "parquet"), ("JSON", "json"))


def report_list(reports: Sequence[Report], faults: Mapping[str, str]) -> Markup:
    """Make the list of reports."""
    entries = (
        tag(
            "li",
            tag(
                "a", tag("h2", one.title), tag("p", one.words),
                tag("span", _whose(one), class_="soft"),
                class_="card", href=f"{PREFIX}/reports/{one.name}",
            ),
        )
        for one in reports
    )  # fmt: skip
    wrong = (
        tag("div", f"{name} is no report: {words}", class_="notice warn")
        for name, words in faults.items()
    )
    return together(
        tag("h1", "Reports"),
        tag("p", "Questions that are asked often, answered from what the node holds now.",
            class_="soft"),
        wrong,
        tag("ul", entries, class_="reports"),
    )  # fmt: skip


def _whose(report: Report) -> str:
    words = ["your own"] if report.is_own else []
    return "; ".join([*words, "names patients"] if report.role is Role.IDENTIFIED else words)


def report_page(report: Report, values: Mapping[str, str], result: Markup) -> Markup:
    """Make the page of one report around what came of it."""
    chosen = {one.name: values.get(one.name, "") or one.default for one in report.parameters}
    return together(
        tag("h1", report.title),
        tag("p", report.words, class_="soft"),
        _form(report, chosen),
        result,
    )


def _form(report: Report, chosen: Mapping[str, str]) -> Markup:
    here = f"{PREFIX}/reports/{report.name}"
    query = urlencode(chosen)
    files = (
        tag("a", name, href=f"{here}/file?{urlencode({'form': form})}&{query}".rstrip("&"))
        for name, form in _FILES
    )
    return tag(
        "form",
        (_field(one, chosen[one.name]) for one in report.parameters),
        tag("button", "Run", type="submit"),
        tag("div", "Save as", files, class_="downloads"),
        class_="ask", action=here, method="get",
    )  # fmt: skip


def _field(one: Parameter, value: str) -> Markup:
    place = f"p-{one.name}"
    step = "any" if one.type == "number" else None
    made = tag("input", id=place, name=one.name, value=value, type=_INPUTS[one.type], step=step)
    return tag("div", tag("label", one.words, for_=place), made)


def answer(report: Report, told: Mapping[str, Any], seconds: float) -> Markup:
    """Show an answer: drawn, where the report says how, and as a table."""
    columns = dict(zip(told["columns"], told["types"], strict=True))
    rows: Sequence[Sequence[object]] = told["rows"]
    drawn = draw(report.plot, report.title, columns, rows) if report.plot else Markup()
    count = f"{amounts.whole(len(rows))} rows, in {seconds:.1f} s"
    if told["truncated"]:
        count = f"The first {count}; the drawing lacks the others too. Ask for less, or save all."
    elif len(rows) > MOST_SHOWN:
        count += f"; the first {amounts.whole(MOST_SHOWN)} are shown here, a file has all"
    kinds = [_kind(name, kind) for name, kind in columns.items()]
    heads = [Cell(name, kind) for name, kind in zip(columns, kinds, strict=True)]
    cells = [
        [Cell(_shown(value, kind), kind) for value, kind in zip(row, kinds, strict=True)]
        for row in rows[:MOST_SHOWN]
    ]
    return together(
        tag("section", drawn, class_="card") if drawn else None,
        card("Rows", table(heads, cells, "Nothing was found."), tag("p", count, class_="soft")),
    )


def failure(words: str) -> Markup:
    """Say why there is no answer."""
    return tag("div", words, class_="notice bad", role="alert")


def _kind(name: str, kind: str) -> str:
    if kind.startswith(_NUMBERS):
        return "number"
    if kind.startswith(("TIMESTAMP", "DATE", "TIME")):
        return "time"
    return "key" if name.endswith("_key") else ""


def _shown(value: object, kind: str) -> str:
    if value is None:
        return ""
    text = str(value)
    return text.replace("T", " ", 1)[:19] if kind == "time" else text
