"""Ask a PACS to commit itself to what it was sent, and note its answer for each object."""

import secrets
import threading
import time
from dataclasses import replace
from functools import partial
from typing import Final

from config.destinations import DicomDestination
from config.model import Settings
from dicom import commitment_wire, uid
from dicom.commitment import STORAGE_COMMITMENT, told
from dicom.errors import DeliveryFault, Refused
from dicom.scu import NothingAccepted
from node.calling import calling
from node.services.commitment import take_report
from node.workers.workshop import Done, Later, Workshop
from routing.job import Job, Kind, NewJob
from storage.ledger.committed import Transaction, Wanted
from storage.ledger.events import NewEvent

SAME_S: Final = 5.0
"""So long the association stays open for an answer; later ones come by the node's own door."""
LOOK_EVERY_S: Final = 0.1


class NoReport(DeliveryFault):
    """A PACS took the request and never said what came of it."""

    code = "no-report"
    retry = True


def commitment_owed(job: Job, settings: Settings) -> list[NewJob]:
    """Give the job that follows a delivery where the destination is asked to commit itself."""
    destination = settings.destinations.get(job.spec.target)
    if not isinstance(destination, DicomDestination) or not destination.commit:
        return []
    return [replace(job.spec, kind=Kind.COMMIT, not_before=0.0)]


def commit(job: Job, workshop: Workshop) -> Done:
    """Ask for what the destination holds of the Series, then wait for what it says.

    The answer may come on the association that asked, or later by the node's own door; until
    then the job waits without being at work. Raises Refused where the PACS does not offer the
    service or fails Instances, NoReport where it says nothing in time: it is then asked again.
    """
    destination = workshop.settings.destinations.get(job.spec.target)
    if not isinstance(destination, DicomDestination) or not destination.commit:
        return Done(f"[destinations.{job.spec.target}] asks for no commitment any more")
    room = workshop.ledger.committed
    transaction = room.open(job.id)
    wanted = room.missing(job.spec.series, job.spec.target)
    if not wanted:  # a late answer to an earlier request may have been the last word
        if transaction is not None:
            room.close(transaction.transaction_uid)
        return _done(job)
    if transaction is None or not (transaction.is_taken or transaction.answered_at):
        # Where a worker died over it, nobody knows whether it was sent: to ask twice is no harm.
        if transaction is not None:
            room.close(transaction.transaction_uid)
        transaction = _ask(job, workshop, destination, wanted)
    return _outcome(job, workshop, destination, transaction)


def _ask(
    job: Job, workshop: Workshop, destination: DicomDestination, wanted: list[Wanted]
) -> Transaction:
    room, peer = workshop.ledger.committed, destination.peer
    name = uid.from_digest(secrets.token_bytes(16))
    now = workshop.ledger.database.now()
    request = room.ask(name, job.id, peer, wanted, now)
    answered = threading.Event()

    def on_report(event: commitment_wire.Event) -> object:
        response = take_report(event, room, peer, workshop.ledger.database.now)
        answered.set()
        return response

    try:
        with calling(
            workshop.settings,
            peer,
            commitment_wire.contexts(),
            timeout_s=destination.timeout_s,
            handlers=commitment_wire.reporting(on_report),
        ) as association:
            commitment_wire.ask(association, request, destination.timeout_s)
            room.taken(name, workshop.ledger.database.now())
            _wait(workshop, job, answered, partial(getattr, association, "is_established"))
    except NothingAccepted as fault:
        room.close(name)
        raise Refused(
            f"{peer} does not offer Storage Commitment ({STORAGE_COMMITMENT}): switch it on"
            f" there, or set commit = false in [destinations.{job.spec.target}]"
        ) from fault
    except DeliveryFault:
        if not _is_answered(workshop, job):
            room.close(name)
            raise
    return room.open(job.id) or Transaction(name, now, None)


def _wait(
    workshop: Workshop, job: Job, answered: threading.Event, is_open: "partial[bool]"
) -> None:
    """Stay for an answer on this association, unless it comes by the door meanwhile."""
    deadline_s = time.monotonic() + SAME_S
    while time.monotonic() < deadline_s and is_open() and not workshop.stopping.is_set():
        if answered.wait(LOOK_EVERY_S) or _is_answered(workshop, job):
            return


def _is_answered(workshop: Workshop, job: Job) -> bool:
    transaction = workshop.ledger.committed.open(job.id)
    return transaction is not None and transaction.answered_at is not None


def _outcome(
    job: Job, workshop: Workshop, destination: DicomDestination, transaction: Transaction
) -> Done:
    room, name = workshop.ledger.committed, transaction.transaction_uid
    if transaction.answered_at is None:
        left_s = (
            transaction.asked_at + destination.commit_timeout_s - workshop.ledger.database.now()
        )
        if left_s > 0:
            raise Later(f"{destination.peer} has not reported yet", left_s)
        room.close(name)
        words = f"{destination.peer} did not report within {destination.commit_timeout_s:g} s"
        raise NoReport(words)
    room.close(name)
    failures = room.failures(name)
    if failures:
        first, reason = failures[0]
        raise Refused(
            f"{destination.peer} did not commit to {len(failures)}, first {first}: {told(reason)}"
        )
    return _done(job)


def _done(job: Job) -> Done:
    series = job.spec.series
    facts = {
        "study": series.study_instance_uid,
        "destination": job.spec.target,
        "rule": job.spec.rule,
    }
    told_of = NewEvent("penumbra.series.committed", series.series_instance_uid, facts)
    return Done("committed", [told_of])
