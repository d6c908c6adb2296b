"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path

import click


def host_port(value: str) -> tuple[str, int]:
    """Read HOST:PORT, as an argument's type; an IPv6 address stands in brackets."""
    host, _, port = value.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise click.BadParameter(f"{value} is not HOST:PORT")
    return host.strip("[]"), int(port)


def ae_title(value: str) -> str:
    """Read an AE title, as an option's type; refuse what no peer would take."""
    from dicom.ae import is_valid

    if not is_valid(value):
        raise click.BadParameter(f"{value!r} is no AE title: 1 to 16 printable ASCII characters")
    return value


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
