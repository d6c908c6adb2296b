"""Compare what the lane made of a stream with what the reference reads in it."""

from collections.abc import Iterator

from dicom import part10, status
from node.conversation import Outcome
from tests.fuzz import reference
from tests.fuzz.desk import MAX_PDU, Contexts, Result

UNREADABLE = "message cannot be read"
"""The lane's words where pynetdicom could not read a message; the reference does not judge that."""


def faults(result: Result, said: bytes, contexts: Contexts, max_pdu: int = MAX_PDU) -> list[str]:
    """Name everything that is wrong; nothing, where the node did as the standard says."""
    return list(_faults(result, reference.read(said, set(contexts), max_pdu)))


def _faults(result: Result, expected: reference.Reading) -> Iterator[str]:
    whole = [one for one in expected.messages if one is not None]
    gave_up = result.ending.words.startswith(UNREADABLE)
    if gave_up:
        whole = whole[: len(result.answers)]
    if result.left_open:
        yield f"{result.left_open} recordings left open"
    if [one.message_id for one in whole] != [message_id for message_id, _ in result.answers]:
        yield f"{len(whole)} requests came whole, answered were {result.answers}"
        return
    stored = [
        (one.context_id, one.sop_class, one.sop_instance, one.dataset)
        for one, (_, code) in zip(whole, result.answers, strict=True)
        if code == status.SUCCESS
    ]
    kept = [
        (arrival.sop_class_uid, arrival.sop_instance_uid, data[len(part10.file_meta(arrival)) :])
        for arrival, data in result.objects
    ]
    if [one[1:] for one in stored] != kept:
        yield f"Success was said for {[one[2] for one in stored]}, kept are {[k[1] for k in kept]}"
    is_broken = "Evt19" in result.events
    if is_broken is not (expected.end == "broken" or gave_up) and not _late(result, expected):
        yield f"the reference says {expected.end}, the node {result.events}"
    if is_broken and result.ending.outcome is not Outcome.ABORTED:
        yield f"a broken protocol ended as {result.ending.outcome}"
    if is_broken and not result.ending.words:
        yield "a broken protocol without words"


def _late(result: Result, expected: reference.Reading) -> bool:
    """Whether it broke where the reference does not look: time ran out, a PDU of another type."""
    return expected.end in {"cut", "other"} and bool(result.ending.words)
