"""`penumbra drop`: give held jobs up."""

from pathlib import Path

import click

from node.options import config_option, of_held_jobs, require_one_way


@click.command()
@of_held_jobs
@config_option
def command(
    job_ids: tuple[int, ...],
    config_file: Path,
    *,
    target: str | None,
    fault: str | None,
    every: bool,
) -> None:
    """Give up what held jobs owe, or waiting ones by their IDs; the objects stay in the spool.

    The decision is recorded as an event; it cannot be taken back.

    \b
    Examples:
      penumbra drop 17 -c node.toml
      penumbra drop --target lake --fault refused
      penumbra drop --all -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from node.by_hand import move_jobs
    from routing.job import Move
    from storage.ledger.held import Which

    require_one_way(job_ids, target or fault, every)
    count = move_jobs(config_file, job_ids, Move.DROP, Which(target, fault))
    click.echo(f"{count} dropped.")
