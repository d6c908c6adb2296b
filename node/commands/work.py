"""`penumbra work`: one worker process."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@config_option
@click.option(
    "--until-eof", is_flag=True,
    help="End when standard input closes; `penumbra serve` starts its own workers so.",
)  # fmt: skip
def command(config_file: Path, *, until_eof: bool) -> None:
    """Do the jobs that the ledger holds: de-identify, send, infer.

    `penumbra serve` starts as many as [node] workers says; further ones on the same machine
    share the load. SIGTERM gives the current job back and ends.

    \b
    Example:
      penumbra work -c node.toml
    """  # noqa: D301
    from config.load import load
    from node.workers.process import work

    work(load(config_file), until_eof=until_eof)
