"""How many Instances of a Series or a Study somebody announced, and which."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, select, update

from dicom.entity import Origin
from storage.ledger.database import Database
from storage.ledger.expectations_schema import expected, expected_instances
from storage.ledger.schema import series
from storage.ledger.settling_schema import studies


@dataclass(frozen=True, slots=True)
class Expected:
    """An announcement: so many Instances are to be there."""

    study_instance_uid: str
    series_instance_uid: str
    """Empty for the whole Study."""
    source: str
    """Who said so: "commitment", "mpps" or "query"."""
    count: int
    sop_instance_uids: tuple[str, ...] = ()
    """Where they were named."""


class Expectations:
    """Note what was announced; settling waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, announced: Sequence[Expected], now: float) -> None:
        """Write announcements down; a later word of the same source about the same replaces it."""
        if not announced:
            return
        with self._database.write() as db:
            for one in announced:
                _forget(db, one)
                _add(db, one, now)
                _have_looked_at(db, one)

    def of_study(self, study_instance_uid: str) -> list[Expected]:
        """Give what was announced of a Study and of its Series, oldest first."""
        query = (
            select(expected)
            .where(expected.c.study_instance_uid == study_instance_uid)
            .order_by(expected.c.id)
        )
        with self._database.read() as db:
            latest = {
                (row["series_instance_uid"], row["source"]): Expected(
                    row["study_instance_uid"],
                    row["series_instance_uid"],
                    row["source"],
                    row["count"],
                    _names(db, row["id"]),
                )
                for row in db.execute(query).mappings().all()
            }
        return list(latest.values())


def _forget(db: Connection, one: Expected) -> None:
    earlier = (
        expected.c.study_instance_uid == one.study_instance_uid,
        expected.c.series_instance_uid == one.series_instance_uid,
        expected.c.source == one.source,
    )
    ids = db.scalars(select(expected.c.id).where(*earlier)).all()
    db.execute(delete(expected_instances).where(expected_instances.c.expected.in_(ids)))
    db.execute(delete(expected).where(expected.c.id.in_(ids)))


def _add(db: Connection, one: Expected, now: float) -> None:
    names = tuple(dict.fromkeys(one.sop_instance_uids))
    row = {
        "study_instance_uid": one.study_instance_uid,
        "series_instance_uid": one.series_instance_uid,
        "source": one.source,
        "count": max(one.count, len(names)),
        "named": len(names),
        "noted_at": now,
    }
    made = db.execute(expected.insert().values(row)).inserted_primary_key
    if names and made is not None:
        named = [{"expected": made[0], "sop_instance_uid": name} for name in names]
        db.execute(expected_instances.insert(), named)


def _have_looked_at(db: Connection, one: Expected) -> None:
    study = series.c.study_instance_uid == one.study_instance_uid
    which = [study, series.c.open, series.c.origin != Origin.AI]
    if one.series_instance_uid:
        which.append(series.c.series_instance_uid == one.series_instance_uid)
    db.execute(update(series).where(*which).values(look_at=0))
    this = studies.c.study_instance_uid == one.study_instance_uid
    db.execute(update(studies).where(this, studies.c.open).values(look_at=0))


def _names(db: Connection, expected_id: int) -> tuple[str, ...]:
    query = (
        select(expected_instances.c.sop_instance_uid)
        .where(expected_instances.c.expected == expected_id)
        .order_by(expected_instances.c.sop_instance_uid)
    )
    return tuple(db.scalars(query))
