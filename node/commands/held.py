"""`penumbra held`: the jobs that wait for a person."""

from pathlib import Path

import click

from node import moments
from node.options import config_option


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines instead of a table.")
def command(config_file: Path, *, as_json: bool) -> None:
    """List what the node set aside, and why.

    A job is held when trying again cannot help (a peer refuses, an object is not clean, a Series
    does not suit a model) or when its attempts are used up. Mend the cause, then
    `penumbra retry ID`; or give the debt up with `penumbra drop ID`.

    \b
    Example:
      penumbra held -c node.toml
    """  # noqa: D301
    import json

    from rich.console import Console
    from rich.table import Table

    from config.load import load
    from routing.job import State
    from storage.ledger.ledger import Ledger

    ledger = Ledger.open_existing(load(config_file, with_secrets=False).node.data_dir)
    jobs = ledger.jobs.list([State.HELD])
    ledger.close()
    if as_json:
        for job in jobs:
            facts = {
                "id": job.id, "kind": job.spec.kind, "rule": job.spec.rule,
                "target": job.spec.target, "study": job.spec.series.study_instance_uid,
                "series": job.spec.series.series_instance_uid, "attempts": job.attempts,
                "fault": job.fault, "words": job.words, "held_at": job.updated_at,
            }  # fmt: skip
            click.echo(json.dumps(facts))
        return
    if not jobs:
        click.echo("Nothing is held.")
        return
    table = Table("id", "kind", "target", "since", "reason", title=f"{len(jobs)} held")
    for job in jobs:
        since = moments.local(job.updated_at)
        table.add_row(
            str(job.id), job.spec.kind, job.spec.target, since, f"{job.fault}: {job.words}"
        )
    Console().print(table)
