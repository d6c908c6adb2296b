"""`penumbra model`: check a model's contract, try it on files, and decide which version is live."""

import click

from node.commands.of_model import check, registry, trial


@click.group()
def command() -> None:
    """Bring a model, try it, and watch over it.

    A new model goes through `check` (does its contract fit?) and `try` (what does it find?) before
    a rule asks it about real Series. docs/models.md shows it from the start.

    \b
    Examples:
      penumbra model check emphysema -c node.toml
      penumbra model try emphysema /data/chest --picture found.png
      penumbra model list emphysema
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)


for _each in (check.command, trial.command, *registry.COMMANDS):
    command.add_command(_each)
