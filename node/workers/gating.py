"""Hold results against what the ledger and the spool have of their Study, before they go on."""

import hashlib
from collections.abc import Iterable, Sequence

from pydicom.dataset import Dataset

from ai import gate
from ai.contract import Contract
from ai.gate import Originals, Promise, Stored
from ai.result import Result
from dicom.entity import Origin, SeriesKey
from dicom.errors import CannotUnderstand, StorageFault
from dicom.part10 import read_head
from node.workers.workshop import Workshop
from storage.ledger.related import Filed


def require_own(workshop: Workshop, results: Sequence[Result], contract: Contract) -> list[Result]:
    """Check what a model made here; returns those results that the node has not filed yet.

    Raises Misfit, naming what does not fit: then none of them may be kept.
    """
    files = [(result, result.part10) for result in results]
    digests = {result.sop_instance_uid: _digest(part10) for result, part10 in files}
    taken = workshop.ledger.related.digests(digests.keys())
    promise = Promise([one.quantity for one in contract.outputs if one.quantity], taken)
    originals = _originals(workshop, results[0].study_instance_uid)
    together = [(part10, digests[result.sop_instance_uid]) for result, part10 in files]
    gate.check(together, originals, promise)
    return [result for result in results if result.sop_instance_uid not in taken]


def require_theirs(
    workshop: Workshop, study_instance_uid: str, chunks: Iterable[bytes | memoryview]
) -> None:
    """Check a result of another system, its identity put back. Raises Misfit."""
    part10 = b"".join(chunks)
    gate.check([(part10, _digest(part10))], _originals(workshop, study_instance_uid))


def _digest(part10: bytes) -> str:
    return hashlib.sha256(part10).hexdigest()


def _originals(workshop: Workshop, study_instance_uid: str) -> Originals:
    study = workshop.ledger.related.of_study(study_instance_uid)
    stored = {
        one.instance.arrival.sop_instance_uid: Stored(
            one.instance.arrival.sop_class_uid,
            one.key,
            is_original=one.instance.arrival.origin is not Origin.AI,
        )
        for one in study
    }
    return Originals(study_instance_uid, stored, _heads(workshop, study))


def _heads(workshop: Workshop, study: Sequence[Filed]) -> list[Dataset]:
    """Read one head of each Series from outside, of those whose bytes are here."""
    found: dict[SeriesKey, Dataset] = {}
    for one in study:
        if one.key in found or not one.is_here or one.instance.arrival.origin is Origin.AI:
            continue
        try:
            with workshop.reader.open(one.instance.location) as stream:
                found[one.key] = read_head(stream)
        except (StorageFault, CannotUnderstand):
            continue  # another of its Series may be readable
    return [*found.values()]
