"""`penumbra serve`: run the node."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@config_option
def command(config_file: Path) -> None:
    """Run the node: the DICOM door, the ledger, the index and the workers.

    SIGTERM or Ctrl-C stops accepting, lets what is in flight end, and stops within 10 s. What
    was acknowledged is on disk, whatever happens; what is owed goes on at the next start.

    \b
    Example:
      penumbra serve -c node.toml
    """  # noqa: D301
    from config.load import load
    from node.run import serve

    serve(load(config_file, with_tls=True), config_file.resolve())
