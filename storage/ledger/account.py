"""The ledger's account for the index: what is new in its tables since an id, oldest first.

Whoever writes to the ledger takes turns (storage/ledger/database.py), so that rows become visible
in the order of their ids, and an id is all that must be remembered. Jobs change after they came:
those that are not over are asked for again by their ids.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, and_, func, select

from storage.ledger.associations_schema import associations
from storage.ledger.database import Database
from storage.ledger.inferences_schema import inferences
from storage.ledger.schema import events, instances, jobs, receipts
from storage.ledger.settling_schema import revisions

Row = dict[str, Any]

SOURCES: Final[Mapping[str, Table]] = {
    "association": associations,
    "revision": revisions,
    "job": jobs,
    "receipt": receipts,
    "event": events,
    "inference": inferences,
}
"""Each has an id that grows."""


_UNFILED: Final[Row] = {"first_received_at": None, "last_received_at": None, "filed_at": None}


@dataclass(frozen=True, slots=True)
class News:
    """What came to one table: its rows, and the id that is known now."""

    source: str
    rows: Sequence[Row]
    reached: int


class Account:
    """Reads; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(self, known: Mapping[str, int], limit: int) -> list[News]:
        """Give what is new in each table after the id that is known of it, so many at most.

        Nothing is given of a table without news. Raises StorageFault.
        """
        found: list[News] = []
        with self._database.read() as db:
            for source, table in SOURCES.items():
                new = table.c.id > known.get(source, 0)
                query = select(table).where(new).order_by(table.c.id).limit(limit)
                if rows := _rows(db.execute(query).mappings()):
                    rows = _FILLED.get(source, _as_they_are)(db, rows)
                    found.append(News(source, rows, rows[-1]["id"]))
        return found

    def jobs(self, ids: Collection[int]) -> list[Row]:
        """Give jobs as they stand now. Raises StorageFault."""
        with self._database.read() as db:
            return _rows(db.execute(select(jobs).where(jobs.c.id.in_(ids))).mappings())

    def newest(self) -> dict[str, int]:
        """Give the newest id of each table; 0 for an empty one. Raises StorageFault."""
        with self._database.read() as db:
            return {
                source: db.scalar(select(func.max(table.c.id))) or 0
                for source, table in SOURCES.items()
            }


def _rows(found: Iterable[Mapping[Any, Any]]) -> list[Row]:
    return [{str(key): value for key, value in row.items()} for row in found]


def _as_they_are(_db: Connection, rows: list[Row]) -> list[Row]:
    return rows


def _with_filing(db: Connection, rows: list[Row]) -> list[Row]:
    """Say of each revision when its first and last objects were received, and the last filed."""
    of, one = revisions.c, instances.c
    # What came after a revision belongs to the next one.
    members = and_(
        one.study_instance_uid == of.study_instance_uid,
        one.series_instance_uid == of.series_instance_uid,
        one.conflict.is_(False),
        one.received_at <= of.settled_at,
    )
    query = (
        select(
            of.id,
            func.min(one.received_at).label("first_received_at"),
            func.max(one.received_at).label("last_received_at"),
            func.max(one.filed_at).label("filed_at"),
        )
        .select_from(revisions.join(instances, members))
        .where(of.id.in_([row["id"] for row in rows]))
        .group_by(of.id)
    )
    found = {row["id"]: row for row in _rows(db.execute(query).mappings())}
    return [{**_UNFILED, **row, **found.get(row["id"], {})} for row in rows]


_FILLED: Final[Mapping[str, Callable[[Connection, list[Row]], list[Row]]]] = {
    "revision": _with_filing
}
