"""How jobs stand in their table: rows made of them, and made into them again."""

from dataclasses import asdict
from typing import Final

from sqlalchemy import ColumnElement, Row

from dicom.entity import SeriesKey
from routing.job import CLOSED_WINDOW, Job, Kind, NewJob, State
from storage.ledger.events import NewEvent
from storage.ledger.schema import jobs

WAITS_FOR_HOURS: Final = "waits for the hours of its rule"


def new_row(
    job: NewJob, now: float, *, state: State = State.WAITING, fault: str = "", words: str = ""
) -> dict[str, object]:
    """Give the row of a job that is owed from now on, or from when its rule's hours begin."""
    if job.not_before > now:
        fault, words = fault or CLOSED_WINDOW, words or WAITS_FOR_HOURS
    return {
        "kind": job.kind,
        **asdict(job.series),
        "revision": job.revision,
        "rule": job.rule,
        "target": job.target,
        "profile": job.profile,
        "digest": job.digest,
        "dedup_key": job.dedup_key,
        "lane": job.lane,
        "state": state,
        "attempts": 0,
        "fence": 0,
        "not_before": max(now, job.not_before),
        "owner": "",
        "fault": fault,
        "words": words,
        "created_at": now,
        "updated_at": now,
        "priority": job.priority,
    }


def job_of(row: Row[tuple[object, ...]]) -> Job:
    """Make the Job of a row of the job table."""
    m = row._mapping  # noqa: SLF001  (SQLAlchemy's public name for it)
    spec = NewJob(
        Kind(m["kind"]),
        SeriesKey(m["study_instance_uid"], m["series_instance_uid"]),
        m["revision"],
        m["rule"],
        m["target"],
        m["profile"],
        m["digest"],
        m["priority"],
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
        failing_since=m["failing_since"],
        losses=m["losses"],
    )


def claimed(job: Job) -> tuple[ColumnElement[bool], ...]:
    """Match a running job as long as the worker that has it is the one that claimed it."""
    return (jobs.c.id == job.id, jobs.c.state == State.RUNNING, jobs.c.fence == job.fence)


def told(kind: str, job: Job, code: str, words: str) -> NewEvent:
    """Make the event about something that happened to a job."""
    facts = {
        "job": job.id,
        "kind": str(job.spec.kind),
        "rule": job.spec.rule,
        "target": job.spec.target,
        "attempts": job.attempts,
        "fault": code,
        "words": words,
    }
    return NewEvent(kind, job.spec.series.series_instance_uid, facts)
