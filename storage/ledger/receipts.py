"""What was delivered where, with its proof, and what is still owed."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, exists, select

from dicom.entity import Instance, SeriesKey
from storage.destinations.base import Receipt
from storage.ledger.bytes_at import can_read
from storage.ledger.database import Database
from storage.ledger.intake import instance_of
from storage.ledger.proven import Proven, record
from storage.ledger.schema import instances, receipts, series


class Receipts:
    """The worker's side of deliveries."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_series(self, key: SeriesKey) -> list[Instance]:
        """Give the Instances of a Series in order of arrival, conflicts left out."""
        query = select(instances).where(*_members(key)).order_by(instances.c.id)
        with self._database.read() as db:
            return [instance_of(row) for row in db.execute(query)]

    def owed(self, key: SeriesKey, destination: str, profile: str) -> list[Instance]:
        """Give the Instances of a Series that this destination has no receipt for.

        `profile` is the digest of the de-identification profile, "" where identity is kept: the
        same object under another profile is another debt. What has left the spool is not among
        them: `Holdings.require_owed` says whether there is any.
        """
        paid = exists().where(
            receipts.c.destination == destination,
            receipts.c.profile == profile,
            receipts.c.source_uid == instances.c.sop_instance_uid,
            receipts.c.source_digest == instances.c.digest,
        )
        here = and_(instances.c.released_at.is_(None), can_read(self._database.node))
        query = select(instances).where(*_members(key), here, ~paid).order_by(instances.c.id)
        with self._database.read() as db:
            return [instance_of(row) for row in db.execute(query)]

    def add(
        self,
        job: int,
        profile: str,
        proven: Sequence[tuple[Instance, Receipt]],
        *,
        attempt: int = 0,
        rule: str = "",
    ) -> None:
        """Write receipts of one try of a job, for a rule; one that is already there stays."""
        with self._database.write() as db:
            record(db, Proven(job, profile, proven, attempt, rule))

    def modality(self, key: SeriesKey) -> str:
        """Give the Modality of a Series as it was received; "" where nobody knows it."""
        query = select(series.c.modality).where(
            series.c.study_instance_uid == key.study_instance_uid,
            series.c.series_instance_uid == key.series_instance_uid,
        )
        with self._database.read() as db:
            return db.scalar(query) or ""

    def list(self, destination: str | None = None) -> list[dict[str, object]]:
        """Give receipts as plain rows, oldest first, of one destination or of all."""
        query = select(receipts).order_by(receipts.c.id)
        if destination is not None:
            query = query.where(receipts.c.destination == destination)
        with self._database.read() as db:
            return [dict(row) for row in db.execute(query).mappings()]


def _members(key: SeriesKey) -> tuple[ColumnElement[bool], ...]:
    return (
        instances.c.study_instance_uid == key.study_instance_uid,
        instances.c.series_instance_uid == key.series_instance_uid,
        instances.c.conflict.is_(False),
    )
