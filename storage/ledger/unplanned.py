"""Rules that could not say whether they mean a Series: it may owe what no job stands for.

Such a Series stays in the spool until it is planned again and every rule can say: when it opens a
revision, or when a person has the rules applied.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, select

from dicom.entity import SeriesKey
from storage.ledger import events
from storage.ledger.schema import series
from storage.ledger.unplanned_schema import unplanned

RULE_FAILED: Final = "penumbra.rule.failed"
"""The type of the event about a rule of which nobody could say whether it means a Series."""


@dataclass(frozen=True, slots=True)
class Unplanned:
    """A rule that could not say whether it means a Series, why, and since when."""

    key: SeriesKey
    rule: str
    words: str
    """Without values."""
    at: float


def note(db: Connection, found: Sequence[Unplanned]) -> None:
    """Write down in the caller's transaction what could not be said, and tell of it."""
    told: list[events.NewEvent] = []
    for one in found:
        db.execute(delete(unplanned).where(_this(one)))
        row = {**asdict(one.key), "rule": one.rule, "words": one.words, "at": one.at}
        db.execute(unplanned.insert().values(row))
        facts = {"study": one.key.study_instance_uid, "rule": one.rule, "words": one.words}
        told.append(events.NewEvent(RULE_FAILED, one.key.series_instance_uid, facts))
    if told:
        events.record(db, told, found[0].at)


def forget(db: Connection, found: Sequence[Unplanned]) -> None:
    """Forget in the caller's transaction what can be said now.

    What was written down anew since it was read stays.
    """
    for one in found:
        db.execute(delete(unplanned).where(_this(one), unplanned.c.at == one.at))


def forget_all(db: Connection, key: SeriesKey) -> None:
    """Forget what is known of a Series, in the transaction in which it is planned anew."""
    db.execute(
        delete(unplanned).where(
            unplanned.c.study_instance_uid == key.study_instance_uid,
            unplanned.c.series_instance_uid == key.series_instance_uid,
        )
    )


def of_series(db: Connection, keys: Sequence[SeriesKey]) -> list[Unplanned]:
    """Give what could not be said of Series, in the order of the rules' names."""
    query = select(unplanned).where(
        unplanned.c.study_instance_uid.in_({key.study_instance_uid for key in keys}),
        unplanned.c.series_instance_uid.in_({key.series_instance_uid for key in keys}),
    )
    return [
        Unplanned(
            SeriesKey(row.study_instance_uid, row.series_instance_uid), row.rule, row.words, row.at
        )
        for row in db.execute(query.order_by(unplanned.c.rule))
    ]


def is_unplanned() -> ColumnElement[bool]:
    """Ask, in a query over series, whether a rule could not say if it means it."""
    return exists().where(
        unplanned.c.study_instance_uid == series.c.study_instance_uid,
        unplanned.c.series_instance_uid == series.c.series_instance_uid,
    )


def _this(one: Unplanned) -> ColumnElement[bool]:
    return and_(
        unplanned.c.study_instance_uid == one.key.study_instance_uid,
        unplanned.c.series_instance_uid == one.key.series_instance_uid,
        unplanned.c.rule == one.rule,
    )
