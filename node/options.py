"""Options that several commands share, so that they read the same everywhere."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


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


def duration_s(value: str) -> float:
    """Read a duration, as an option's type, in seconds."""
    found = re.fullmatch(r"([0-9]{1,5})([smhdw])", value.strip())
    if not found:
        raise click.BadParameter(f"{value!r} is no duration: 90m, 12h, 7d")
    return float(int(found[1]) * _UNITS[found[2]])


def of_held_jobs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Let a command name held jobs: by their IDs, a target, a fault, or all (`require_one_way`)."""
    for option in (
        click.option("--all", "every", is_flag=True, help="Every held job."),
        click.option("--fault", metavar="CODE", help="Every held job with this fault."),
        click.option(
            "--target", metavar="NAME", help="Every held job of this destination or model."
        ),
        click.argument("job_ids", metavar="ID...", type=int, nargs=-1),
    ):
        command = option(command)
    return command


def require_one_way(*ways: object) -> None:
    """Refuse a command line that names held jobs in no way, or in several."""
    if sum(map(bool, ways)) != 1:
        words = "name the jobs that `penumbra held` lists, or say --target, --fault or --all"
        raise click.UsageError(words)


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
