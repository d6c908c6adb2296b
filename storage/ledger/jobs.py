"""The work table: who owes what, who is at it, and how it ended.

Each move is one transaction that checks the state it starts from (routing/job.py's table) and,
for a worker's outcome, the fence of its claim: a worker that lost its lease changes nothing.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Connection, Row, exists, func, select, update

from dicom.errors import Fault
from routing import terms as routing_terms
from routing.job import CLOSED_WINDOW, TARGETLESS, Job, Kind, Move, NewJob, State, sources, target
from routing.terms import Terms
from storage.ledger import breakers, claims, events, proven
from storage.ledger.bytes_at import holders
from storage.ledger.database import Database, node_of
from storage.ledger.job_rows import claimed, job_of, new_row, told
from storage.ledger.schema import jobs

CLOCK_SLACK_S = 60.0
"""Rows from further in the future were written by a clock that has been set back since."""


def insert(
    db: Connection,
    new: Sequence[NewJob],
    now: float,
    *,
    state: State = State.WAITING,
    fault: str = "",
    words: str = "",
) -> None:
    """Write jobs in the caller's transaction; one that is already written stays as it is."""
    here = node_of(db)
    for job in new:
        row = new_row(job, now, state=state, fault=fault, words=words)
        for number, node in enumerate(holders(db, job, here)):
            key = f"{job.dedup_key}|{node}" if number else job.dedup_key
            if db.scalar(select(exists().where(jobs.c.dedup_key == key))):
                continue
            db.execute(jobs.insert().values({**row, "node": node, "dedup_key": key}))


