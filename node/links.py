"""Make links by which others may fetch a study for a while, and put on record who made them."""

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from config import secrets
from config.destinations import ObjectStoreDestination
from config.model import Settings
from dicom.errors import DoesNotMatch
from storage.destinations.object_store import ObjectStore
from storage.ledger.events import NewEvent
from storage.ledger.ledger import Ledger
from storage.ledger.paid import Paid

MADE: Final = "penumbra.link.made"
"""The type of the event that says who made links, for how long; never the links."""
LONGEST_S: Final = 7 * 86_400
"""What S3 allows."""
DEFAULT_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Link:
    """A URL for one object: whoever has it can fetch the object until it expires."""

    sop_instance_uid: str
    url: str
    expires_at: float
    """Seconds since the epoch, UTC."""


def make(
    settings: Settings,
    ledger: Ledger,
    study: str,
    *,
    destination: str | None,
    expires_s: float,
    by: str,
    identified: bool,
    clock: Callable[[], float] = time.time,
) -> list[Link]:
    """Make a link for each object of a study that an object store holds.

    `study` is a Study Instance UID. Where `identified` is true, it may be the original one or a new
    one; otherwise only what left under a profile is linked, and only by its new UID: whoever may
    not see patients shall not learn either which new study an original one became. Each object is
    looked for first; `by` is on record as an event, the links are not. Raises DoesNotMatch where
    no store holds the study or several do and none is named, and what a DeliveryFault says.
    """
    stores = {
        name: each
        for name, each in settings.destinations.items()
        if isinstance(each, ObjectStoreDestination)
    }
    paid = ledger.payments.of_study(study)
    hint = f": `penumbra prove {study}` says where it is"
    if not identified:
        paid = [one for one in paid if _is_clean(one, study)]
        hint = " de-identified and under this UID; what is not needs `identified-links`"
    name, chosen = _choose(paid, study, stores, destination, hint)
    expires_at = clock() + expires_s
    with closing(ObjectStore(name, stores[name], secrets.read)) as store:
        urls = store.links([one.delivered.receipt.location for one in chosen], expires_s)
    facts = {"destination": name, "objects": len(urls), "expires_at": expires_at, "by": by}
    ledger.outbox.record([NewEvent(MADE, study, facts)], clock())
    return [
        Link(one.delivered.receipt.sop_instance_uid, url, expires_at)
        for one, url in zip(chosen, urls, strict=True)
    ]


def _is_clean(one: Paid, study: str) -> bool:
    return bool(one.profile) and one.delivered.receipt.study_instance_uid == study


def _choose(
    payments: Sequence[Paid], study: str, stores: Collection[str], wanted: str | None, hint: str
) -> tuple[str, list[Paid]]:
    held = {one.delivered.receipt.destination for one in payments} & set(stores)
    names = sorted(held & {wanted} if wanted else held)
    if not names:
        where = f"{wanted} does not hold" if wanted else "no object store holds"
        raise DoesNotMatch(f"{where} study {study}{hint}")
    if len(names) > 1:
        raise DoesNotMatch(f"{', '.join(names)} hold study {study}: choose by destination")
    (name,) = names
    return name, [one for one in payments if one.delivered.receipt.destination == name]
