"""The outbox: what happened, written with the change itself, published afterwards."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Row, func, select, update

from storage.ledger.database import Database
from storage.ledger.schema import events


@dataclass(frozen=True, slots=True)
class NewEvent:
    """Something worth telling: a type, what it is about (a UID or a name), and plain facts."""

    type: str
    subject: str
    data: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it stands in the outbox; ids grow with time."""

    id: int
    type: str
    subject: str
    data: Mapping[str, object]
    at: float


def record(db: Connection, happened: Sequence[NewEvent], now: float) -> None:
    """Write events in the caller's transaction."""
    if happened:
        db.execute(
            events.insert(),
            [
                {
                    "type": e.type,
                    "subject": e.subject,
                    "data": dict(e.data),
                    "at": now,
                    "published": False,
                }
                for e in happened
            ],
        )


class Outbox:
    """Read events in order, and mark those that the broker has acknowledged."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = database.turn("outbox")
        self._news = threading.Event()

    def notify(self) -> None:
        """Wake whoever waits for events of this process."""
        self._news.set()

    def wait(self, timeout_s: float) -> bool:
        """Wait until notified; other processes' events are found when the time is up."""
        told = self._news.wait(timeout_s)
        self._news.clear()
        return told

    def after(self, event_id: int, limit: int) -> list[Event]:
        """Give events with a greater id, oldest first."""
        return self._select(events.c.id > event_id, limit)

    def unpublished(self, limit: int) -> list[Event]:
        """Give events that no broker has acknowledged, oldest first.

        Of several nodes that share a ledger one publishes for all, as long as it lives; the others
        are given none.
        """
        if not self._turn.is_ours():
            return []
        return self._select(events.c.published.is_(False), limit)

    def _select(self, condition: ColumnElement[bool], limit: int) -> list[Event]:
        query = select(events).where(condition).order_by(events.c.id).limit(limit)
        with self._database.read() as db:
            return [_event(row) for row in db.execute(query)]

    def mark_published(self, ids: Sequence[int]) -> None:
        """Note that the broker has these events."""
        with self._database.write() as db:
            db.execute(update(events).where(events.c.id.in_(ids)).values(published=True))

    def record(self, happened: Sequence[NewEvent], now: float) -> None:
        """Write events in a transaction of their own, where no other change goes with them."""
        with self._database.write() as db:
            record(db, happened, now)
        self.notify()

    def rest(self) -> None:
        """Let another node publish; who asks for more may get the turn again."""
        self._turn.give_up()

    def last_id(self) -> int:
        """Give the newest event's id; 0 when nothing has happened."""
        with self._database.read() as db:
            return db.scalar(select(func.max(events.c.id))) or 0


def _event(row: Row[tuple[object, ...]]) -> Event:
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    return Event(m["id"], m["type"], m["subject"], m["data"], m["at"])
