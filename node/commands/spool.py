"""`penumbra spool`: look into the log that holds every acknowledged object."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from node import moments
from node.options import config_option
from node.tables import print_table

if TYPE_CHECKING:  # its module is loaded only when a command runs
    from config.model import Settings
    from storage.spool.survey import SegmentSurvey


@click.group()
def command() -> None:
    """Look into the spool, the log that holds every acknowledged object.

    Nothing is changed, and the node may run meanwhile.

    \b
    Examples:
      penumbra spool list -c node.toml
      penumbra spool verify -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


@command.command(name="list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def list_segments(config_file: Path, *, as_json: bool) -> None:
    """List the segments: objects, size, and when the first and last arrived.

    \b
    Example:
      penumbra spool list -c node.toml
    """  # noqa: D301
    from storage.spool.survey import survey

    found = list(survey(_root(config_file), read_bodies=False))
    if as_json:
        _print_json(found)
    elif not found:
        click.echo("The spool is empty.")
    else:
        _print_table(found)


@command.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON line for each segment.")
def verify(config_file: Path, *, as_json: bool) -> None:
    """Read everything and compare it with the checksums taken on arrival.

    Exit status 0: every object is as it was received. 1: some are not, or a segment that the
    ledger knows is missing or too short; each is named. Restore those segments from a backup, or
    ask the senders for the objects again. What a recovery cut from the end of a segment and put
    aside is named as well, and changes nothing about the status.

    \b
    Example:
      penumbra spool verify -c node.toml
    """  # noqa: D301
    from rich.console import Console
    from rich.progress import DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from config.load import load
    from storage.spool.recover import TORN
    from storage.spool.survey import survey

    settings = load(config_file, with_secrets=False)
    root = settings.node.data_dir / "spool"
    filed = _filed(settings)  # before the look, so that no segment is newer than it
    columns = DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    screen = Console(stderr=True)
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        total = sum(file.stat().st_size for file in root.glob("*.seg"))
        task = bar.add_task("verify", total=total)
        found = list(
            survey(root, read_bodies=True, progress=lambda count: bar.advance(task, count))
        )
    if as_json:
        _print_json(found)
    damage = [(one.name, words) for one in found for words in one.damage]
    sizes = {one.name: one.size_bytes for one in found}
    still = _filed(settings)  # what retention removed meanwhile is not missing
    damage += [
        (name, f"holds {sizes.get(name, 0)} bytes of the {end} that were filed from it")
        for name, end in sorted(filed.items())
        if name in still and sizes.get(name, 0) < end
    ]
    for name, words in damage:
        click.echo(f"segment {name}: {words}", err=True)
    for torn in sorted(root.glob(f"*{TORN}")):
        click.echo(
            f"{torn.name}: {torn.stat().st_size} bytes that a recovery cut from the segment's end;"
            " if no sender misses an object of that moment, delete the file",
            err=True,
        )
    records = sum(one.records for one in found)
    size_mb = sum(one.size_bytes for one in found) / 1e6
    click.echo(
        f"{records} objects, {size_mb:.1f} MB in {len(found)} segments: "
        + (f"{len(damage)} damaged." if damage else "all intact."),
        err=as_json,
    )
    if damage:
        raise click.exceptions.Exit(1)


@command.command()
@click.argument("study", metavar="[STUDY]", required=False)
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON: bytes by what becomes of them.")
def releasable(study: str | None, config_file: Path, *, as_json: bool) -> None:
    """Say what may leave the spool by [retention], and why the rest stays; changes nothing.

    Of all Series, or with STUDY, a Study Instance UID, of that one. No destination is asked: what
    "is asked again first" leaves if its destinations still hold it.

    \b
    Examples:
      penumbra spool releasable -c node.toml
      penumbra spool releasable 1.2.840.99.1 -c node.toml
    """  # noqa: D301
    import time
    from collections import Counter
    from contextlib import closing

    from config.load import load
    from node.ledger import open_ledger
    from node.retention import letting_go

    settings = load(config_file, with_secrets=False)
    found: Counter[str] = Counter()
    with closing(open_ledger(settings)) as ledger:
        part = letting_go(ledger, settings)
        for key in ledger.holdings.present(study):
            found.update({str(why): size for why, size in part.look(key, time.time()).items()})
        left = ledger.holdings.totals()
    if as_json:
        click.echo(json.dumps({"bytes": dict(found), **left}))
        return
    for why, size_bytes in found.most_common():
        click.echo(f"{size_bytes / 1e6:12.1f} MB  {why}")
    if not settings.retention.is_on:
        click.echo(
            "Nothing leaves: [retention] sets neither keep_days, keep_free_mb nor unsent_days."
        )
    click.echo(f"{left['released_instances']} objects have left the spool.")


def _filed(settings: "Settings") -> dict[str, int]:
    """Ask the ledger how far it has followed each segment; it knows none where no node has run."""
    from node.ledger import look_into_ledger

    ledger = look_into_ledger(settings)
    if ledger is None:
        return {}
    try:
        left = set(ledger.places.given_up())
        return {name: end for name, end in ledger.intake.positions().items() if name not in left}
    finally:
        ledger.close()


def _root(config_file: Path) -> Path:
    from config.load import load

    return load(config_file, with_secrets=False).node.data_dir / "spool"


def _print_json(found: "list[SegmentSurvey]") -> None:
    for one in found:
        click.echo(json.dumps(asdict(one)))


def _print_table(found: "list[SegmentSurvey]") -> None:
    rows = (
        (
            one.name,
            "sealed" if one.is_sealed else "open",
            one.records,
            f"{one.size_bytes / 1e6:.1f}",
            _moment(one.first_received_at),
            _moment(one.last_received_at),
            len(one.damage) or "",
        )
        for one in found
    )
    print_table(("segment", "state", "objects", "MB", "first", "last", "damage"), rows)


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else moments.local(seconds)
