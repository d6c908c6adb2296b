"""Let a result go only where the images are that it is about.

They are at a destination that has receipts for them, that they came from, or that says so itself.
Until then the result waits, which costs no attempt; where nobody brings them it is held.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from typing import Final

from config.destinations import Destination, DicomDestination, StowDestination
from config.model import Settings
from dicom.entity import Instance, Origin, SeriesKey
from dicom.errors import DeliveryFault, OriginalsAbsent
from dicom.part10 import read_head
from dicom.references import named
from node.workers.workshop import Later, Workshop
from routing.job import Job, State
from storage.destinations.base import Delivered, Receipt
from storage.ledger.related import Filed

PATIENCE_S: Final = 600.0
"""So long a destination may be without images that no rule sends there: somebody else may."""
SOONEST_S: Final = 0.25
SELDOMEST_S: Final = 30.0
"""How often is looked: at an eighth of the time that it has waited, within these."""
_ON_THE_DESTINATION: Final = "results_without_originals = true"


def require_originals(job: Job, workshop: Workshop, results: Sequence[Instance]) -> None:
    """Return where results of models may go to the job's destination now.

    Raises Later while the images are on their way or may be, OriginalsAbsent where nobody brings
    them, Unreachable or Busy where the destination cannot be asked now.
    """
    target = job.spec.target
    table = workshop.settings.destinations.get(target)
    if table is None or table.results_without_originals or not results:
        return
    related = workshop.ledger.related
    study = related.of_study(job.spec.series.study_instance_uid)
    about = _about(workshop, results, study)
    originals = [one.instance for one in about]
    if _came_from(table, originals) or not (left := related.unpaid(originals, target)):
        return
    waited_s = max(0.0, workshop.ledger.database.now() - job.created_at)
    wait_s = min(max(waited_s / 8, SOONEST_S), SELDOMEST_S)
    keys = {one.key for one in about}
    if coming := related.on_their_way(keys, target):
        held = next((each for each in coming if each.state is State.HELD), None)
        blocks = held or coming[0]
        words = f"waits for job {blocks.id}, which brings {len(left)} of the images it is about"
        if _comes_later(workshop.settings, job, coming):
            raise OriginalsAbsent(
                f"{words} and comes after it, while {target} is ordered: `penumbra retry` this job"
                " once that is done"
            )
        raise Later(f"{words}{', and is held' if held else ''}", wait_s)
    said = _asked(table, workshop, target, left, about)
    if not said:
        return
    # In an ordered destination everything else would wait behind it.
    may_come = waited_s < PATIENCE_S or related.is_settling(job.spec.series.study_instance_uid)
    if may_come and not table.ordered:
        raise Later(f"the images that it is about are not at {target} yet: {said}", wait_s)
    raise OriginalsAbsent(
        f"{len(left)} of the images that it is about are not at {target}: {said}. Have a rule send"
        f" them there, or set {_ON_THE_DESTINATION} in [destinations.{target}]; then `penumbra"
        " retry` this job"
    )


def _about(
    workshop: Workshop, results: Sequence[Instance], study: Sequence[Filed]
) -> Sequence[Filed]:
    """Choose the originals that results name; all of the Study where they name none."""
    originals = {
        one.instance.arrival.sop_instance_uid: one
        for one in study
        if one.instance.arrival.origin is not Origin.AI
    }
    meant = {uid for result in results for uid in _names(workshop, result)}
    return [originals[uid] for uid in meant & originals.keys()] or [*originals.values()]


def _names(workshop: Workshop, result: Instance) -> Iterator[str]:
    with workshop.reader.open(result.location) as stream:
        yield from (each.sop_instance_uid for each in named(read_head(stream)))


def _came_from(table: Destination, originals: Collection[Instance]) -> bool:
    """Whether it was this very peer that sent them: it has what it sent."""
    return isinstance(table, DicomDestination) and all(
        one.arrival.calling_ae == table.peer and one.arrival.origin is Origin.DIMSE
        for one in originals
    )


def _comes_later(settings: Settings, job: Job, coming: Sequence[Job]) -> bool:
    """Whether the images' job stands behind this one in a row where each waits for the first."""
    table = settings.destinations[job.spec.target]
    return table.ordered and any(each.id > job.id for each in coming)


def _asked(
    table: Destination,
    workshop: Workshop,
    target: str,
    left: Sequence[Instance],
    about: Sequence[Filed],
) -> str:
    """Ask a destination for images; "" where it has them all, else why not.

    Raises Unreachable or Busy.
    """
    if not isinstance(table, DicomDestination | StowDestination):
        return "it has no receipt for them, and is no archive that could be asked"
    keys = {one.instance.digest: one.key for one in about}
    wanted = [_as_delivered(target, one, keys[one.digest]) for one in left]
    try:
        with closing(workshop.destination(target)) as place:
            proofs = list(place.prove(wanted))
    except DeliveryFault as fault:
        if fault.retry:
            raise
        return f"it was asked and refuses to say ({fault})"
    missing = [each for each in proofs if not each.holds]
    return f"it was asked and lacks {len(missing)}" if missing else ""


def _as_delivered(target: str, one: Instance, key: SeriesKey) -> Delivered:
    """Ask for an Instance as if it had been delivered: by its UIDs, not by its bytes."""
    receipt = Receipt(
        destination=target,
        source_digest=one.digest,
        sop_instance_uid=one.arrival.sop_instance_uid,
        location="",
        digest_sent=one.digest,
        digest_read_back="",
        proof="",
        delivered_at=0.0,
    )
    return Delivered(receipt, key)
