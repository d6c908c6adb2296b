"""Pins and legal holds: what stays in the spool until a person lifts them."""

from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select, update

from storage.ledger import events
from storage.ledger.database import Database
from storage.ledger.pins_schema import pins
from storage.ledger.schema import instances, series

PINNED: Final = "penumbra.study.pinned"
UNPINNED: Final = "penumbra.study.unpinned"


@dataclass(frozen=True, slots=True)
class Pin:
    """Who keeps what, and why."""

    study_instance_uid: str
    series_instance_uid: str
    """Empty where the whole Study is meant, and what may still come of it."""
    legal_hold: bool
    reason: str
    by: str
    at: float


class Pins:
    """Pin and lift; retention looks in the transaction in which it lets go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, pin: Pin) -> int:
        """Pin, and tell; returns how many of the Instances meant have left the spool before."""
        told = {
            "by": pin.by,
            "reason": pin.reason,
            "series": pin.series_instance_uid,
            "legal_hold": pin.legal_hold,
        }
        with self._database.write() as db:
            db.execute(pins.insert().values(**asdict(pin)))
            events.record(db, [events.NewEvent(PINNED, pin.study_instance_uid, told)], pin.at)
            return _gone(db, pin.study_instance_uid, pin.series_instance_uid)

    def lift(
        self, study: str, series_uid: str, *, legal_hold: bool, by: str, reason: str, now: float
    ) -> int:
        """Lift every pin, or every legal hold, of exactly this Study or Series; returns how many.

        The other kind stays.
        """
        live = (
            pins.c.study_instance_uid == study,
            pins.c.series_instance_uid == series_uid,
            pins.c.legal_hold.is_(legal_hold),
            pins.c.lifted_at.is_(None),
        )
        values = {"lifted_at": now, "lifted_by": by, "lifted_reason": reason}
        with self._database.write() as db:
            lifted = db.execute(update(pins).where(*live).values(**values)).rowcount
            if lifted:
                told = {"by": by, "reason": reason, "series": series_uid, "legal_hold": legal_hold}
                events.record(db, [events.NewEvent(UNPINNED, study, told)], now)
            return lifted

    def list(self, study: str | None = None) -> list[Pin]:
        """Give the live pins of a Study, or all, oldest first."""
        query = select(*(pins.c[name] for name in Pin.__dataclass_fields__))
        query = query.where(pins.c.lifted_at.is_(None)).order_by(pins.c.id)
        if study is not None:
            query = query.where(pins.c.study_instance_uid == study)
        with self._database.read() as db:
            return [Pin(**row) for row in db.execute(query).mappings()]


def of_series(db: Connection, study: str, series_uid: str) -> tuple[bool, bool]:
    """Say whether a Series is pinned, and whether it is on legal hold, in the caller's eyes."""
    query = select(pins.c.legal_hold).where(
        pins.c.study_instance_uid == study,
        pins.c.series_instance_uid.in_(["", series_uid]),
        pins.c.lifted_at.is_(None),
    )
    kinds = set(db.scalars(query))
    return False in kinds, True in kinds


def pinned_series() -> ColumnElement[bool]:
    """Ask, in a query over series, whether somebody keeps it."""
    return exists().where(
        pins.c.study_instance_uid == series.c.study_instance_uid,
        or_(
            pins.c.series_instance_uid == "",
            pins.c.series_instance_uid == series.c.series_instance_uid,
        ),
        pins.c.lifted_at.is_(None),
    )


def _gone(db: Connection, study: str, series_uid: str) -> int:
    query = select(func.count()).select_from(instances)
    query = query.where(
        instances.c.study_instance_uid == study, instances.c.released_at.is_not(None)
    )
    if series_uid:
        query = query.where(instances.c.series_instance_uid == series_uid)
    return db.scalar(query) or 0
