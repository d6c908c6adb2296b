"""`penumbra retry`: try a held job again."""

from pathlib import Path

import click

from node.options import config_option


@click.command()
@click.argument("job_ids", metavar="ID...", type=int, nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every held job.")
@config_option
def command(job_ids: tuple[int, ...], config_file: Path, *, every: bool) -> None:
    """Put held jobs back to work, with fresh attempts.

    What was already delivered has its receipt and is not sent again.

    \b
    Examples:
      penumbra retry 17 -c node.toml
      penumbra retry --all -c node.toml
    """  # noqa: D301
    from node.by_hand import move_jobs
    from routing.job import Move

    if bool(job_ids) == every:
        raise click.UsageError("name the jobs that `penumbra held` lists, or say --all")
    click.echo(f"{move_jobs(config_file, job_ids, Move.RETRY)} put back to work.")
