"""The command `penumbra`: one file per command in node/commands, imported only when called."""

import importlib
import os
import sys
from pathlib import Path

import click

COMMANDS = Path(__file__).parent / "commands"
OWNER_ONLY = 0o077
"""What the node writes holds patient data: only its own user may read it."""
EX_CONFIG = 78
EX_FAULT = 1


class Commands(click.Group):
    """Finds a command by its file name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List every file of node/commands."""
        del ctx
        return sorted(file.stem for file in COMMANDS.glob("[a-z]*.py"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; None when there is no such file."""
        if cmd_name not in self.list_commands(ctx):
            return None
        found: click.Command = importlib.import_module(f"node.commands.{cmd_name}").command
        return found


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="penumbra-node", prog_name="penumbra")
def penumbra() -> None:
    """Penumbra, an edge DICOM node.

    Receives from scanners and PACS, keeps every acknowledged object, de-identifies, forwards,
    infers, answers, and proves each step.

    \b
    Start here:
      penumbra check -c node.toml      every fault of the config file at once
      penumbra serve -c node.toml      run the node
      penumbra send HOST:PORT PATH     send files to it, as a scanner would
      penumbra status -c node.toml     what it received, owes and holds
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


def main() -> None:
    """Run `penumbra`: a Fault becomes words on standard error and an exit status."""
    from dicom.errors import ConfigFault, Fault

    os.umask(OWNER_ONLY)
    # numpy's own threads spin while they wait for matrices, and nobody here multiplies any.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        penumbra()
    except ConfigFault as fault:
        for path, words in fault.problems:
            click.echo(f"{path}: {words}", err=True)
        sys.exit(EX_CONFIG)
    except Fault as fault:
        click.echo(f"{fault.code}: {fault}", err=True)
        sys.exit(EX_FAULT)


if __name__ == "__main__":
    main()
