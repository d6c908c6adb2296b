"""Storage commitment that we ask of others: which receipts a PACS has committed itself to."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, or_, select, update

from dicom.commitment import FailureReason, Reference, Report, Request
from dicom.entity import SeriesKey
from routing.job import State
from storage.ledger import events
from storage.ledger.commitments_schema import commitments, transactions
from storage.ledger.database import Database
from storage.ledger.schema import instances, jobs, receipts

_SOURCE = and_(
    instances.c.sop_instance_uid == receipts.c.source_uid,
    instances.c.digest == receipts.c.source_digest,
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A receipt that the destination has not committed itself to."""

    receipt: int
    reference: Reference
    """The object as the destination has it."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A request of ours that its job has not taken note of yet."""

    transaction_uid: str
    asked_at: float
    answered_at: float | None
    is_taken: bool = True
    """Whether the peer is known to have heard it."""


class Committed:
    """Write down what was asked, take answers, and say what is missing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def missing(self, series: SeriesKey, destination: str) -> list[Wanted]:
        """Give what a destination holds of a Series and has not committed itself to."""
        query = (
            select(receipts.c.id, instances.c.sop_class_uid, receipts.c.sop_instance_uid)
            .join_from(receipts, instances, _SOURCE)
            .outerjoin(commitments, commitments.c.receipt == receipts.c.id)
            .where(
                receipts.c.destination == destination,
                instances.c.study_instance_uid == series.study_instance_uid,
                instances.c.series_instance_uid == series.series_instance_uid,
                or_(commitments.c.receipt.is_(None), commitments.c.committed.is_(False)),
            )
            .order_by(receipts.c.id)
        )
        with self._database.read() as db:
            return [Wanted(row[0], Reference(row[1], row[2])) for row in db.execute(query)]

    def open(self, job_id: int) -> Transaction | None:
        """Give the newest request of a job that it has not taken note of."""
        query = (
            select(transactions)
            .where(transactions.c.job == job_id, transactions.c.closed.is_(False))
            .order_by(transactions.c.asked_at.desc())
            .limit(1)
        )
        with self._database.read() as db:
            row = db.execute(query).one_or_none()
        if row is None:
            return None
        is_taken = row.taken_at is not None
        return Transaction(row.transaction_uid, row.asked_at, row.answered_at, is_taken)

    def ask(
        self, transaction_uid: str, job_id: int, peer: str, wanted: Sequence[Wanted], now: float
    ) -> Request:
        """Write a request down before it is sent, so that its answer is known whenever it comes."""
        listed = [
            [each.receipt, each.reference.sop_class_uid, each.reference.sop_instance_uid]
            for each in wanted
        ]
        with self._database.write() as db:
            db.execute(
                transactions.insert().values(
                    transaction_uid=transaction_uid,
                    job=job_id,
                    peer=peer,
                    wanted=listed,
                    asked_at=now,
                    closed=False,
                )
            )
        return Request(transaction_uid, tuple(each.reference for each in wanted))

    def taken(self, transaction_uid: str, now: float) -> None:
        """Note that the peer has taken a request on."""
        with self._database.write() as db:
            this = transactions.c.transaction_uid == transaction_uid
            db.execute(update(transactions).where(this).values(taken_at=now))

    def answer(self, report: Report, peer: str, now: float) -> bool:
        """Note a report, and have its job go on; False where this peer was not asked so.

        What was asked for and is not in the report counts as failed. An answer that comes after
        its job has given up still counts.
        """
        with self._database.write() as db:
            row = db.execute(
                select(transactions).where(
                    transactions.c.transaction_uid == report.transaction_uid,
                    transactions.c.peer == peer,
                )
            ).one_or_none()
            if row is None:
                return False
            reasons = _reasons(report)
            failed = 0
            for receipt, _, sop_instance_uid in row.wanted:
                left_out = int(FailureReason.PROCESSING_FAILURE)
                reason = reasons.get(sop_instance_uid, left_out)
                failed += reason != 0
                _note(db, receipt, report.transaction_uid, reason, now)
            this = transactions.c.transaction_uid == report.transaction_uid
            db.execute(update(transactions).where(this).values(answered_at=now))
            waiting = (jobs.c.id == row.job, jobs.c.state == State.WAITING)
            db.execute(update(jobs).where(*waiting).values(not_before=now))
            facts = {"peer": peer, "instances": len(row.wanted), "failed": failed}
            told = events.NewEvent("penumbra.commitment.answered", report.transaction_uid, facts)
            events.record(db, [told], now)
            return True

    def close(self, transaction_uid: str) -> None:
        """Note that the job knows what came of a request, or waits for it no more."""
        with self._database.write() as db:
            this = transactions.c.transaction_uid == transaction_uid
            db.execute(update(transactions).where(this).values(closed=True))

    def forget(self, asked_before: float) -> None:
        """Drop requests that no job waits for; their answers stay with the receipts."""
        past = (transactions.c.closed, transactions.c.asked_at < asked_before)
        with self._database.write() as db:
            db.execute(delete(transactions).where(*past))

    def failures(self, transaction_uid: str) -> list[tuple[str, int]]:
        """Give the Instances that the answer to a request left uncommitted, with the reasons."""
        query = (
            select(receipts.c.sop_instance_uid, commitments.c.reason)
            .join_from(commitments, receipts, receipts.c.id == commitments.c.receipt)
            .where(
                commitments.c.transaction_uid == transaction_uid,
                commitments.c.committed.is_(False),
            )
            .order_by(receipts.c.id)
        )
        with self._database.read() as db:
            return [(row[0], row[1]) for row in db.execute(query)]


def _reasons(report: Report) -> dict[str, int]:
    """Say of each Instance why it failed; 0 where it is committed. A failure counts more."""
    committed = {each.sop_instance_uid: 0 for each in report.committed}
    return committed | {
        each.sop_instance_uid: reason or int(FailureReason.PROCESSING_FAILURE)
        for each, reason in report.failed
    }


def _note(db: Connection, receipt: int, transaction_uid: str, reason: int, now: float) -> None:
    db.execute(delete(commitments).where(commitments.c.receipt == receipt))
    db.execute(
        commitments.insert().values(
            receipt=receipt,
            transaction_uid=transaction_uid,
            committed=reason == 0,
            reason=reason,
            at=now,
        )
    )
