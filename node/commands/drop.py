"""`penumbra drop`: give a held job up."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@click.argument("job_ids", metavar="ID...", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every held job.")
@config_option
def command(job_ids: tuple[int, ...], config_file: Path, *, every: bool) -> None:
    """Give up what held or waiting jobs owe; the objects stay in the spool.

    The decision is recorded as an event; it cannot be taken back.

    \b
    Examples:
      penumbra drop 17 -c node.toml
      penumbra drop --all -c node.toml
    """  # noqa: D301
    from node.by_hand import move_jobs
    from routing.job import Move

    if bool(job_ids) == every:
        raise click.UsageError("name the jobs that `penumbra held` lists, or say --all")
    click.echo(f"{move_jobs(config_file, job_ids, Move.DROP)} dropped.")
