"""`penumbra lake`: export for analysts, see how far it is, and make its tables known to SQL."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from config.lake import Lake
    from config.model import Settings
    from storage.lake.ddl import Engine


@click.group()
def command() -> None:
    """Export metadata, lineage and events as Parquet and JSON, for analysts.

    The config's [lakes.NAME] say to which destination, when, and whether patients may be named.

    \b
    Examples:
      penumbra lake status -c node.toml
      penumbra lake export research -c node.toml
      penumbra lake ddl research --for athena -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


@command.command("export")
@click.argument("name")
@config_option
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    help="Also write again what was exported of this day (UTC) and later; files of the same rows"
    " are replaced.",
)
@click.option("--dry-run", is_flag=True, help="Say what is new, and export nothing.")
def export(name: str, config_file: Path, *, since: datetime | None, dry_run: bool) -> None:
    """Have the lake NAME exported now.

    A job is made, which a worker does soon; `penumbra lake status` tells how far it is, and
    `penumbra held` whether a person has to decide. Only what is new since the last export is
    written.

    \b
    Examples:
      penumbra lake export research -c node.toml
      penumbra lake export research --dry-run -c node.toml
      penumbra lake export research --since 2026-11-01 -c node.toml
    """  # noqa: D301  (as above)
    from datetime import UTC

    from config.load import load
    from node.ledger import open_ledger

    settings = load(config_file, with_secrets=False)
    lake = _lake(settings, name)
    ledger = open_ledger(settings)
    try:
        if dry_run:
            for one in ledger.lakes.standing(name, lake.exported):
                click.echo(f"{one.part}: {one.waiting} rows are new")
            return
        if since is not None:
            count = ledger.lakes.repeat(name, since.replace(tzinfo=UTC).timestamp())
            click.echo(f"{count} steps are done once more.")
        made = ledger.lakes.request(name, lake.destination, ledger.database.now())
        click.echo("A job is made." if made else "A job waits already.")
    finally:
        ledger.close()


@command.command("status")
@config_option
def status(config_file: Path) -> None:
    """Say of each lake how far it is, what waits, and what may not leave.

    \b
    Example:
      penumbra lake status -c node.toml
    """  # noqa: D301  (as above)
    from config.load import load
    from node.ledger import open_ledger
    from node.moments import local

    settings = load(config_file, with_secrets=False)
    if not settings.lakes:
        click.echo("The config has no [lakes.NAME].")
        return
    titles = ("lake", "table", "rows", "files", "MB", "withheld", "new", "exported", "next")
    rows: list[tuple[object, ...]] = []
    ledger = open_ledger(settings)
    try:
        for name, lake in settings.lakes.items():
            due = ledger.lakes.due_at(name) if lake.at or lake.every else None
            for one in ledger.lakes.standing(name, lake.exported):
                numbers = (one.rows, one.files, round(one.size_bytes / 1e6, 1), one.withheld,
                           one.waiting)  # fmt: skip
                last = local(one.exported_at) if one.exported_at else "never"
                following = local(due) if due else "on demand"
                rows.append((name, one.part, *numbers, last, following))
    finally:
        ledger.close()
    print_table(titles, rows)


@command.command("ddl")
@click.argument("name")
@config_option
@click.option(
    "--for",
    "engine",
    type=click.Choice(["athena", "bigquery", "duckdb"]),
    required=True,
    help="Who shall read it. BigQuery: tables of the dataset `penumbra`.",
)
def ddl(name: str, config_file: Path, *, engine: "Engine") -> None:
    """Print the SQL that makes the tables of the lake NAME known where they lie.

    For Athena the partitions are worked out from the path; run it again when a new modality has
    come. The tables need an export first.

    \b
    Examples:
      penumbra lake ddl research --for athena -c node.toml
      penumbra lake ddl research --for duckdb -c node.toml | duckdb analysis.duckdb
    """  # noqa: D301  (as above)
    from config.load import load
    from node.lakes import statements

    settings = load(config_file, with_secrets=False)
    _lake(settings, name)
    for each in statements(settings, name, engine):
        click.echo(each + "\n")


def _lake(settings: "Settings", name: str) -> "Lake":
    lake = settings.lakes.get(name)
    if lake is None:
        known = ", ".join(settings.lakes) or "none"
        raise click.UsageError(f"there is no [lakes.{name}] in the config; there are: {known}")
    return lake
