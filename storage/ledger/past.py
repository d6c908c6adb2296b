"""What became of Series: for looking back, and for asking what other rules would have made."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, select, tuple_

from dicom.entity import Instance, Origin, SeriesKey
from routing.job import Job, Kind, NewJob
from routing.plan import PLANNED
from storage.ledger import completeness, unplanned
from storage.ledger.database import Database
from storage.ledger.job_rows import job_of
from storage.ledger.schema import jobs, series
from storage.ledger.unplanned import Unplanned

_PAGE: Final = 500
"""So many Series are read in one transaction."""


@dataclass(frozen=True, slots=True)
class PastSeries:
    """A Series as the ledger has it, and what its last revision owed."""

    key: SeriesKey
    modality: str
    origin: Origin
    rule: str
    """For a result: the rule that asked for it."""
    revision: int
    """0 while it has never settled."""
    instances: int
    settled_at: float | None
    example: Instance
    """Its first Instance; rules read their attributes from its head."""
    jobs: tuple[NewJob, ...]
    undecided: tuple[Unplanned, ...] = ()
    """Rules that could not say whether they mean it, when it was planned last."""


class Past:
    """Looks back in a ledger; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def settled_since(self, since: float) -> Iterator[PastSeries]:
        """Yield each Series whose last revision settled at a time or later, by their UIDs."""
        return self._pages(series.c.settled_at >= since)

    def of_study(self, study_instance_uid: str) -> Iterator[PastSeries]:
        """Yield each Series of a Study, settled or not."""
        return self._pages(series.c.study_instance_uid == study_instance_uid)

    def jobs_of_study(self, study_instance_uid: str) -> list[Job]:
        """Give every job of a Study as it stands, oldest first."""
        query = select(jobs).where(jobs.c.study_instance_uid == study_instance_uid)
        with self._database.read() as db:
            return [job_of(row) for row in db.execute(query.order_by(jobs.c.id))]

    def _pages(self, which: ColumnElement[bool]) -> Iterator[PastSeries]:
        last = "", ""
        while page := self._page(which, last):
            yield from page
            key = page[-1].key
            last = key.study_instance_uid, key.series_instance_uid

    def _page(self, which: ColumnElement[bool], last: tuple[str, str]) -> list[PastSeries]:
        study, uid = series.c.study_instance_uid, series.c.series_instance_uid
        behind = tuple_(study, uid) > tuple_(*last)
        query = select(series).where(which, behind).order_by(study, uid).limit(_PAGE)
        with self._database.read() as db:
            rows = db.execute(query).all()
            keys = [SeriesKey(row.study_instance_uid, row.series_instance_uid) for row in rows]
            owed, undecided = _jobs(db, keys), unplanned.of_series(db, keys)
            return [_past(db, row, owed, undecided) for row in rows]


def _jobs(db: Connection, keys: Sequence[SeriesKey]) -> Mapping[SeriesKey, list[NewJob]]:
    """Give the jobs of Series, of every revision, in the order in which they were made."""
    query = select(jobs).where(
        jobs.c.study_instance_uid.in_({key.study_instance_uid for key in keys}),
        jobs.c.series_instance_uid.in_({key.series_instance_uid for key in keys}),
    )
    found: dict[SeriesKey, list[NewJob]] = {}
    for row in db.execute(query.order_by(jobs.c.id)):
        key = SeriesKey(row.study_instance_uid, row.series_instance_uid)
        job = NewJob(Kind(row.kind), key, row.revision, row.rule, row.target, row.profile)
        if job.kind in PLANNED:
            found.setdefault(key, []).append(job)
    return found


def _past(
    db: Connection,
    row: Row[Any],
    owed: Mapping[SeriesKey, Sequence[NewJob]],
    undecided: Sequence[Unplanned],
) -> PastSeries:
    key = SeriesKey(row.study_instance_uid, row.series_instance_uid)
    return PastSeries(
        key,
        row.modality,
        Origin(row.origin),
        row.rule,
        row.revision,
        row.instances,
        row.settled_at,
        completeness.example(db, key),
        tuple(job for job in owed.get(key, ()) if job.revision == row.revision),
        tuple(one for one in undecided if one.key == key),
    )
