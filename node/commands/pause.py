"""`penumbra pause`: let what is owed to a destination or a model wait."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@click.argument("targets", metavar="NAME...", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why; `penumbra status` shows it.")
@config_option
def command(targets: tuple[str, ...], config_file: Path, *, reason: str) -> None:
    """Give no more jobs of these destinations or models to workers until `penumbra resume`.

    For a PACS that is being upgraded, or a bucket that moves: nothing is tried in vain, nothing is
    lost, and the node goes on receiving. A delivery that runs already is finished. It is recorded
    as an event, and a restart keeps it.

    \b
    Example:
      penumbra pause PACS --reason "upgrade until Sunday, ticket 118" -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import time
    from contextlib import closing

    from config.load import load
    from config.words import unknown
    from dicom.errors import ConfigFault
    from node import person
    from node.ledger import open_ledger
    from storage.ledger.pauses import Pause

    settings = load(config_file, with_secrets=False)
    known = {*settings.destinations, *settings.models}
    if wrong := [name for name in targets if name not in known]:
        words = [(name, unknown(name, known, "destination or model")) for name in wrong]
        raise ConfigFault(words)
    who = person.running_this()
    with closing(open_ledger(settings)) as ledger:
        for name in targets:
            fresh = ledger.pauses.add(Pause(name, who, reason, time.time()))
            click.echo(f"{name} {'is paused' if fresh else 'was paused already'}.")
