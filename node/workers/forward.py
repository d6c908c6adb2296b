"""Deliver a Series: read from the spool, treat as the rule says, send, prove."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from dicom.entity import Instance, Origin
from dicom.errors import Fault
from node.workers.commit import commitment_owed
from node.workers.manifest import manifest_owed
from node.workers.originals_there import require_originals
from node.workers.treatment import Treatment, treatment
from node.workers.workshop import Done, Workshop
from routing.job import Job
from storage.destinations.base import Outgoing, Receipt
from storage.ledger.events import NewEvent
from storage.ledger.proven import Proven

FLUSH_S = 0.5
"""Receipts are written at least so often, so that a crash repeats little."""


@dataclass(frozen=True, slots=True)
class _Left:
    """What a receipt says of an object as it left, whatever kind of destination took it."""

    size_bytes: int
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str

    @classmethod
    def of(cls, ready: Outgoing) -> Self:
        return cls(
            ready.size_bytes,
            ready.sop_class_uid,
            ready.study_instance_uid,
            ready.series_instance_uid,
        )


@dataclass(slots=True)
class _Delivery:
    """One run of a forward job: objects out, receipts in."""

    job: Job
    workshop: Workshop
    treatment: Treatment
    sources: dict[str, tuple[Instance, _Left]] = field(default_factory=dict)
    refused: list[Fault] = field(default_factory=list)
    """Objects that may not leave; the others go on."""
    proven: list[tuple[Instance, Receipt]] = field(default_factory=list)
    flushed_at: float = field(default_factory=time.monotonic)
    count: int = 0

    def outgoing(self, owed: list[Instance]) -> Iterator[Outgoing]:
        """Make each object ready as the destination asks for it."""
        modality = self.workshop.ledger.receipts.modality(self.job.spec.series)
        for instance, ready in self.treatment.ready(owed):
            self.workshop.check_stop()
            if isinstance(ready, Fault):
                self.refused.append(ready)
                continue
            self.sources[instance.digest] = instance, _Left.of(ready)
            yield replace(
                ready,
                modality=modality,
                received_at=instance.arrival.received_at,
                rule=self.job.spec.rule,
            )

    def pay(self, receipts: Iterator[Receipt]) -> None:
        """Write receipts as they come, in batches; the last are left to the job's end."""
        for receipt in receipts:
            if time.monotonic() - self.flushed_at > FLUSH_S:
                self.flush()
            instance, left = self.sources.pop(receipt.source_digest)
            self.proven.append((instance, replace(receipt, **asdict(left))))
            self.count += 1

    def flush(self) -> None:
        """Write what is to be told, and the receipts so far."""
        self.flushed_at = time.monotonic()
        ledger = self.workshop.ledger
        if told := self.treatment.note():
            ledger.outbox.record(told, time.time())
        if paid := self.unwritten():
            ledger.receipts.add(
                paid.job, paid.profile, paid.objects, attempt=paid.attempt, rule=paid.rule
            )

    def unwritten(self) -> Proven | None:
        """Give the receipts that are not written yet, once; None without any."""
        proven, self.proven = self.proven, []
        if not proven:
            return None
        job, applied = self.job, self.treatment.applied
        return Proven(job.id, applied, proven, attempt=job.attempts, rule=job.spec.rule)

    def require_all(self) -> None:
        """Raise the first fault of an object that may not leave, or Released."""
        spec = self.job.spec
        if self.refused:
            first = self.refused[0]
            whole = len(self.refused) + self.count
            words = f"{len(self.refused)} of {whole} objects may not leave: {first}"
            raise type(first)(words)
        applied = self.treatment.applied
        self.workshop.ledger.holdings.require_owed(spec.series, spec.target, applied)


def forward(job: Job, workshop: Workshop) -> Done:
    """Deliver what the destination has no receipt for.

    What a model made waits for the images that it is about. Raises Later while it does, a
    DeliveryFault of the destination, Corrupt when the spool's bytes fail their digest, the fault
    of an object that may not leave, after all others were delivered, or Released, after those,
    where something is owed that the spool has let go of.
    """
    delivery = _Delivery(job, workshop, treatment(job, workshop))
    applied = delivery.treatment.applied
    owed = workshop.ledger.receipts.owed(job.spec.series, job.spec.target, applied)
    after = [
        *commitment_owed(job, workshop.settings),
        *manifest_owed(job, workshop.settings),
    ]
    if not owed:
        workshop.ledger.holdings.require_owed(job.spec.series, job.spec.target, applied)
        return Done("nothing new to deliver", follow_up=after, is_answer=False)
    require_originals(job, workshop, [one for one in owed if one.arrival.origin is Origin.AI])
    try:
        with workshop.kept.lend(job.spec.target) as destination:
            delivery.pay(destination.send(delivery.outgoing(owed)))
        delivery.require_all()
    except BaseException:  # what was delivered before stands
        delivery.flush()
        raise
    facts = {
        "study": job.spec.series.study_instance_uid,
        "destination": job.spec.target,
        "instances": delivery.count,
        "rule": job.spec.rule,
        "profile": job.spec.profile,
    }
    told = NewEvent("penumbra.series.delivered", job.spec.series.series_instance_uid, facts)
    return Done(
        f"{delivery.count} delivered",
        [*delivery.treatment.note(), told],
        after,
        paid=delivery.unwritten(),
    )
