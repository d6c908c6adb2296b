"""`penumbra events`: what happened, as JSON lines."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from node.options import config_option

if TYPE_CHECKING:
    from config.model import Settings

PAGE: Final = 1000
LONG_POLL_S: Final = 20.0
AGAIN_S: Final = 1.0
"""How long to wait for a node that stopped, before asking again."""

Read = Callable[[int], list[dict[str, Any]]]


@click.command()
@config_option
@click.option("--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    metavar="ID",
    help="Only events after this id.",
)
def command(config_file: Path, *, follow: bool, after: int) -> None:
    """Print the node's events, oldest first, as JSON lines.

    The same events that go out by MQTT: an id that grows, a type, a subject (a UID or a name),
    the time, and plain facts, none of them about a patient. With --follow, a restart of the node
    is waited for.

    \b
    Examples:
      penumbra events -c node.toml
      penumbra events --follow | jq 'select(.type == "penumbra.job.held")'
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json

    from config.load import load

    settings = load(config_file, with_secrets=False)
    try:
        for event in events(settings, after, follow=follow):
            click.echo(json.dumps(event, ensure_ascii=False))
    except KeyboardInterrupt:
        return


def events(settings: "Settings", after: int, *, follow: bool) -> Iterator[Mapping[str, Any]]:
    """Give the events after an id: from the running node, otherwise from the ledger."""
    import time

    from dicom.errors import Unreachable
    from node.control_client import SOCKET_NAME, ControlClient

    client = ControlClient(settings.node.data_dir / SOCKET_NAME)
    while True:
        try:
            wait_s = LONG_POLL_S if follow else 0.0
            page = client.events(after, limit=PAGE, wait_s=wait_s)
        except Unreachable:
            page = _from_ledger(settings, after)
            if follow and not page:
                time.sleep(AGAIN_S)
        for event in page:
            after = int(event["id"])
            yield event
        if not page and not follow:
            return


def _from_ledger(settings: "Settings", after: int) -> list[dict[str, Any]]:
    from dataclasses import asdict

    from node.ledger import look_into_ledger

    ledger = look_into_ledger(settings)
    if ledger is None:
        return []
    try:
        return [asdict(event) for event in ledger.outbox.after(after, PAGE)]
    finally:
        ledger.close()
