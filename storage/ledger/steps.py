"""Performed procedure steps: UIDs and states alone, nothing about the patient."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, select, update

from dicom.mpps import Change, PerformedSeries, Status, Step, changed
from dicom.normalized import DuplicateInstance, NoSuchInstance, ResourceLimitation
from storage.ledger import events, worklist_steps
from storage.ledger.database import Database
from storage.ledger.steps_schema import steps

MOST_OPEN: Final = 10_000
"""A peer that has so many steps in progress is told to end some: its rows are not for ever."""


class Steps:
    """Create steps and change them, each in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, sop_instance_uid: str, step: Step, peer: str, now: float) -> None:
        """Write a step down.

        Raises DuplicateInstance where its UID is known, ResourceLimitation where the peer has too
        many in progress.
        """
        with self._database.write() as db:
            if _find(db, sop_instance_uid) is not None:
                raise DuplicateInstance("a step of this SOP Instance UID is there")
            mine = (steps.c.peer == peer, steps.c.status == Status.IN_PROGRESS)
            if (db.scalar(select(func.count()).where(*mine)) or 0) >= MOST_OPEN:
                raise ResourceLimitation(f"{MOST_OPEN} steps of this peer are in progress")
            db.execute(
                steps.insert().values(
                    sop_instance_uid=sop_instance_uid,
                    peer=peer,
                    studies=list(step.studies),
                    created_at=now,
                    **_values(step, now),
                )
            )
            worklist_steps.begun(db, sop_instance_uid, step, now)

    def change(self, sop_instance_uid: str, by: Change, now: float) -> Step:
        """Change a step, and give it as it is now.

        Raises NoSuchInstance for an unknown one, and what `mpps.changed` raises.
        """
        with self._database.write() as db:
            row = _find(db, sop_instance_uid)
            if row is None:
                raise NoSuchInstance("no step of this SOP Instance UID was created here")
            after = changed(_step(row), by)
            this = steps.c.sop_instance_uid == sop_instance_uid
            db.execute(update(steps).where(this).values(**_values(after, now)))
            worklist_steps.changed(
                db, sop_instance_uid, after, now, is_wrong_entry=by.is_wrong_entry
            )
            if after.status is not Status.IN_PROGRESS:
                events.record(db, [_over(sop_instance_uid, row.peer, after)], now)
            return after

    def forget(self, untouched_since: float) -> None:
        """Drop steps of which nothing was heard for long, over or not."""
        with self._database.write() as db:
            db.execute(delete(steps).where(steps.c.updated_at < untouched_since))

    def get(self, sop_instance_uid: str) -> Step | None:
        """Give a step."""
        this = select(steps).where(steps.c.sop_instance_uid == sop_instance_uid)
        with self._database.read() as db:
            row = db.execute(this).one_or_none()
            return None if row is None else _step(row)


def _find(db: Connection, sop_instance_uid: str) -> Row[Any] | None:
    this = select(steps).where(steps.c.sop_instance_uid == sop_instance_uid)
    return db.execute(this.with_for_update()).one_or_none()


def _values(step: Step, now: float) -> Mapping[str, object]:
    return {
        "status": step.status,
        "series": [[each.series_instance_uid, each.sop_instance_uids] for each in step.series],
        "has_ended": step.has_ended,
        "updated_at": now,
    }


def _step(row: Row[Any]) -> Step:
    return Step(
        Status(row.status),
        tuple(row.studies),
        tuple(PerformedSeries(series, tuple(instances)) for series, instances in row.series),
        row.has_ended,
    )


def _over(sop_instance_uid: str, peer: str, step: Step) -> events.NewEvent:
    facts = {
        "studies": list(step.studies),
        "peer": peer,
        "series": len(step.series),
        "instances": sum(len(each.sop_instance_uids) for each in step.series),
    }
    return events.NewEvent(f"penumbra.mpps.{step.status.lower()}", sop_instance_uid, facts)
