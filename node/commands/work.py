"""`penumbra work`: one worker process."""

from pathlib import Path

import click

from node.options import config_option

KINDS = (
    "forward", "reidentify", "infer", "commit", "report", "manifest", "stage", "export", "fhir",
)  # fmt: skip
"""As the table of handlers has them (node/workers/handlers.py), which loads much."""


@click.command()
@config_option
@click.option(
    "--until-eof", is_flag=True,
    help="End when standard input closes; `penumbra serve` starts its own workers so.",
)  # fmt: skip
@click.option(
    "--only", type=click.Choice(KINDS), multiple=True,
    help="Do jobs of this kind alone; may be given several times. Without it, of every kind.",
)  # fmt: skip
def command(config_file: Path, *, until_eof: bool, only: tuple[str, ...]) -> None:
    """Do the jobs that the ledger holds: de-identify, send, infer, stage.

    `penumbra serve` starts as many as [node] workers says; further ones on the same machine
    share the load. With [ledger] url, so do those on other machines: they do what needs no bytes of
    another node's spool, and what that node stages where the config has [staging]. SIGTERM gives
    the current job back and ends.

    \b
    Examples:
      penumbra work -c node.toml
      penumbra work --only forward --only reidentify -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from node.workers.doorbell import Doorbell

    doorbell = Doorbell() if until_eof else None
    if doorbell:
        doorbell.start()  # what is imported next takes its time
    from config.load import load
    from node.workers.process import work

    work(load(config_file), doorbell, only)
