"""Deliver a Series: read from the spool, treat as the rule says, send, prove."""

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field

from dicom.entity import Instance
from dicom.errors import DeidFault, Fault
from node.workers.treatment import Treatment, treatment
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
    treatment: Treatment
    sources: dict[str, Instance] = field(default_factory=dict)
    refused: list[Fault] = field(default_factory=list)
    """Objects that may not leave; the others go on."""
    proven: list[tuple[Instance, Receipt]] = field(default_factory=list)
    flushed_at: float = 0.0
    count: int = 0

    def outgoing(self, owed: list[Instance]) -> Iterator[Outgoing]:
        """Make each object ready as the destination asks for it."""
        for instance, ready in self.treatment.ready(owed):
            self.workshop.check_stop()
            if isinstance(ready, DeidFault):
                self.refused.append(ready)
                continue
            self.sources[instance.digest] = instance
            yield ready

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
        ledger = self.workshop.ledger
        if told := self.treatment.note():
            ledger.outbox.record(told, time.time())
        if self.proven:
            ledger.receipts.add(self.job.id, self.treatment.applied, self.proven)
            self.count += len(self.proven)
            self.proven = []


def forward(job: Job, workshop: Workshop) -> Done:
    """Deliver what the destination has no receipt for.

    Raises a DeliveryFault of the destination, Corrupt when the spool's bytes fail their digest,
    or the DeidFault of an object that may not leave, after all others were delivered.
    """
    delivery = _Delivery(job, workshop, treatment(job, workshop))
    applied = delivery.treatment.applied
    owed = workshop.ledger.receipts.owed(job.spec.series, job.spec.target, applied)
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
