"""`penumbra sql`: ask the index in SQL, and run saved reports."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import click

from node.options import config_option
from node.tables import print_table, written

if TYPE_CHECKING:
    from config.model import Settings

_FORMS: Final = {"table": "json", "csv": "csv", "json": "lines", "parquet": "parquet"}
"""What the node is asked for, by what is wanted here."""


def _parameters(_context: click.Context, _option: click.Parameter, given: Sequence[str]) -> Any:
    pairs = [one.partition("=") for one in given]
    if wrong := next((name for name, equals, _ in pairs if not (name and equals)), None):
        raise click.BadParameter(f"{wrong} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}


@click.command()
@click.argument("statement", metavar="[SELECT]", required=False)
@config_option
@click.option("--report", metavar="NAME", help="Run a saved report in place of a SELECT.")
@click.option("--list", "lists", is_flag=True, help="List the saved reports.")
@click.option(
    "--param",
    "parameters",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_parameters,
    help="The value of $NAME in the SELECT, or of a report's parameter. May be given often.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(list(_FORMS)),
    default="table",
    show_default=True,
    help="How to print the rows. json: one object per line.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write to a file, which this user alone may read. Needed for parquet on a terminal.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="Print at most so many rows.",
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(0.1, 3600),
    default=30.0,
    show_default=True,
    help="Give up after so many seconds.",
)
def command(
    statement: str | None,
    config_file: Path,
    *,
    report: str | None,
    lists: bool,
    parameters: dict[str, str],
    form: str,
    output: Path | None,
    max_rows: int,
    timeout_s: float,
) -> None:
    """Ask the index of stored objects one SELECT, in DuckDB's SQL, or run a saved report.

    A running node answers itself; otherwise the index file is opened. Nothing can be changed by
    it. The answer holds patient data: mind where it goes. `SHOW TABLES` and `DESCRIBE instance`
    tell what there is; docs/sql.md explains it.

    \b
    Examples:
      penumbra sql "SHOW TABLES" -c node.toml
      penumbra sql "SELECT Modality, count(*) FROM series GROUP BY ALL" --format csv
      penumbra sql "SELECT * FROM study WHERE StudyDate = $day" --param day=2026-11-21
      penumbra sql --list
      penumbra sql --report latency --param days=7 --format parquet -o latency.parquet
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from config.load import load

    if sum(map(bool, (statement, report, lists))) != 1:
        raise click.UsageError("say one of: a SELECT, --report NAME, --list")
    settings = load(config_file, with_secrets=False)
    if lists:
        _print_reports(settings)
        return
    wanted = {
        "sql": statement,
        "report": report,
        "params": parameters,
        "format": _FORMS[form],
        "max_rows": max_rows,
        "timeout_s": timeout_s,
    }
    with _opened(output, form) as out:
        # What has no parameters is asked of the index itself: every table, every form of SELECT.
        is_plain = statement is not None and not parameters and form != "parquet"
        truncated = _select(settings, wanted, form, out) if is_plain else _ask(
            settings, {key: one for key, one in wanted.items() if one is not None}, form, out
        )  # fmt: skip
    if truncated:
        click.echo(f"there are more than these {max_rows} rows: see --max-rows", err=True)


@contextmanager
def _opened(output: Path | None, form: str) -> Iterator[BinaryIO]:
    """Give what to write to; a file appears whole or not at all."""
    if output is None:
        if form == "parquet" and sys.stdout.isatty():
            raise click.UsageError("parquet is no text: say -o FILE")
        yield sys.stdout.buffer
        return
    partial = output.with_name(f".{output.name}.partial")
    try:
        partial.touch(mode=0o600)
        with partial.open("wb") as out:
            yield out
        partial.replace(output)
    except OSError as fault:
        raise click.FileError(str(output), fault.strerror or "") from fault
    finally:
        partial.unlink(missing_ok=True)


def _select(settings: "Settings", wanted: dict[str, Any], form: str, out: BinaryIO) -> bool:
    from node import sql_command

    answer = sql_command.select(settings, wanted["sql"], wanted["timeout_s"], wanted["max_rows"])
    _WRITERS[form](answer.columns, answer.rows, out)
    return answer.truncated


def _ask(settings: "Settings", wanted: dict[str, Any], form: str, out: BinaryIO) -> bool:
    import io
    import json

    from node import sql_command

    if form != "table":
        return sql_command.write(settings, wanted, out)[1]
    answer = io.BytesIO()
    truncated = sql_command.write(settings, wanted, answer)[1]
    told = json.loads(answer.getvalue())
    _write_table(told["columns"], told["rows"], out)
    return truncated


def _print_reports(settings: "Settings") -> None:
    from node import sql_command

    told = sql_command.reports(settings)
    for one in told["reports"]:
        own = ", your own" if one["own"] else ""
        click.echo(f"{one['name']}  ({one['role']}{own})\n    {one['title']}: {one['words']}")
        for each in one["parameters"]:
            click.echo(f"    --param {each['name']}={each['default']}  {each['words']}")
    for name, words in told["faults"].items():
        click.echo(f"{name} is no report: {words}", err=True)


def _write_table(columns: Sequence[str], rows: Sequence[Sequence[object]], out: BinaryIO) -> None:
    """Write rows for people."""
    if out is sys.stdout.buffer and sys.stdout.isatty():
        print_table(columns, rows)
    else:
        out.write(written(columns, rows).encode("utf-8", "replace"))


def _write_csv(columns: Sequence[str], rows: Sequence[Sequence[object]], out: BinaryIO) -> None:
    """Write rows as CSV (RFC 4180), the columns' names first."""
    import csv
    import io

    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(columns)
    writer.writerows(rows)
    out.write(lines.getvalue().encode("utf-8", "replace"))


def _write_json(columns: Sequence[str], rows: Sequence[Sequence[object]], out: BinaryIO) -> None:
    """Write each row as a JSON object on a line of its own."""
    import json

    for row in rows:
        facts = dict(zip(columns, row, strict=True))
        out.write(json.dumps(facts, ensure_ascii=False).encode("utf-8", "replace") + b"\n")


_WRITERS: Final[Mapping[str, Callable[[Sequence[str], Sequence[Any], BinaryIO], None]]] = {
    "table": _write_table,
    "csv": _write_csv,
    "json": _write_json,
}
