"""`penumbra sql`: ask the index in SQL."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node.options import config_option

if TYPE_CHECKING:
    from config.model import Settings
    from node.control_client import Answer

_WIDE: Final = 100_000
"""Off a terminal there is no width to fit into, and nothing may be cut off."""


@click.command()
@click.argument("statement", metavar="SELECT")
@config_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="How to print the rows. json: one object per line.",
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
    statement: str, config_file: Path, *, form: str, max_rows: int, timeout_s: float
) -> None:
    """Ask the index of stored objects one SELECT, in DuckDB's SQL.

    A running node answers itself; otherwise the index file is opened. Nothing can be changed by
    it. The answer holds patient data: mind where it goes. `SHOW TABLES` and `DESCRIBE instance`
    tell what there is.

    \b
    Examples:
      penumbra sql "SHOW TABLES" -c node.toml
      penumbra sql "SELECT Modality, count(*) FROM series GROUP BY ALL" --format csv
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from config.load import load

    answer = ask(load(config_file, with_secrets=False), statement, timeout_s, max_rows)
    {"table": print_table, "csv": print_csv, "json": print_json}[form](answer)
    if answer.truncated:
        click.echo(f"there are more than these {max_rows} rows: see --max-rows", err=True)


def ask(settings: "Settings", statement: str, timeout_s: float, max_rows: int) -> "Answer":
    """Ask the running node, or the index file where none runs.

    Raises CannotUnderstand, OutOfResources, StorageFault.
    """
    from dicom.errors import StorageFault, Unreachable
    from node.control_client import SOCKET_NAME, Answer, ControlClient
    from node.plain import plain
    from storage.index.database import Index

    data_dir = settings.node.data_dir
    try:
        client = ControlClient(data_dir / SOCKET_NAME)
        return client.sql(statement, timeout_s=timeout_s, max_rows=max_rows)
    except Unreachable:
        path = data_dir / "index.duckdb"
        if not path.exists():
            raise StorageFault(f"there is no index at {path}: has the node run yet?") from None
    index = Index.open(path)
    try:
        found = index.sql(statement, timeout_s=timeout_s, max_rows=max_rows)
    finally:
        index.close()
    rows = tuple(tuple(plain(value) for value in row) for row in found.rows)
    return Answer(found.columns, rows, found.truncated)


def print_table(answer: "Answer") -> None:
    """Print rows for people."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text: neither a name nor a value shall be taken for rich's markup.
    table = Table(box=box.SIMPLE_HEAD)
    for name in answer.columns:
        table.add_column(Text(name))
    for row in answer.rows:
        table.add_row(*(Text("" if value is None else str(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDE)
    console.print(table)


def print_csv(answer: "Answer") -> None:
    """Print rows as CSV (RFC 4180), the columns' names first."""
    import csv
    import io

    lines = io.StringIO()
    writer = csv.writer(lines)
    writer.writerow(answer.columns)
    writer.writerows(answer.rows)
    click.echo(lines.getvalue(), nl=False)


def print_json(answer: "Answer") -> None:
    """Print each row as a JSON object on a line of its own."""
    import json

    for row in answer.rows:
        facts = dict(zip(answer.columns, row, strict=True))
        click.echo(json.dumps(facts, ensure_ascii=False))
