"""`penumbra link`: URLs by which others may fetch a study for a while."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from node import moments
from node.options import config_option, duration_s

if TYPE_CHECKING:  # their modules are loaded only when the command runs
    from storage.ledger.paid import Paid

MADE: Final = "penumbra.link.made"
"""The type of the event that says who made links, for how long; never the links."""
LONGEST_S: Final = 7 * 86_400
"""What S3 allows."""


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
    import time
    from contextlib import closing

    from config import secrets
    from config.destinations import ObjectStoreDestination
    from config.load import load
    from node import person
    from storage.destinations.object_store import ObjectStore
    from storage.ledger.events import NewEvent
    from storage.ledger.ledger import Ledger

    if not 0 < expires_s <= LONGEST_S:
        raise click.BadParameter("links work for at most 7d", param_hint="--expires")
    settings = load(config_file, with_secrets=False)
    stores = {
        name: each
        for name, each in settings.destinations.items()
        if isinstance(each, ObjectStoreDestination)
    }
    with closing(Ledger.open_existing(settings.node.data_dir)) as ledger:
        name, chosen = _choose(ledger.payments.of_study(study), study, stores, destination)
        expires_at = time.time() + expires_s
        with closing(ObjectStore(name, stores[name], secrets.read)) as store:
            links = store.links([one.delivered.receipt.location for one in chosen], expires_s)
        who = person.running_this()
        facts = {"destination": name, "objects": len(links), "expires_at": expires_at, "by": who}
        ledger.outbox.record([NewEvent(MADE, study, facts)], time.time())
    until = moments.utc(expires_at)
    for one, link in zip(chosen, links, strict=True):
        uid = one.delivered.receipt.sop_instance_uid
        line = {"sop_instance_uid": uid, "url": link, "expires_at": until}
        click.echo(json.dumps(line) if as_json else link)


def _choose(
    payments: "Sequence[Paid]", study: str, stores: "Collection[str]", wanted: str | None
) -> "tuple[str, list[Paid]]":
    """Choose the object store, and what it was sent of the study.

    Raises DoesNotMatch where none holds it, or where several do and none is named.
    """
    from dicom.errors import DoesNotMatch

    held = {one.delivered.receipt.destination for one in payments} & set(stores)
    names = sorted(held & {wanted} if wanted else held)
    if not names:
        where = f"{wanted} does not hold" if wanted else "no object store holds"
        raise DoesNotMatch(f"{where} study {study}: `penumbra prove {study}` says where it is")
    if len(names) > 1:
        raise DoesNotMatch(f"{', '.join(names)} hold study {study}: choose by --destination")
    (name,) = names
    return name, [one for one in payments if one.delivered.receipt.destination == name]
