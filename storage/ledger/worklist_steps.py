"""What a performed procedure step makes of the worklist's entries (PS3.4 F.7, K.2)."""

from typing import Any, Final

from sqlalchemy import Connection, Row, select, update

from dicom.mpps import Scheduled, Status, Step
from dicom.worklist import State
from storage.ledger import events
from storage.ledger.worklist_schema import entries

STARTED: Final = "penumbra.worklist.started"
COMPLETED: Final = "penumbra.worklist.completed"
DISCONTINUED: Final = "penumbra.worklist.discontinued"
RESCHEDULED: Final = "penumbra.worklist.rescheduled"
_TOLD: Final = {
    State.SCHEDULED: RESCHEDULED,
    State.STARTED: STARTED,
    State.COMPLETED: COMPLETED,
    State.DISCONTINUED: DISCONTINUED,
}


def begun(db: Connection, sop_instance_uid: str, step: Step, now: float) -> None:
    """Note, in the transaction that writes a step down, which entries it is about."""
    for scheduled in step.scheduled:
        for row in _meant(db, scheduled):
            _become(db, row, State.STARTED, sop_instance_uid, now)


def changed(
    db: Connection, sop_instance_uid: str, step: Step, now: float, *, is_wrong_entry: bool
) -> None:
    """Note how a step ended, in the transaction that writes that down.

    A step that was begun for a wrong entry leaves it to be done. An entry that a later step was
    begun for goes by that one.
    """
    if step.status is Status.IN_PROGRESS:
        return
    state = State.COMPLETED if step.status is Status.COMPLETED else State.DISCONTINUED
    if is_wrong_entry and state is State.DISCONTINUED:
        state = State.SCHEDULED
    mine = select(entries).where(entries.c.performed_step == sop_instance_uid)
    for row in db.execute(mine).all():
        _become(db, row, state, sop_instance_uid, now)


def _meant(db: Connection, scheduled: Scheduled) -> list[Row[Any]]:
    """Find the entries by Study and step; by the Study alone where it has only one."""
    of_study = select(entries).where(entries.c.study_instance_uid == scheduled.study_instance_uid)
    rows = list(db.execute(of_study.with_for_update()))
    if scheduled.step_id:
        return [row for row in rows if row.step_id == scheduled.step_id]
    return rows if len(rows) == 1 else []


def _become(db: Connection, row: Row[Any], state: State, sop_instance_uid: str, now: float) -> None:
    values = {"state": state, "performed_step": sop_instance_uid, "changed_at": now}
    db.execute(update(entries).where(entries.c.id == row.id).values(**values))
    told = {"source": row.source, "step": sop_instance_uid}
    events.record(db, [events.NewEvent(_TOLD[state], row.study_instance_uid, told)], now)
