"""The work table: who owes what, who is at it, and how it ended.

Each move is one transaction that checks the state it starts from (routing/job.py's table) and,
for a worker's outcome, the fence of its claim: a worker that lost its lease changes nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict

from sqlalchemy import ColumnElement, Connection, Row, exists, func, select, update

from dicom.entity import SeriesKey
from dicom.errors import Fault
from routing.job import Job, Kind, Move, NewJob, State, sources, target
from storage.ledger import events
from storage.ledger.database import Database
from storage.ledger.schema import jobs, pauses


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
    for job in new:
        if db.scalar(select(exists().where(jobs.c.dedup_key == job.dedup_key))):
            continue
        db.execute(
            jobs.insert().values(
                kind=job.kind,
                **asdict(job.series),
                revision=job.revision,
                rule=job.rule,
                target=job.target,
                profile=job.profile,
                digest=job.digest,
                dedup_key=job.dedup_key,
                lane=job.lane,
                state=state,
                attempts=0,
                fence=0,
                not_before=now,
                owner="",
                fault=fault,
                words=words,
                created_at=now,
                updated_at=now,
            )
        )


class Jobs:
    """Claim, renew, end, and look at jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, owner: str, kinds: Collection[Kind], now: float, lease_s: float) -> Job | None:
        """Take the oldest job that is due, of these kinds, for a free lane, of no paused target."""
        busy = jobs.alias("busy")
        due = (
            select(jobs.c.id)
            .where(
                jobs.c.state == State.WAITING,
                jobs.c.kind.in_(kinds),
                jobs.c.not_before <= now,
                ~exists().where(busy.c.lane == jobs.c.lane, busy.c.state == State.RUNNING),
                ~exists().where(pauses.c.target == jobs.c.target),
            )
            .order_by(jobs.c.not_before, jobs.c.id)
            .limit(1)
        )
        with self._database.read() as db:  # an idle worker's look takes no write lock
            if db.scalar(due) is None:
                return None
        with self._database.write() as db:
            found = db.scalar(due)
            if found is None:
                return None
            db.execute(
                update(jobs)
                .where(jobs.c.id == found)
                .values(
                    state=target(Move.CLAIM),
                    owner=owner,
                    lease_until=now + lease_s,
                    attempts=jobs.c.attempts + 1,
                    fence=jobs.c.fence + 1,
                    updated_at=now,
                )
            )
            return _job(db.execute(select(jobs).where(jobs.c.id == found)).one())

    def renew(self, job: Job, now: float, lease_s: float) -> bool:
        """Keep a running job; False when it was taken away in between."""
        with self._database.write() as db:
            kept = db.execute(update(jobs).where(*_held_by(job)).values(lease_until=now + lease_s))
            return kept.rowcount == 1

    def finish(
        self, job: Job, now: float, happened: Sequence[events.NewEvent] = (), words: str = ""
    ) -> bool:
        """Note that a job is done; False when the worker's lease had run out."""
        return self._end(job, Move.FINISH, now, happened, fault="", words=words)

    def postpone(self, job: Job, fault: Fault, now: float, wait_s: float) -> bool:
        """Put a job back to be tried again after a wait."""
        told = _told("penumbra.job.postponed", job, fault.code, str(fault))
        return self._end(
            job,
            Move.POSTPONE,
            now,
            [told],
            fault=fault.code,
            words=str(fault),
            not_before=now + wait_s,
        )

    def hold(self, job: Job, code: str, words: str, now: float) -> bool:
        """Set a job aside for a person, with the reason."""
        told = _told("penumbra.job.held", job, code, words)
        return self._end(job, Move.HOLD, now, [told], fault=code, words=words)

    def release(self, job: Job, now: float) -> bool:
        """Give a job back unfinished, without counting the attempt: the worker is stopping."""
        return self._end(job, Move.RELEASE, now, [], not_before=now, attempts=job.attempts - 1)

    def _end(
        self,
        job: Job,
        move: Move,
        now: float,
        happened: Sequence[events.NewEvent],
        **values: object,
    ) -> bool:
        with self._database.write() as db:
            ended = db.execute(
                update(jobs)
                .where(*_held_by(job))
                .values(state=target(move), owner="", lease_until=None, updated_at=now, **values)
            )
            if ended.rowcount == 1:
                events.record(db, happened, now)
            return ended.rowcount == 1

    def expire(self, now: float, attempts: int, *, owner: str | None = None) -> int:
        """Put back the jobs of workers that fell silent, or of one that is known to be dead.

        A job whose worker died `attempts` times is held: it may be what kills them.
        """
        lost: list[ColumnElement[bool]] = [jobs.c.state == State.RUNNING]
        lost.append(jobs.c.lease_until < now if owner is None else jobs.c.owner == owner)
        with self._database.read() as db:
            if not db.scalar(select(exists().where(*lost))):
                return 0
        with self._database.write() as db:
            count = 0
            for row in db.execute(select(jobs).where(*lost)).all():
                job, last = _job(row), row.attempts >= attempts
                words = f"the worker died or fell silent, attempt {job.attempts} of {attempts}"
                db.execute(
                    update(jobs)
                    .where(*_held_by(job))
                    .values(
                        state=target(Move.HOLD if last else Move.EXPIRE),
                        owner="",
                        lease_until=None,
                        not_before=now,
                        updated_at=now,
                        fault="worker-lost",
                        words=words,
                    )
                )
                kind = "penumbra.job.held" if last else "penumbra.job.postponed"
                events.record(db, [_told(kind, job, "worker-lost", words)], now)
                count += 1
            return count

    def retry(self, job_id: int, now: float) -> Job | None:
        """Put a held job back with fresh attempts; None when it is not held."""
        return self._by_hand(job_id, Move.RETRY, now, attempts=0, not_before=now)

    def drop(self, job_id: int, now: float) -> Job | None:
        """Give a debt up by decision of a person; None when it is not held or waiting."""
        return self._by_hand(job_id, Move.DROP, now)

    def _by_hand(self, job_id: int, move: Move, now: float, **values: object) -> Job | None:
        with self._database.write() as db:
            moved = db.execute(
                update(jobs)
                .where(jobs.c.id == job_id, jobs.c.state.in_(sources(move)))
                .values(state=target(move), updated_at=now, **values)
            )
            if moved.rowcount == 0:
                return None
            job = _job(db.execute(select(jobs).where(jobs.c.id == job_id)).one())
            past = {Move.RETRY: "retried", Move.DROP: "dropped"}[move]
            events.record(db, [_told(f"penumbra.job.{past}", job, job.fault, job.words)], now)
            return job

    def get(self, job_id: int) -> Job | None:
        """Give one job by its id."""
        with self._database.read() as db:
            row = db.execute(select(jobs).where(jobs.c.id == job_id)).one_or_none()
            return None if row is None else _job(row)

    def list(self, states: Sequence[State], limit: int = 1000) -> list[Job]:
        """Give jobs in any of these states, oldest first."""
        query = select(jobs).where(jobs.c.state.in_(states)).order_by(jobs.c.id).limit(limit)
        with self._database.read() as db:
            return [_job(row) for row in db.execute(query)]

    def counts(self) -> dict[State, int]:
        """Count the jobs by state, every state named."""
        query = select(jobs.c.state, func.count()).group_by(jobs.c.state)
        with self._database.read() as db:
            found = {State(state): count for state, count in db.execute(query)}
        return {state: found.get(state, 0) for state in State}


def _held_by(job: Job) -> tuple[ColumnElement[bool], ...]:
    return (jobs.c.id == job.id, jobs.c.state == State.RUNNING, jobs.c.fence == job.fence)


def _told(kind: str, job: Job, code: str, words: str) -> events.NewEvent:
    facts = {
        "job": job.id,
        "kind": str(job.spec.kind),
        "rule": job.spec.rule,
        "target": job.spec.target,
        "attempts": job.attempts,
        "fault": code,
        "words": words,
    }
    return events.NewEvent(kind, job.spec.series.series_instance_uid, facts)


def _job(row: Row[tuple[object, ...]]) -> Job:
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    spec = NewJob(
        Kind(m["kind"]),
        SeriesKey(m["study_instance_uid"], m["series_instance_uid"]),
        m["revision"],
        m["rule"],
        m["target"],
        m["profile"],
        m["digest"],
    )
    return Job(
        id=m["id"],
        spec=spec,
        state=State(m["state"]),
        attempts=m["attempts"],
        fence=m["fence"],
        not_before=m["not_before"],
        owner=m["owner"],
        fault=m["fault"],
        words=m["words"],
        created_at=m["created_at"],
        updated_at=m["updated_at"],
    )
