"""Targets that a person paused: what they are owed waits, without losing attempts or order."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import delete, select

from storage.ledger import events
from storage.ledger.database import Database
from storage.ledger.schema import pauses

PAUSED: Final = "penumbra.target.paused"
RESUMED: Final = "penumbra.target.resumed"


@dataclass(frozen=True, slots=True)
class Pause:
    """Who paused a destination or a model, when and why."""

    target: str
    by: str
    reason: str
    at: float


class Pauses:
    """Pause and resume; workers ask before they claim a job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, pause: Pause) -> bool:
        """Pause a target, and tell; False where it is paused already, and stays as it was."""
        with self._database.write() as db:
            if db.scalar(select(pauses.c.target).where(pauses.c.target == pause.target)):
                return False
            row = {"target": pause.target, "by": pause.by, "reason": pause.reason, "at": pause.at}
            db.execute(pauses.insert().values(row))
            told = {"by": pause.by, "reason": pause.reason}
            events.record(db, [events.NewEvent(PAUSED, pause.target, told)], pause.at)
            return True

    def remove(self, target: str, by: str, now: float) -> bool:
        """Let a target have its jobs again, and tell; False where it was not paused."""
        with self._database.write() as db:
            gone = db.execute(delete(pauses).where(pauses.c.target == target)).rowcount
            if gone:
                events.record(db, [events.NewEvent(RESUMED, target, {"by": by})], now)
            return bool(gone)

    def list(self) -> list[Pause]:
        """Give what is paused, by name."""
        query = select(pauses).order_by(pauses.c.target)
        with self._database.read() as db:
            return [Pause(**row) for row in db.execute(query).mappings()]
