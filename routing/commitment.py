"""Whether an Instance can be vouched for: what the ledger knows in, a verdict out."""

from dataclasses import dataclass
from enum import StrEnum

from config.commitment import When
from dicom.commitment import FailureReason
from dicom.entity import SeriesKey


class Debt(StrEnum):
    """How one Instance stands with one destination that its rules require."""

    PAID = "paid"
    """There is a receipt, and where the destination commits, its commitment."""
    OWED = "owed"
    """A job about it waits or runs."""
    STUCK = "stuck"
    """Its job is held or was dropped, or it ended without a proof."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What the ledger knows of the objects under one SOP Instance UID."""

    sop_class_uids: frozenset[str]
    is_filed: bool
    """Whether it was read and has its place in a Series; until then an intake is held."""
    in_doubt: bool
    """Whether another object came under the same UID, and nobody has decided about it."""
    is_settled: bool
    """Whether a revision of its Series covers it, so that what it owes is written."""
    debts: tuple[Debt, ...] = ()
    """One for each destination, in no order; none where no rule sends it."""
    is_here: bool = True
    """Whether its bytes are still in the spool."""
    series: SeriesKey | None = None
    """Where it is filed."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Under what terms one request is judged."""

    when: When
    unknown_is_final: bool
    """Whether an Instance that is not known by now will not come: time passed, no backlog."""
    is_over: bool
    """Whether the request has waited so long that what is open counts as failed."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is reported about one Instance."""

    reason: FailureReason | None = None
    """Why it is not committed; None where it is."""


COMMITTED = Verdict()


def judge(
    sop_class_uid: str, kept: Kept | None, terms: Terms, *, is_storage: bool
) -> Verdict | None:
    """Judge one Instance of a request; None while nobody can say yet.

    `is_storage` says whether the node takes objects of that class at all. Where two objects came
    under one UID, nobody knows which one the requester means: it is not committed until a person
    has decided.
    """
    if kept is None:
        return _unknown(terms, is_storage=is_storage)
    if sop_class_uid not in kept.sop_class_uids:
        return Verdict(FailureReason.CLASS_CONFLICT)
    if kept.in_doubt or not kept.is_filed:
        return Verdict(FailureReason.PROCESSING_FAILURE)
    if terms.when == "received" and kept.is_here:
        return COMMITTED
    return _owed(kept, terms) if kept.is_settled else _open(terms)


def _owed(kept: Kept, terms: Terms) -> Verdict | None:
    """Judge what a settled Series owes; where that is nothing, to be here is enough."""
    if not kept.debts:
        return COMMITTED if kept.is_here else Verdict(FailureReason.NO_SUCH_INSTANCE)
    if Debt.STUCK in kept.debts:
        return Verdict(FailureReason.PROCESSING_FAILURE)
    return _open(terms) if Debt.OWED in kept.debts else COMMITTED


def _unknown(terms: Terms, *, is_storage: bool) -> Verdict | None:
    if not is_storage:
        return Verdict(FailureReason.CLASS_NOT_SUPPORTED)
    if terms.unknown_is_final or terms.is_over:
        return Verdict(FailureReason.NO_SUCH_INSTANCE)
    return None


def _open(terms: Terms) -> Verdict | None:
    return Verdict(FailureReason.PROCESSING_FAILURE) if terms.is_over else None
