"""`penumbra link`: URLs by which others may fetch a study for a while."""

from pathlib import Path

import click

from node import moments
from node.options import config_option, duration_s


@click.command()
@click.argument("study", metavar="STUDY")
@config_option
@click.option(
    "--expires",
    "expires_s",
    type=duration_s,
    metavar="DURATION",
    default="1h",
    show_default=True,
    help="How long the links work: 30m, 12h, at most 7d.",
)
@click.option("--destination", help="The object store, where several hold the study.")
@click.option("--json", "as_json", is_flag=True, help="A JSON line for each object.")
def command(
    study: str, config_file: Path, *, expires_s: float, destination: str | None, as_json: bool
) -> None:
    """Print a URL for each object of a study that an object store holds.

    STUDY is a Study Instance UID, the original one or a new one. Whoever has a link can fetch the
    object until it expires: treat links like the objects. Each object is looked for first. Who
    made links, and for how long, is on record as an event.

    \b
    Examples:
      penumbra link 2.25.77 --expires 1h -c node.toml
      penumbra link 2.25.77 --expires 7d --destination lake --json
    """  # noqa: D301  (\b is click's mark for a block that is not re-wrapped)
    import json
    from contextlib import closing

    from config.load import load
    from node import links, person
    from node.ledger import open_ledger

    if not 0 < expires_s <= links.LONGEST_S:
        raise click.BadParameter("links work for at most 7d", param_hint="--expires")
    settings = load(config_file, with_secrets=False)
    with closing(open_ledger(settings)) as ledger:
        made = links.make(
            settings, ledger, study,
            destination=destination, expires_s=expires_s, by=person.running_this(),
            identified=True,
        )  # fmt: skip
    for link in made:
        until = moments.utc(link.expires_at)
        line = {"sop_instance_uid": link.sop_instance_uid, "url": link.url, "expires_at": until}
        click.echo(json.dumps(line) if as_json else link.url)
