"""Options that several commands share, so that they read the same everywhere."""

from pathlib import Path

import click


class HostPort(click.ParamType):
    """HOST:PORT as (host, port); an IPv6 address stands in brackets."""

    name = "HOST:PORT"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Split at the last colon."""
        host, _, port = str(value).rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            self.fail(f"{value} is not HOST:PORT", param, ctx)
        return host.strip("[]"), int(port)


class AeTitle(click.ParamType):
    """An Application Entity title: 1 to 16 characters."""

    name = "TITLE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Refuse what no peer would take."""
        from dicom.ae import is_valid

        if not is_valid(str(value)):
            self.fail(f"{value!r} is no AE title: 1 to 16 printable ASCII characters", param, ctx)
        return str(value)


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
