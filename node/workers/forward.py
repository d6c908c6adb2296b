"""Deliver a Series: read from the spool, de-identify under the rule's profile, send, prove."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from deid.apply import deidentify
from deid.profile import Profile
from dicom.entity import Instance
from dicom.errors import DeidFault, Fault
from node.workers.workshop import Done, Workshop
from routing.job import Job
from storage.destinations.base import Outgoing, Receipt
from storage.ledger.events import NewEvent

FLUSH_S = 0.5
"""Receipts are written at least so often, so that a crash repeats little."""


@dataclass(slots=True)
class _Delivery:
    """One run of a forward job: objects out, receipts in."""

    job: Job
    workshop: Workshop
    profile: Profile | None
    sources: dict[str, Instance] = field(default_factory=dict)
    refused: list[Fault] = field(default_factory=list)
    """Objects that may not leave; the others go on."""
    proven: list[tuple[Instance, Receipt]] = field(default_factory=list)
    flushed_at: float = 0.0
    count: int = 0

    @property
    def applied(self) -> str:
        """The digest of the profile; "" where identity is kept."""
        return self.profile.digest if self.profile else ""

    def outgoing(self, owed: list[Instance]) -> Iterator[Outgoing]:
        """Make each object ready as the destination asks for it."""
        for instance in owed:
            self.workshop.check_stop()
            try:
                ready = self._ready(instance)
            except DeidFault as fault:
                self.refused.append(fault)
                continue
            self.sources[instance.digest] = instance
            yield ready

    def _ready(self, instance: Instance) -> Outgoing:
        self.workshop.reader.verify(instance)
        view = self.workshop.reader.view(instance.location)
        if self.profile is None:
            return _as_it_is(instance, self.job, view)
        clean = deidentify(view, self.profile)
        return Outgoing(
            clean.sop_class_uid,
            clean.sop_instance_uid,
            clean.series_instance_uid,
            clean.study_instance_uid,
            clean.transfer_syntax_uid,
            clean.chunks,
            instance.digest,
        )

    def pay(self, receipts: Iterator[Receipt]) -> None:
        """Write receipts as they come, in batches; those before a fault stand."""
        try:
            for receipt in receipts:
                self.proven.append((self.sources.pop(receipt.source_digest), receipt))
                if time.monotonic() - self.flushed_at > FLUSH_S:
                    self._flush()
        finally:
            self._flush()

    def _flush(self) -> None:
        self.flushed_at = time.monotonic()
        if self.proven:
            self.workshop.ledger.receipts.add(self.job.id, self.applied, self.proven)
            self.count += len(self.proven)
            self.proven = []


def _as_it_is(instance: Instance, job: Job, view: memoryview) -> Outgoing:
    return Outgoing(
        instance.arrival.sop_class_uid,
        instance.arrival.sop_instance_uid,
        job.spec.series.series_instance_uid,
        job.spec.series.study_instance_uid,
        instance.arrival.transfer_syntax_uid,
        (view,),
        instance.digest,
    )


def forward(job: Job, workshop: Workshop) -> Done:
    """Deliver what the destination has no receipt for.

    Raises a DeliveryFault of the destination, Corrupt when the spool's bytes fail their digest,
    or the DeidFault of an object that may not leave, after all others were delivered.
    """
    profile = workshop.profile(job.spec.profile) if job.spec.profile else None
    delivery = _Delivery(job, workshop, profile)
    owed = workshop.ledger.receipts.owed(job.spec.series, job.spec.target, delivery.applied)
    if not owed:
        return Done("nothing new to deliver")
    with closing(workshop.destination(job.spec.target)) as destination:
        delivery.pay(destination.send(delivery.outgoing(owed)))
    if delivery.refused:
        first = delivery.refused[0]
        words = f"{len(delivery.refused)} of {len(owed)} objects may not leave: {first}"
        raise type(first)(words)
    facts = {
        "study": job.spec.series.study_instance_uid,
        "destination": job.spec.target,
        "instances": delivery.count,
        "rule": job.spec.rule,
        "profile": job.spec.profile,
    }
    told = NewEvent("penumbra.series.delivered", job.spec.series.series_instance_uid, facts)
    return Done(f"{delivery.count} delivered", [told])
