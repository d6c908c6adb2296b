"""The jobs that wait for a person: counted, listed however many there are, and moved together."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, func, select

from routing.job import Move, State
from storage.ledger.database import Database
from storage.ledger.jobs import move_by_hand
from storage.ledger.schema import jobs

COLUMNS: Final = (
    "id",
    "kind",
    "rule",
    "target",
    "study_instance_uid",
    "series_instance_uid",
    "attempts",
    "fault",
    "words",
    "updated_at",
)
"""What a listed job says of itself, in this order."""
_AT_ONCE: Final = 1000
"""So many are moved in one transaction: nobody else waits long."""
_PAGE: Final = 5000


@dataclass(frozen=True, slots=True)
class Which:
    """Some of the held jobs: all of them, or those of a target, or with a fault."""

    target: str | None = None
    fault: str | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Match them in the job table."""
        found = [jobs.c.state == State.HELD]
        if self.target is not None:
            found.append(jobs.c.target == self.target)
        if self.fault is not None:
            found.append(jobs.c.fault == self.fault)
        return found


ALL: Final = Which()


@dataclass(frozen=True, slots=True)
class Group:
    """Held jobs of one target and one fault."""

    target: str
    fault: str
    count: int
    since: float
    """When the first of them was held, seconds since the epoch."""


class Held:
    """The side of whoever looks at held jobs, and decides about many at once."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def groups(self, which: Which = ALL) -> list[Group]:
        """Count held jobs by target and fault, the most first."""
        count = func.count().label("count")
        query = (
            select(jobs.c.target, jobs.c.fault, count, func.min(jobs.c.updated_at))
            .where(*which.conditions())
            .group_by(jobs.c.target, jobs.c.fault)
            .order_by(count.desc(), jobs.c.target, jobs.c.fault)
        )
        with self._database.read() as db:
            return [Group(*row) for row in db.execute(query)]

    def rows(self, which: Which = ALL, limit: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Yield held jobs as tuples of COLUMNS, by target, oldest first; few at once in memory."""
        query = select(*(jobs.c[name] for name in COLUMNS)).where(*which.conditions())
        # In the order of an index: nothing is sorted before the first is there.
        query = query.order_by(jobs.c.target, jobs.c.id).limit(limit)
        with self._database.read() as db:
            for page in db.execute(query.execution_options(yield_per=_PAGE)).partitions():
                yield from map(tuple, page)

    def move(self, move: Move, which: Which, now: float) -> int:
        """Retry or drop held jobs; returns how many. Those that come meanwhile stay held."""
        count, last = 0, 0
        with self._database.read() as db:
            newest = db.scalar(select(func.max(jobs.c.id)).where(*which.conditions())) or 0
        while True:
            mine = (*which.conditions(), jobs.c.id > last, jobs.c.id <= newest)
            query = select(jobs).where(*mine).order_by(jobs.c.id).limit(_AT_ONCE)
            with self._database.write() as db:
                rows = db.execute(query).all()
                if not rows:
                    return count
                move_by_hand(db, rows, move, now)
            count, last = count + len(rows), rows[-1].id
