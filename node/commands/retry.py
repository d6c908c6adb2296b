"""`penumbra retry`: try held jobs again."""

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
    """Put held jobs back to work, with fresh attempts.

    What was already delivered has its receipt and is not sent again. A target that does not answer
    is asked at once, and its jobs wait until it does.

    \b
    Examples:
      penumbra retry 17 -c node.toml
      penumbra retry --target lake --fault refused
      penumbra retry --all -c node.toml
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    from node.by_hand import move_jobs
    from routing.job import Move
    from storage.ledger.held import Which

    require_one_way(job_ids, target or fault, every)
    count = move_jobs(config_file, job_ids, Move.RETRY, Which(target, fault))
    click.echo(f"{count} put back to work.")
