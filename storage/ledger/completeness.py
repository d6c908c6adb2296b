"""What is there of a Series or a Study, and what was announced: the facts that judging needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, RowMapping, and_, exists, func, select

from dicom.entity import Instance, Origin, SeriesKey
from routing.settle import Announced, PendingStudy
from storage.ledger.database import node_of
from storage.ledger.expectations_schema import expected, expected_instances
from storage.ledger.intake import instance_of
from storage.ledger.schema import instances, series


@dataclass(frozen=True, slots=True)
class Members:
    """What the ledger knows of a Series' Instances, those in conflict left out."""

    newest_id: int
    numbers: tuple[int | None, ...]
    """InstanceNumber of each."""
    senders: frozenset[str]
    """The associations that brought what no revision covers."""


def members(db: Connection, key: SeriesKey, settled_to: int) -> Members:
    """Read a Series' Instances, once."""
    columns = (instances.c.id, instances.c.association, instances.c.instance_number)
    found = db.execute(select(*columns).where(of_series(key))).all()
    return Members(
        max((row.id for row in found), default=0),
        tuple(row.instance_number for row in found),
        frozenset(row.association for row in found if row.id > settled_to),
    )


def example(db: Connection, key: SeriesKey) -> Instance:
    """Give a Series' first Instance, of those in the spool at hand if there are any.

    Rules read their attributes from its head.
    """
    gone = instances.c.released_at.is_not(None)
    elsewhere = instances.c.node != node_of(db)
    first = select(instances).where(of_series(key)).order_by(gone, elsewhere, instances.c.id)
    return instance_of(db.execute(first.limit(1)).one())


def of_series(key: SeriesKey) -> ColumnElement[bool]:
    """Choose the Instances of a Series, those in conflict left out."""
    return and_(
        instances.c.study_instance_uid == key.study_instance_uid,
        instances.c.series_instance_uid == key.series_instance_uid,
        instances.c.conflict.is_(False),
    )


def announced(
    db: Connection, study_instance_uid: str, series_instance_uid: str, there: int
) -> tuple[Announced, ...]:
    """Hold what was announced of a Series, or with "" of the Study, against what is there."""
    query = (
        select(expected)
        .where(
            expected.c.study_instance_uid == study_instance_uid,
            expected.c.series_instance_uid == series_instance_uid,
        )
        .order_by(expected.c.id)
    )
    latest = {row["source"]: row for row in db.execute(query).mappings().all()}
    return tuple(
        Announced(source, row["count"], _missing(db, row, there)) for source, row in latest.items()
    )


def _missing(db: Connection, row: RowMapping, there: int) -> int:
    unseen = _unseen(db, row["id"]) if row["named"] else 0
    if row["named"] == row["count"]:  # some of them may be of another Series
        return unseen
    uncounted: int = row["count"] - there
    return max(uncounted, unseen)


def _unseen(db: Connection, expected_id: int) -> int:
    """Count what was named and is not there."""
    named = expected_instances.c
    here = exists().where(
        instances.c.sop_instance_uid == named.sop_instance_uid,
        instances.c.series_instance_uid != "",
    )
    query = select(func.count()).select_from(expected_instances)
    return db.scalar(query.where(named.expected == expected_id, ~here)) or 0


def series_of(db: Connection, study_instance_uid: str) -> Sequence[Row[Any]]:
    """Give the rows of a Study's Series from outside: results of models are no part of it."""
    query = select(series).where(
        series.c.study_instance_uid == study_instance_uid,
        series.c.origin != Origin.AI,
        series.c.node == node_of(db),
    )
    return db.execute(query.order_by(series.c.series_instance_uid)).all()


def instances_of(db: Connection, study_instance_uid: str) -> int:
    """Count a Study's Instances from outside."""
    mine = (series.c.study_instance_uid == study_instance_uid, series.c.origin != Origin.AI)
    return db.scalar(select(func.sum(series.c.instances)).where(*mine)) or 0


def pending_study(
    db: Connection, study_instance_uid: str, rows: Sequence[Row[Any]]
) -> PendingStudy:
    """Say what judging needs to know of a Study with these Series.

    What was announced is held against what came in over all nodes.
    """
    there = instances_of(db, study_instance_uid)
    return PendingStudy(
        study_instance_uid,
        sum(row.open for row in rows),
        len(rows),
        there,
        max((row.last_at for row in rows), default=0.0),
        announced(db, study_instance_uid, "", there),
    )
