"""`penumbra resume`: let a paused destination or model have its jobs again."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@click.argument("targets", metavar="NAME...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Whatever is paused.")
@config_option
def command(targets: tuple[str, ...], config_file: Path, *, every: bool) -> None:
    """Let destinations or models that were paused have their jobs again, oldest first.

    \b
    Examples:
      penumbra resume PACS -c node.toml
      penumbra resume --all -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import time
    from contextlib import closing

    from config.load import load
    from node import person
    from node.ledger import open_ledger

    if bool(targets) == every:
        raise click.UsageError("name what `penumbra status` shows as paused, or say --all")
    settings = load(config_file, with_secrets=False)
    who = person.running_this()
    with closing(open_ledger(settings)) as ledger:
        names = [one.target for one in ledger.pauses.list()] if every else targets
        done = [ledger.pauses.remove(name, who, time.time()) for name in names]
    for name, was_paused in zip(names, done, strict=True):
        click.echo(f"{name} {'goes on' if was_paused else 'was not paused'}.")
