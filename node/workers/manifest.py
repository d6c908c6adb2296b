"""List beside a Study's objects in a bucket what was delivered of it, once all of it was."""

import json
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Any, Final

from config.destinations import ObjectStoreDestination
from config.model import Settings
from dicom.entity import SeriesKey
from node import moments
from node.workers.workshop import Done, Workshop
from routing.job import Job, Kind, NewJob, State
from storage.destinations.object_store import ObjectStore
from storage.ledger.paid import Owed, Paid

SCHEMA_VERSION: Final = 1
_SENDING: Final = frozenset({Kind.FORWARD, Kind.REIDENTIFY})
_UNDER_WAY: Final = frozenset({State.WAITING, State.RUNNING})


def manifest_owed(job: Job, settings: Settings) -> list[NewJob]:
    """Give the job that follows a delivery where the destination wants a manifest.

    The delivery's own number tells one such job from the next; their lane is the Study's.
    """
    if not _is_wanted(settings, job.spec.target):
        return []
    study = SeriesKey(job.spec.series.study_instance_uid, "")
    return [NewJob(Kind.MANIFEST, study, job.id, job.spec.rule, job.spec.target)]


def write_manifest(job: Job, workshop: Workshop) -> Done:
    """Write the manifest of each Study that this Study became at the destination.

    While more of it is on its way, that is left to the job that follows the last delivery.
    Raises Unreachable, Busy or Refused.
    """
    study, target = job.spec.series.study_instance_uid, job.spec.target
    if not _is_wanted(workshop.settings, target):
        return Done(f"[destinations.{target}] wants no manifest any more")
    payments = workshop.ledger.payments
    owed = [one for one in payments.owed(study) if one.target == target and one.job != job.id]
    if any(is_under_way(one) for one in owed):
        return Done("more of the Study is on its way")
    paid = [one for one in payments.of_study(study) if one.delivered.receipt.destination == target]
    held = sum(one.kind in _SENDING for one in owed)
    with closing(workshop.destination(target)) as place:
        assert isinstance(place, ObjectStore)
        locations = [
            place.publish(left_as, manifest(left_as, target, some, held=held, now=time.time()))
            for left_as, some in by_study(paid)
        ]
    return Done(f"wrote {', '.join(locations)}" if locations else "nothing was delivered")


def is_under_way(owed: Owed) -> bool:
    """Whether a job that is not done may still change what the manifest says, by itself."""
    return owed.kind in {*_SENDING, Kind.MANIFEST} and owed.state in _UNDER_WAY


def by_study(paid: Iterable[Paid]) -> list[tuple[str, list[Paid]]]:
    """Sort deliveries by the Study that they went into, where that is known."""
    found: dict[str, list[Paid]] = {}
    for one in paid:
        if one.delivered.series is not None:
            found.setdefault(one.delivered.series.study_instance_uid, []).append(one)
    return list(found.items())


def manifest(
    study_instance_uid: str, destination: str, paid: Sequence[Paid], *, held: int, now: float
) -> bytes:
    """Write what a destination holds of a Study as JSON.

    It holds no patient data. When a de-identified object was received is left out too: that is
    as good as the date of the study.
    """
    whole: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "study_instance_uid": study_instance_uid,
        "destination": destination,
        "written_at": moments.utc(now),
        "complete": not held,
        "jobs_held": held,
        "objects": len(paid),
        "size_bytes": sum(one.delivered.receipt.size_bytes for one in paid),
        "instances": [_entry(one) for one in paid],
    }
    return json.dumps(whole, indent=1).encode()


def _entry(one: Paid) -> dict[str, object]:
    receipt, series = one.delivered.receipt, one.delivered.series
    assert series is not None
    return {
        "location": receipt.location,
        "sha256": receipt.digest_sent,
        "size_bytes": receipt.size_bytes,
        "sop_instance_uid": receipt.sop_instance_uid,
        "sop_class_uid": receipt.sop_class_uid,
        "series_instance_uid": series.series_instance_uid,
        "received_at": None if one.profile else moments.utc(one.received_at),
        "delivered_at": moments.utc(receipt.delivered_at),
        "proof": receipt.proof,
        "etag": receipt.etag,
        "profile": one.profile,
    }


def _is_wanted(settings: Settings, target: str) -> bool:
    destination = settings.destinations.get(target)
    return isinstance(destination, ObjectStoreDestination) and destination.manifest
