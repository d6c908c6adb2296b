"""The Series that have news, and the step that settles one: its revision and its jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select, update

from dicom.entity import Instance, Origin, SeriesKey
from routing.job import NewJob
from routing.settle import Pending, Reason
from storage.ledger import events, jobs
from storage.ledger.database import Database
from storage.ledger.intake import instance_of
from storage.ledger.schema import instances, series


@dataclass(frozen=True, slots=True)
class OpenSeries:
    """A Series with news: what judging and planning need to know of it."""

    pending: Pending
    revision: int
    """The revision that settling would make."""
    rule: str
    instances: int
    newest_id: int
    example: Instance
    """Its first Instance; rules read their attributes from its head."""


class Settling:
    """The settler's side of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(self, quiet_since: float, released: Callable[[str], bool]) -> list[OpenSeries]:
        """Give the open Series without news since a time, and every open result.

        `released` says of an association's id whether it ended in order.
        """
        query = select(series).where(
            series.c.open, (series.c.last_at <= quiet_since) | (series.c.origin == Origin.AI)
        )
        with self._database.read() as db:
            found = []
            for row in db.execute(query).all():
                mine = and_(
                    instances.c.study_instance_uid == row.study_instance_uid,
                    instances.c.series_instance_uid == row.series_instance_uid,
                    instances.c.conflict.is_(False),
                )
                new = and_(mine, instances.c.id > row.settled_to)
                senders = db.scalars(select(instances.c.association).where(new).distinct())
                pending = Pending(
                    SeriesKey(row.study_instance_uid, row.series_instance_uid),
                    Origin(row.origin),
                    row.last_at,
                    all(released(association) for association in senders),
                )
                first = select(instances).where(mine).order_by(instances.c.id).limit(1)
                found.append(
                    OpenSeries(
                        pending,
                        row.revision + 1,
                        row.rule,
                        row.instances,
                        db.scalar(select(func.max(instances.c.id)).where(mine)) or 0,
                        instance_of(db.execute(first).one()),
                    )
                )
            return found

    def settle(
        self,
        one: OpenSeries,
        reason: Reason,
        owed: Sequence[NewJob],
        now: float,
        also: Sequence[events.NewEvent] = (),
    ) -> bool:
        """Close a revision and write its jobs; False when news came in between.

        `also` is told after the event that it settled.
        """
        key = one.pending.key
        with self._database.write() as db:
            closed = db.execute(
                update(series)
                .where(
                    series.c.study_instance_uid == key.study_instance_uid,
                    series.c.series_instance_uid == key.series_instance_uid,
                    series.c.open,
                    series.c.instances == one.instances,
                )
                .values(
                    open=False,
                    revision=one.revision,
                    reason=reason,
                    settled_at=now,
                    settled_to=one.newest_id,
                )
            )
            if closed.rowcount == 0:
                return False
            jobs.insert(db, owed, now)
            facts = {
                "study": key.study_instance_uid,
                "revision": one.revision,
                "reason": str(reason),
                "instances": one.instances,
                "jobs": len(owed),
                "origin": str(one.pending.origin),
            }
            told = events.NewEvent("penumbra.series.settled", key.series_instance_uid, facts)
            events.record(db, [told, *also], now)
            return True
