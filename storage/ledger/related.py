"""The Instances of a Study as results refer to them: which there are, and where they are too."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, exists, or_, select

from dicom.entity import Instance, Origin, SeriesKey
from routing.job import Job, Kind, State
from storage.ledger.bytes_at import can_read
from storage.ledger.database import Database
from storage.ledger.intake import instance_of
from storage.ledger.job_rows import job_of
from storage.ledger.proven import batched
from storage.ledger.schema import instances, jobs, receipts, series
from storage.ledger.settling_schema import studies

_AT_ONCE: Final = 500
"""So many names stand in one question: databases allow no endless ones."""
_OWED: Final = (State.WAITING, State.RUNNING, State.HELD)


@dataclass(frozen=True, slots=True)
class Filed:
    """An Instance, and the Series that it is filed in."""

    instance: Instance
    key: SeriesKey
    is_here: bool
    """Whether its bytes can be read by the workers of this node."""


class Related:
    """What workers ask of a Study's objects before a result is kept or sent. Changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_instance_uid: str) -> list[Filed]:
        """Give the Instances of a Study in order of arrival, conflicts left out."""
        here = and_(instances.c.released_at.is_(None), can_read(self._database.node))
        query = select(instances, here.label("is_here")).where(
            instances.c.study_instance_uid == study_instance_uid, instances.c.conflict.is_(False)
        )
        with self._database.read() as db:
            return [
                Filed(
                    instance_of(row),
                    SeriesKey(row.study_instance_uid, row.series_instance_uid),
                    bool(row.is_here),
                )
                for row in db.execute(query.order_by(instances.c.id))
            ]

    def digests(self, sop_instance_uids: Collection[str]) -> dict[str, str]:
        """Give the digest of the first object under each UID that anything is filed under."""
        query = select(instances.c.sop_instance_uid, instances.c.digest).order_by(
            instances.c.id.desc()
        )
        found: dict[str, str] = {}
        with self._database.read() as db:
            for some in batched(sop_instance_uids, _AT_ONCE):
                these = query.where(instances.c.sop_instance_uid.in_(some))
                found.update((row.sop_instance_uid, row.digest) for row in db.execute(these))
        return found

    def unpaid(self, these: Collection[Instance], destination: str) -> list[Instance]:
        """Choose those that a destination has no receipt for, as they were received."""
        uids = {one.arrival.sop_instance_uid for one in these}
        query = select(receipts.c.source_uid, receipts.c.source_digest).where(
            receipts.c.destination == destination, receipts.c.profile == ""
        )
        paid: set[tuple[str, str]] = set()
        with self._database.read() as db:
            for some in batched(uids, _AT_ONCE):
                rows = db.execute(query.where(receipts.c.source_uid.in_(some)))
                paid.update((row.source_uid, row.source_digest) for row in rows)
        return [one for one in these if (one.arrival.sop_instance_uid, one.digest) not in paid]

    def on_their_way(self, keys: Collection[SeriesKey], destination: str) -> Sequence[Job]:
        """Give the jobs that send these Series to a destination as they are, and are not over."""
        query = select(jobs).where(
            jobs.c.study_instance_uid.in_({key.study_instance_uid for key in keys}),
            jobs.c.series_instance_uid.in_({key.series_instance_uid for key in keys}),
            jobs.c.kind == Kind.FORWARD,
            jobs.c.target == destination,
            jobs.c.profile == "",
            jobs.c.state.in_(_OWED),
        )
        with self._database.read() as db:
            return [job_of(row) for row in db.execute(query.order_by(jobs.c.id))]

    def is_settling(self, study_instance_uid: str) -> bool:
        """Whether a rule may yet be asked about a Study, or about a Series of it from outside."""
        news = exists().where(
            series.c.study_instance_uid == study_instance_uid,
            series.c.origin != Origin.AI,
            series.c.open,
        )
        whole = exists().where(studies.c.study_instance_uid == study_instance_uid, studies.c.open)
        with self._database.read() as db:
            return bool(db.scalar(select(or_(news, whole))))

    def is_result(self, key: SeriesKey) -> bool:
        """Whether a Series was made here by a model."""
        this = exists().where(
            series.c.study_instance_uid == key.study_instance_uid,
            series.c.series_instance_uid == key.series_instance_uid,
            series.c.origin == Origin.AI,
        )
        with self._database.read() as db:
            return bool(db.scalar(select(this)))
