"""What was paid for a Study, and what is owed: receipts with the way each object came and went."""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import ColumnElement, RowMapping, and_, func, or_, select

from dicom.entity import SeriesKey
from routing.job import State
from storage.destinations.base import Delivered, Receipt
from storage.evidence.schema import evidence
from storage.ledger.commitments_schema import commitments
from storage.ledger.database import Database
from storage.ledger.schema import instances, jobs, receipts

_OWED: Final = (State.WAITING, State.RUNNING, State.HELD)
_RECEIPT: Final = tuple(Receipt.__dataclass_fields__)
_COLUMNS: Final = (
    *(receipts.c[name] for name in (*_RECEIPT, "job", "profile", "attempt")),
    *(
        instances.c[name].label(f"source_{name}")
        for name in ("sop_instance_uid", "study_instance_uid", "series_instance_uid")
    ),
    *(instances.c[name] for name in ("calling_ae", "association", "received_at")),
    func.coalesce(func.nullif(receipts.c.rule, ""), jobs.c.rule).label("rule"),
    jobs.c.attempts,
    evidence.c.new_study,
    evidence.c.new_series,
    commitments.c.committed,
)
_SOURCE: Final = and_(
    instances.c.sop_instance_uid == receipts.c.source_uid,
    instances.c.digest == receipts.c.source_digest,
)
_EVIDENCE: Final = and_(
    evidence.c.source_uid == receipts.c.source_uid,
    evidence.c.source_digest == receipts.c.source_digest,
    evidence.c.profile == receipts.c.profile,
    evidence.c.new_sop == receipts.c.sop_instance_uid,
)


@dataclass(frozen=True, slots=True)
class Paid:
    """One object at one destination: how it came, which job sent it, and the receipt."""

    delivered: Delivered
    sop_instance_uid: str
    """As it was received."""
    calling_ae: str
    association: str
    received_at: float
    job: int
    rule: str
    attempts: int
    profile: str
    """Digest of the treatment; empty where identity was kept."""
    attempt: int = 0
    """Which try of the job delivered it; 0 where an older version did not note it."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A job of the Study that is not done."""

    job: int
    kind: str
    state: str
    rule: str
    target: str
    series: SeriesKey
    words: str


class Payments:
    """Looks at receipts and jobs of one Study; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_instance_uid: str) -> list[Paid]:
        """Give what was delivered of a Study, named by its original UID or a new one; in order."""
        return self._delivered(
            or_(
                instances.c.study_instance_uid == study_instance_uid,
                evidence.c.new_study == study_instance_uid,
            )
        )

    def of_series(self, key: SeriesKey) -> list[Paid]:
        """Give what was delivered of a Series, named by its original UIDs; in order."""
        return self._delivered(
            and_(
                instances.c.study_instance_uid == key.study_instance_uid,
                instances.c.series_instance_uid == key.series_instance_uid,
            )
        )

    def _delivered(self, which: ColumnElement[bool]) -> list[Paid]:
        query = (
            select(*_COLUMNS)
            .join_from(receipts, instances, _SOURCE)
            .outerjoin(jobs, jobs.c.id == receipts.c.job)
            .outerjoin(evidence, _EVIDENCE)
            .outerjoin(commitments, commitments.c.receipt == receipts.c.id)
            .where(which)
            .order_by(receipts.c.destination, instances.c.id, receipts.c.id)
        )
        with self._database.read() as db:
            return [_paid(row) for row in db.execute(query).mappings()]

    def owed(self, study_instance_uid: str) -> list[Owed]:
        """Give the jobs of a Study that are not done, by its original UID; oldest first."""
        query = (
            select(jobs)
            .where(jobs.c.study_instance_uid == study_instance_uid, jobs.c.state.in_(_OWED))
            .order_by(jobs.c.id)
        )
        with self._database.read() as db:
            return [_owed(row) for row in db.execute(query).mappings()]


def _paid(row: RowMapping) -> Paid:
    receipt = Receipt(**{name: row[name] for name in _RECEIPT})
    if row["committed"]:
        receipt = replace(receipt, proof=f"{receipt.proof}, committed")
    return Paid(
        Delivered(receipt, _series(row)),
        row["source_sop_instance_uid"],
        row["calling_ae"],
        row["association"],
        row["received_at"],
        row["job"],
        row["rule"] or "",
        row["attempts"] or 0,
        row["profile"],
        row["attempt"],
    )


def _series(row: RowMapping) -> SeriesKey | None:
    """Say which Series an object went into, where that is known."""
    if row["study_instance_uid"]:
        return SeriesKey(row["study_instance_uid"], row["series_instance_uid"])
    if row["new_study"]:
        return SeriesKey(row["new_study"], row["new_series"])
    if row["profile"]:
        return None
    return SeriesKey(row["source_study_instance_uid"], row["source_series_instance_uid"])


def _owed(row: RowMapping) -> Owed:
    series = SeriesKey(row["study_instance_uid"], row["series_instance_uid"])
    return Owed(
        row["id"], row["kind"], row["state"], row["rule"], row["target"], series, row["words"]
    )
