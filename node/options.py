"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path

import click

config_option = click.option(
    "-c",
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("node.toml"),
    show_default=True,
    help="The config file.",
)
"""The config file, `node.toml` in the current folder unless said otherwise."""