class Jobs:
    """Claim, renew, end, and look at jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(
        self,
        owner: str,
        kinds: Collection[Kind],
        now: float,
        lease_s: float,
        terms: Terms = routing_terms.NONE,
        *,
        is_busy: bool = False,
    ) -> Job | None:
        """Take the first job of these kinds that is due and may be given out; None without one.

        More priority goes first, then what has waited longest. Not given out is what another of
        its lane runs beside, and what a paused or dead target is owed, or what `terms` rules out.
        `is_busy`: there was one just before, so that there is mostly another; who is idle looks
        without holding up whoever writes.
        """
        if not is_busy and not claims.is_there(self._database, kinds, now, terms):
            return None
        return claims.claim(self._database, owner, kinds, now, lease_s, terms=terms)

    def renew(self, job: Job, now: float, lease_s: float) -> bool:
        """Keep a running job; False when it was taken away in between."""
        with self._database.write() as db:
            kept = db.execute(update(jobs).where(*claimed(job)).values(lease_until=now + lease_s))
            return kept.rowcount == 1

    def finish(
        self,
        job: Job,
        now: float,
        happened: Sequence[events.NewEvent] = (),
        words: str = "",
        follow_up: Sequence[NewJob] = (),
        *,
        is_answer: bool = True,
        paid: proven.Proven | None = None,
    ) -> bool:
        """Note that a job is done, and what is owed now that it is.

        Both or neither; False, and no follow-up, when the worker's lease had run out.
        `is_answer`: whether the target took part, and so is there. `paid` is written in any case:
        what was delivered is delivered, whoever has the job now.
        """
        with self._database.write() as db:
            if paid is not None:
                proven.record(db, paid)
            if not _end(db, job, Move.FINISH, now, fault="", words=words):
                return False
            if is_answer and job.spec.kind not in TARGETLESS:
                breakers.note_done(db, job.spec.target, now)
            insert(db, follow_up, now)
            events.record(db, happened, now)
            return True

    def postpone(
        self, job: Job, fault: Fault, now: float, wait_s: float, *, chance: float | None = None
    ) -> bool:
        """Put a job back to be tried again after a wait.

        With `chance`, uniform in [0, 1), its target is blamed, which answers when it is asked.
        """
        since = now if job.failing_since is None else job.failing_since
        values = {"not_before": now + wait_s, "failing_since": since}
        with self._database.write() as db:
            if not _end(db, job, Move.POSTPONE, now, fault=fault.code, words=str(fault), **values):
                return False
            if chance is not None:
                breakers.note_failed(db, job, fault, now, chance, is_there=True)
            said = told("penumbra.job.postponed", job, fault.code, str(fault))
            events.record(db, [said], now)
            return True

    def put_back(self, job: Job, fault: Fault, now: float, chance: float) -> bool:
        """Put a job back whose target does not answer: it keeps its attempts and its place."""
        values = {"fault": fault.code, "words": str(fault), "attempts": job.attempts - 1}
        with self._database.write() as db:
            if not _end(db, job, Move.RELEASE, now, **values):
                return False
            breakers.note_failed(db, job, fault, now, chance, is_there=False)
            return True

    def hold(self, job: Job, code: str, words: str, now: float) -> bool:
        """Set a job aside for a person, with the reason."""
        with self._database.write() as db:
            if not _end(db, job, Move.HOLD, now, fault=code, words=words):
                return False
            events.record(db, [told("penumbra.job.held", job, code, words)], now)
            return True

    def release(
        self, job: Job, now: float, *, not_before: float | None = None, words: str = ""
    ) -> bool:
        """Give a job back unfinished, without counting the attempt.

        The worker is stopping; or, with `not_before`, somebody else has to act first.
        """
        at = now if not_before is None else not_before
        values = {"not_before": at, "attempts": job.attempts - 1, "fault": "", "words": words}
        with self._database.write() as db:
            return _end(db, job, Move.RELEASE, now, **values)

    def give_back(self, owner: str, since: float, now: float) -> int:
        """Put back what a worker has without knowing it: a claim whose answer was lost.

        It was made no earlier than `since`. It costs neither an attempt nor a loss. Returns the
        number of jobs.
        """
        state = jobs.c.state == State.RUNNING
        mine = (state, jobs.c.owner == owner, jobs.c.updated_at >= since)
        values = {"state": target(Move.RELEASE), "owner": "", "lease_until": None}
        with self._database.write() as db:
            given = update(jobs).where(*mine).values(attempts=jobs.c.attempts - 1, updated_at=now)
            return db.execute(given.values(**values)).rowcount

    def expire(self, now: float, attempts: int, *, owner: str | None = None) -> int:
        """Put back the jobs of workers that fell silent, or of one that is known to be dead.

        A job over which `attempts` workers died is held: it may be what kills them.
        """
        lost: list[ColumnElement[bool]] = [jobs.c.state == State.RUNNING]
        lost.append(jobs.c.lease_until < now if owner is None else jobs.c.owner == owner)
        with self._database.read() as db:
            if not db.scalar(select(exists().where(*lost))):
                return 0
        with self._database.write() as db:
            rows = db.execute(select(jobs).where(*lost)).all()
            for row in rows:
                _lose(db, row, now, attempts)
            return len(rows)

    def follow_clock(self, now: float, lease_s: float) -> int:
        """Mend what a clock wrote that has been set back since; returns the number of jobs.

        A lease ends in the time that it was given for, and a wait is as long as it was to be.
        Waits for the hours of a rule are moments on the wall, and stay.
        """
        ahead = jobs.c.updated_at > now + CLOCK_SLACK_S
        waits = (jobs.c.state == State.WAITING, jobs.c.fault != CLOSED_WINDOW, ahead)
        shifted = now + jobs.c.not_before - jobs.c.updated_at
        # A renewal leaves updated_at as it is.
        runs = (jobs.c.state == State.RUNNING, jobs.c.lease_until > now + lease_s + CLOCK_SLACK_S)
        with self._database.read() as db:
            if not db.scalar(select(exists().where(*waits) | exists().where(*runs))):
                return 0
        with self._database.write() as db:
            moved = db.execute(
                update(jobs).where(*waits).values(not_before=shifted, updated_at=now)
            )
            cut = db.execute(update(jobs).where(*runs).values(lease_until=now + lease_s))
            return moved.rowcount + cut.rowcount

    def follow_hours(self, now: float, terms: Terms) -> None:
        """Look afresh at jobs that wait for their rules' hours, which the config may have moved."""
        with self._database.write() as db:
            claims.wake(db, terms, now)

    def retry(self, job_id: int, now: float) -> Job | None:
        """Put a held job back with fresh attempts; None when it is not held."""
        return self._by_hand(job_id, Move.RETRY, now)

    def drop(self, job_id: int, now: float) -> Job | None:
        """Give a debt up by decision of a person; None when it is not held or waiting."""
        return self._by_hand(job_id, Move.DROP, now)

    def _by_hand(self, job_id: int, move: Move, now: float) -> Job | None:
        with self._database.write() as db:
            found = select(jobs).where(jobs.c.id == job_id, jobs.c.state.in_(sources(move)))
            moved = move_by_hand(db, db.execute(found).all(), move, now)
            return moved[0] if moved else None

    def get(self, job_id: int) -> Job | None:
        """Give one job by its id."""
        with self._database.read() as db:
            row = db.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
            return None if row is None else job_of(row)

    def list(self, states: Sequence[State], limit: int = 1000) -> list[Job]:
        """Give jobs in any of these states, oldest first."""
        query = select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.id).limit(limit)
        with self._database.read() as db:
            return [job_of(row) for row in db.execute(query)]

    def counts(self) -> dict[State, int]:
        """Count the jobs by state, every state named."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with self._database.read() as db:
            found = {State(state): count for state, count in db.execute(query)}
        return {state: found.get(state, 0) for state in State}

    def asleep(self) -> dict[str, tuple[int, float]]:
        """Count the jobs that wait for the hours of each rule, and say when they begin."""
        waits = (jobs.c.state == State.WAITING, jobs.c.fault == CLOSED_WINDOW)
        query = (
            select(jobs.c.rule, func.count(), func.min(jobs.c.not_before))
            .where(*waits)
            .group_by(jobs.c.rule)
            .order_by(jobs.c.rule)
        )
        with self._database.read() as db:
            return {rule: (count, begin) for rule, count, begin in db.execute(query)}


def move_by_hand(
    db: Connection, rows: Sequence[Row[tuple[object, ...]]], move: Move, now: float
) -> "list[Job]":
    """Move jobs as a person decides, in the caller's transaction, and tell of each."""
    before = [job_of(row) for row in rows]
    fresh = {"attempts": 0, "losses": 0, "failing_since": None, "not_before": now}
    values = fresh if move is Move.RETRY else {}
    changes = {"state": target(move), "updated_at": now, **values}
    db.execute(update(jobs).where(jobs.c.id.in_([job.id for job in before])).values(changes))
    past = {Move.RETRY: "retried", Move.DROP: "dropped"}[move]
    events.record(
        db, [told(f"penumbra.job.{past}", job, job.fault, job.words) for job in before], now
    )
    if move is Move.RETRY:
        for name in {job.spec.target for job in before if job.spec.kind not in TARGETLESS}:
            breakers.hasten(db, name, now)
    after = db.execute(select(jobs).where(jobs.c.id.in_([job.id for job in before])))
    return [job_of(row) for row in after]


def _end(db: Connection, job: Job, move: Move, now: float, **values: object) -> bool:
    """End a worker's claim; False when it was taken away in between."""
    ended = db.execute(
        update(jobs)
        .where(*claimed(job))
        .values(state=target(move), owner="", lease_until=None, updated_at=now, **values)
    )
    return ended.rowcount == 1


def _lose(db: Connection, row: Row[tuple[object, ...]], now: float, attempts: int) -> None:
    """Take a job away from a worker that is gone."""
    job = job_of(row)
    losses = job.losses + 1
    is_last = losses >= attempts
    words = f"the worker died or fell silent, {losses} of {attempts} times"
    move = Move.HOLD if is_last else Move.EXPIRE
    values = {"fault": "worker-lost", "words": words, "losses": losses, "not_before": now}
    _end(db, job, move, now, **values)
    kind = "penumbra.job.held" if is_last else "penumbra.job.postponed"
    events.record(db, [told(kind, job, "worker-lost", words)], now)
