"""`penumbra reindex`: read the spool again into the index."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node.options import config_option

if TYPE_CHECKING:
    from config.model import Settings
    from node.control_client import ControlClient
    from storage.index.database import Index
    from storage.ledger.indexing import Indexing

_LOOK_S: Final = 1.0
_BATCH: Final = 1000


@click.command()
@config_option
@click.option(
    "--from-nothing",
    is_flag=True,
    help="Set the index file aside first, and make a new one. The node must not run. What has"
    " left the spool is found no more.",
)
@click.option("--no-wait", is_flag=True, help="Begin, and let the running node go on by itself.")
def command(config_file: Path, *, from_nothing: bool, no_wait: bool) -> None:
    """Read every object in the spool again, and bring the index up to what they say.

    A running node does it beside its work and goes on answering; it also goes on after a restart.
    Where no node runs, this command does it. Rows of objects that have left the spool stay.

    \b
    Examples:
      penumbra reindex -c node.toml
      penumbra reindex --no-wait
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from config.load import load
    from dicom.errors import Unreachable
    from node.control_client import SOCKET_NAME, ControlClient

    settings = load(config_file, with_secrets=True)
    client = ControlClient(settings.node.data_dir / SOCKET_NAME)
    try:
        told = client.reindex()
    except Unreachable:
        _here(settings, from_nothing=from_nothing)
        return
    if from_nothing:
        raise click.UsageError("--from-nothing needs the node stopped: it owns the index")
    if no_wait:
        click.echo("begun; `penumbra reindex` shows how far it is")
        return
    _watch(client, told)


def _watch(client: "ControlClient", told: dict[str, int | None]) -> None:
    while told["records"] is not None:
        click.echo(f"{told['records']} records read, {told['of']} instances in the index")
        time.sleep(_LOOK_S)
        told = client.reindexed()
    click.echo(f"done: {told['of']} instances in the index")


def _here(settings: "Settings", *, from_nothing: bool) -> None:
    from node.keys import index_keys, require_keys, spool_keys
    from node.reading import ReadingProcess
    from storage.index.database import Index
    from storage.index.opening import set_aside
    from storage.ledger.indexing import Indexing
    from storage.spool.spool import Spool

    node = settings.node
    root, path = node.data_dir / "spool", node.data_dir / "index.duckdb"
    keys = spool_keys(node)
    require_keys(keys, root)
    spool = Spool.open(root, segment_bytes=node.segment_mb << 20, reserve_bytes=0, key=keys.current)
    try:
        if from_nothing:
            set_aside(path)
        index = Index.open(path, index_keys(node, keys))
        readings = ReadingProcess(root, keys)
        try:
            _renew(index, Indexing(spool, index, readings), is_new=from_nothing)
        finally:
            readings.forget()
            index.close()
    finally:
        spool.close()


def _renew(index: "Index", indexing: "Indexing", *, is_new: bool) -> None:
    _until_done("indexed", lambda: indexing.catch_up(_BATCH))
    if not is_new:
        index.begin_renewal()
        _until_done("read again", lambda: indexing.renew(_BATCH) or 0)
    _until_done("looked at for their heads", lambda: indexing.fill_heads(_BATCH))
    click.echo(f"done: {index.count()} instances in the index")


def _until_done(what: str, step: Callable[[], int]) -> None:
    total, told_s = 0, time.monotonic()
    while count := step():
        total += count
        if time.monotonic() - told_s >= _LOOK_S:
            told_s = time.monotonic()
            click.echo(f"{total} records {what}")
