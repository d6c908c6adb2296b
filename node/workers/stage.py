"""Put a Series into object storage for the workers of other machines, and take it out again.

What lies there is as it was received, the patient's identity included: the bucket must be private.
"""

from collections.abc import Iterator
from contextlib import closing
from typing import BinaryIO, Final

from config import secrets
from config.destinations import ObjectStoreDestination
from config.model import Settings
from dicom.entity import Instance, Location, SeriesKey
from dicom.errors import Busy, ConfigFault
from node.workers.workshop import Done, Workshop
from routing.job import Job
from storage.destinations.base import Outgoing
from storage.destinations.object_store import ObjectStore
from storage.ledger.ledger import Ledger
from storage.spool.reader import Elsewhere
from storage.spool.staged import Fetch

TOGETHER: Final = 100
"""So many objects are removed at a time."""


def stage(job: Job, workshop: Workshop) -> Done:
    """Stage what this node has of a Series; with the last of it, every worker may have its jobs.

    Raises a DeliveryFault of the bucket, Corrupt where the spool's bytes fail their digest, Busy
    while objects of the Series are being removed.
    """
    staging, key = workshop.ledger.staging, job.spec.series
    if staging.is_leaving(key):
        raise Busy("what was staged of this Series before is being removed")
    lacking = {one.digest: one for one in staging.lacking(key)}

    def ready() -> Iterator[Outgoing]:
        for one in lacking.values():
            workshop.check_stop()
            workshop.reader.verify(one)
            yield _outgoing(one, key, workshop.reader.view(one.location))

    with closing(open_staging(workshop.settings)) as bucket:
        for receipt in bucket.send(ready()):
            there = [(lacking[receipt.source_digest], receipt.location)]
            staging.add(key, there, receipt.delivered_at)
    whole = staging.offer(key)
    return Done(f"{len(lacking)} staged" + ("" if whole else ", other nodes have the rest"))


def fetcher(settings: Settings, ledger: Ledger) -> Fetch:
    """Give what reads places in other nodes' spools."""
    opened: list[ObjectStore] = []

    def fetch(place: Location, into: BinaryIO) -> None:
        found = ledger.staging.find(place)
        if found is None:
            raise Elsewhere(place.node)
        if not opened:
            opened.append(open_staging(settings))
        into.writelines(opened[0].fetch(found[1]))

    return fetch


def clear(settings: Settings, ledger: Ledger, now: float) -> int:
    """Remove what no job needs any more; returns the number of objects.

    Raises a DeliveryFault; what was left is removed the next time.
    """
    locations = ledger.staging.leaving(now, TOGETHER)
    if not locations:
        return 0
    with closing(open_staging(settings)) as bucket:
        bucket.remove(locations)
    ledger.staging.forget(locations)
    return len(locations)


def open_staging(settings: Settings) -> ObjectStore:
    """Open the bucket of [staging]. Raises ConfigFault where the config no longer has it."""
    name = settings.staging.destination if settings.staging else ""
    table = settings.destinations.get(name)
    if not isinstance(table, ObjectStoreDestination):
        raise ConfigFault([("staging.destination", "names no object-store destination")])
    return ObjectStore(name, table, secrets.read)


def _outgoing(one: Instance, key: SeriesKey, whole: memoryview) -> Outgoing:
    return Outgoing(
        one.arrival.sop_class_uid,
        one.arrival.sop_instance_uid,
        key.series_instance_uid,
        key.study_instance_uid,
        one.arrival.transfer_syntax_uid,
        [whole],
        one.digest,
        received_at=one.arrival.received_at,
        known_digest=one.digest,
    )
