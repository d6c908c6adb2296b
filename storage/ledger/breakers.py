"""What all workers on all machines know of targets that do not answer; routing/breaker.py judges.

Each change is made in a transaction that holds the target's row.
"""

from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import Connection, Row, exists, func, select, update

from dicom.errors import Fault
from routing import breaker
from routing.breaker import Breaker, State
from routing.job import Job
from routing.job import State as JobState
from storage.ledger import events
from storage.ledger.breaker_schema import breakers
from storage.ledger.database import Database
from storage.ledger.schema import jobs, pauses

UNREACHABLE: Final = "penumbra.target.unreachable"
BACK: Final = "penumbra.target.back"
_BLAMING: Final = tuple(each.code for each in breaker.BLAMING)


@dataclass(frozen=True, slots=True)
class Away:
    """A target that does not answer, as long as something is owed to it."""

    breaker: Breaker
    waiting: int
    """Jobs that wait for it."""

    def facts(self) -> dict[str, object]:
        """Give what `penumbra status` shows."""
        return {
            "since": self.breaker.since,
            "fault": self.breaker.fault,
            "words": self.breaker.words,
            "waiting": self.waiting,
        }


class Breakers:
    """The side of whoever asks a target whether it is there again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, target: str) -> Breaker:
        """Give what is known of a target."""
        with self._database.read() as db:
            return find(db, target)

    def take_due(self, now: float, lease_s: float) -> Breaker | None:
        """Take a target that should be asked now; nobody else asks it while the lease lasts."""
        with self._database.read() as db:  # mostly there is none: no lock for that
            due = _due(db, now)
        for one in due:
            with self._database.write() as db:
                current = find(db, one.target, lock=True)
                if breaker.is_due(current, now):
                    taken = breaker.asked(current, now, lease_s)
                    _save(db, taken)
                    return taken
        return None

    def answered(self, target: str, fault: Fault | None, now: float, chance: float) -> bool:
        """Note what came of asking a target; returns whether its jobs are given out now."""
        with self._database.write() as db:
            before = find(db, target, lock=True)
            after = breaker.answered(before, fault, now, chance)
            _change(db, before, after, now)
            return after.state is not State.OPEN

    def list(self) -> list[Away]:
        """Give the targets that do not answer and that something is owed to, by name."""
        mine = (jobs.c.target == breakers.c.target, jobs.c.state == JobState.WAITING)
        waiting = select(func.count()).where(*mine).scalar_subquery().label("waiting")
        query = (
            select(breakers, waiting)
            .where(breakers.c.state != State.CLOSED)
            .order_by(breakers.c.target)
        )
        with self._database.read() as db:
            found = [Away(_breaker(row), row.waiting) for row in db.execute(query)]
        return [away for away in found if away.waiting]


def find(db: Connection, target: str, *, lock: bool = False) -> Breaker:
    """Give what is known of a target; with `lock` nobody else changes it in this transaction."""
    query = select(breakers).where(breakers.c.target == target)
    row = db.execute(query.with_for_update() if lock else query).one_or_none()
    return Breaker(target) if row is None else _breaker(row)


def note_failed(
    db: Connection, job: Job, fault: Fault, now: float, chance: float, *, is_there: bool
) -> None:
    """Note, in the caller's transaction, that a job failed by its target's fault."""
    before = find(db, job.spec.target, lock=True)
    after = breaker.failed(before, job.id, fault, now, chance, is_there=is_there)
    _change(db, before, after, now)


def note_done(db: Connection, target: str, now: float) -> None:
    """Note, in the caller's transaction, that a job came through."""
    before = find(db, target)
    if before.failures or before.state is not State.CLOSED:
        before = find(db, target, lock=True)
        _change(db, before, breaker.done(before), now)


def hasten(db: Connection, target: str, now: float) -> None:
    """Have a target asked at once, in the caller's transaction: somebody believes it is back."""
    waits = (breakers.c.target == target, breakers.c.state == State.OPEN)
    db.execute(update(breakers).where(*waits).values(next_at=now))


def _due(db: Connection, now: float) -> list[Breaker]:
    """Give the targets that should be asked; none that is paused, or that nothing is owed to."""
    away = breakers.c.state.in_((State.OPEN, State.PROBING))
    owed = exists().where(jobs.c.state == JobState.WAITING, jobs.c.target == breakers.c.target)
    paused = exists().where(pauses.c.target == breakers.c.target)
    query = select(breakers).where(away, owed, ~paused).order_by(breakers.c.next_at)
    found = map(_breaker, db.execute(query))
    return [one for one in found if breaker.is_due(one, now)]


def _change(db: Connection, before: Breaker, after: Breaker, now: float) -> None:
    if after == before:
        return
    _save(db, after)
    was_open, is_open = before.state is not State.CLOSED, after.state is not State.CLOSED
    if is_open and not was_open:
        facts: dict[str, object] = {"fault": after.fault, "words": after.words}
        events.record(db, [events.NewEvent(UNREACHABLE, after.target, facts)], now)
    if was_open and not is_open:
        facts = {"away_s": round(max(0.0, now - before.since), 3)}
        events.record(db, [events.NewEvent(BACK, after.target, facts)], now)
        _wake(db, after.target, now)


def _wake(db: Connection, target: str, now: float) -> None:
    """Let the jobs that failed by the target's fault go on at once."""
    mine = (jobs.c.state == JobState.WAITING, jobs.c.target == target)
    waits = (jobs.c.not_before > now, jobs.c.fault.in_(_BLAMING))
    db.execute(update(jobs).where(*mine, *waits).values(not_before=now))
    # A state that is written is told to workers on other machines (schema.py), changed or not.
    first = select(func.min(jobs.c.id)).where(*mine).scalar_subquery()
    db.execute(update(jobs).where(jobs.c.id == first).values(state=JobState.WAITING))


def _save(db: Connection, one: Breaker) -> None:
    values = {name: value for name, value in asdict(one).items() if name != "target"}
    changed = db.execute(update(breakers).where(breakers.c.target == one.target).values(values))
    if changed.rowcount == 0:
        db.execute(breakers.insert().values(target=one.target, **values))


def _breaker(row: Row[tuple[object, ...]]) -> Breaker:
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    values = {name: m[name] for name in Breaker.__dataclass_fields__}
    return Breaker(**{**values, "state": State(m["state"])})
