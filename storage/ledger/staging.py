"""What lies in object storage so that workers beside other spools can do its jobs."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, exists, select, update

from dicom.entity import Instance, Location, SeriesKey
from routing.job import State
from storage.ledger.bytes_at import is_staged, mark_offered, staged_copy
from storage.ledger.database import Database
from storage.ledger.intake import instance_of
from storage.ledger.schema import instances, jobs
from storage.ledger.staging_schema import staged

_OPEN: Final = (State.WAITING, State.RUNNING, State.HELD)


class Staging:
    """Both sides of staging: the node that has the bytes, and whoever reads them elsewhere."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def lacking(self, key: SeriesKey) -> list[Instance]:
        """Give the Instances of a Series that lie in this node's spool and nowhere else."""
        query = select(instances).where(
            *_members(key),
            instances.c.node == self._database.node,
            instances.c.released_at.is_(None),
            ~staged_copy(),
        )
        with self._database.read() as db:
            return [instance_of(row) for row in db.execute(query.order_by(instances.c.id))]

    def is_leaving(self, key: SeriesKey) -> bool:
        """Whether something of a Series is being removed; what is staged anew waits for that."""
        leaving = exists().where(*_of(key), staged.c.leaving_at.is_not(None))
        with self._database.read() as db:
            return bool(db.scalar(select(leaving)))

    def add(self, key: SeriesKey, there: Sequence[tuple[Instance, str]], now: float) -> None:
        """Note Instances and their locations; what is noted already stays."""
        with self._database.write() as db:
            for one, location in there:
                this = _this(one.arrival.sop_instance_uid, one.digest)
                if db.scalar(select(exists().where(this))):
                    continue
                row = {
                    "sop_instance_uid": one.arrival.sop_instance_uid,
                    "digest": one.digest,
                    "study_instance_uid": key.study_instance_uid,
                    "series_instance_uid": key.series_instance_uid,
                    "location": location,
                    "staged_at": now,
                }
                db.execute(staged.insert().values(row))

    def offer(self, key: SeriesKey) -> bool:
        """Let every worker have a Series' jobs, if all of it is staged; say whether it is."""
        with self._database.write() as db:
            if not is_staged(db, key):
                return False
            mark_offered(db, key)
            return True

    def find(self, place: Location) -> tuple[str, str] | None:
        """Give digest and location of the object of a place; None where it is not staged."""
        here = and_(
            instances.c.node == place.node,
            instances.c.segment == place.segment,
            instances.c.offset == place.offset,
            staged.c.leaving_at.is_(None),
        )
        same = and_(
            staged.c.sop_instance_uid == instances.c.sop_instance_uid,
            staged.c.digest == instances.c.digest,
        )
        query = select(staged.c.digest, staged.c.location).join_from(instances, staged, same)
        with self._database.read() as db:
            row = db.execute(query.where(here)).first()
        return None if row is None else (row.digest, row.location)

    def leaving(self, now: float, limit: int) -> list[str]:
        """Choose what no job needs any more, and give the locations to remove."""
        needed = exists().where(
            jobs.c.study_instance_uid == staged.c.study_instance_uid,
            jobs.c.series_instance_uid.in_(["", staged.c.series_instance_uid]),
            jobs.c.state.in_(_OPEN),
        )
        with self._database.read() as db:
            if db.scalar(select(staged.c.digest).where(~needed).limit(1)) is None:
                return []
        with self._database.write() as db:
            rows = db.execute(select(staged).where(~needed).limit(limit)).all()
            for row in rows:
                this = _this(row.sop_instance_uid, row.digest)
                db.execute(update(staged).where(this).values(leaving_at=now))
            return [row.location for row in rows]

    def forget(self, locations: Sequence[str]) -> None:
        """Note that objects are gone from the bucket."""
        if locations:
            with self._database.write() as db:
                gone = staged.c.location.in_(locations)
                db.execute(delete(staged).where(gone, staged.c.leaving_at.is_not(None)))


def _this(sop_instance_uid: str, digest: str) -> ColumnElement[bool]:
    return and_(staged.c.sop_instance_uid == sop_instance_uid, staged.c.digest == digest)


def _of(key: SeriesKey) -> tuple[ColumnElement[bool], ...]:
    return (
        staged.c.study_instance_uid == key.study_instance_uid,
        staged.c.series_instance_uid == key.series_instance_uid,
    )


def _members(key: SeriesKey) -> tuple[ColumnElement[bool], ...]:
    return (
        instances.c.study_instance_uid == key.study_instance_uid,
        instances.c.series_instance_uid == key.series_instance_uid,
        instances.c.conflict.is_(False),
    )
