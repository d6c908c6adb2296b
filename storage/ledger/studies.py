"""The Studies that have news, and the step that settles one: its revision and its jobs.

A Study has news when a Series of it that came from outside has settled. Results of models are no
part of it: those that its own jobs ask for would open it for ever.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, select, update

from dicom.entity import Instance, Origin, SeriesKey
from routing.job import NewJob
from routing.settle import Completion, PendingStudy
from storage.ledger import completeness, events, jobs, unplanned
from storage.ledger.database import Database, node_of
from storage.ledger.revisions import Revision, record
from storage.ledger.schema import series
from storage.ledger.settling_schema import studies
from storage.ledger.unplanned import Unplanned

STUDY_SETTLED: Final = "penumbra.study.settled"
"""The type of the event that a Study counts as complete."""
MOST: Final = 50
"""So many Studies are looked at in one step."""


@dataclass(frozen=True, slots=True)
class StudyTraits:
    """What rules may ask of a whole Study; results of models do not count."""

    modalities: tuple[str, ...]
    series: int
    instances: int


@dataclass(frozen=True, slots=True)
class StudySeries:
    """A Series of a Study that is to be settled."""

    key: SeriesKey
    revision: int
    origin: Origin
    is_new: bool
    """Whether no revision of the Study covers this revision of it."""
    is_here: bool
    """Whether anything of it is in the spool still."""
    example: Instance


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """A Study with news: what judging needs to know of it."""

    pending: PendingStudy
    revision: int
    """The revision that settling would make."""
    traits: StudyTraits
    look_at: float
    """As it was read: another one then means that there is more news."""


class Studies:
    """The settler's side of the ledger, for Studies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(self, now: float, until: float = float("inf")) -> list[OpenStudy]:
        """Give open Studies that are worth a look now.

        What is to be looked at after `until` is given too: the clock was set back.
        """
        with self._database.read() as db:
            when = {"node": node_of(db), "now": now, "until": until}
            rows = [row for query in _WORTH_A_LOOK for row in db.execute(query, when)]
            return [_open_study(db, row) for row in rows]

    def series_of(self, study_instance_uid: str) -> list[StudySeries]:
        """Give the Series of a Study that came from outside."""
        with self._database.read() as db:
            rows = completeness.series_of(db, study_instance_uid)
            return [_study_series(db, row) for row in rows]

    def traits(self, study_instance_uid: str) -> StudyTraits:
        """Say what rules may ask of a Study, as it is now."""
        with self._database.read() as db:
            return _traits(completeness.series_of(db, study_instance_uid))

    def revision(self, study_instance_uid: str) -> int:
        """Give how often a Study has settled."""
        query = select(studies.c.revision).where(
            studies.c.study_instance_uid == study_instance_uid,
            studies.c.node == self._database.node,
        )
        with self._database.read() as db:
            return db.scalar(query) or 0

    def is_settled(self, study_instance_uid: str) -> bool:
        """Whether a Study has settled, and has had no news since."""
        query = select(studies).where(
            studies.c.study_instance_uid == study_instance_uid,
            studies.c.node == self._database.node,
        )
        with self._database.read() as db:
            row = db.execute(query).one_or_none()
        return row is not None and bool(row.revision) and not row.open

    def postpone(self, looks: Sequence[tuple[OpenStudy, float]], now: float) -> None:
        """Note that Studies need no look before a time, unless there is news of them.

        Where an Instance came at a time that is still to come, the clock was set back: from now on
        its Series has been quiet.
        """
        if not looks:
            return
        with self._database.write() as db:
            for one, at in looks:
                this = _unchanged(one, node_of(db))
                db.execute(update(studies).where(*this).values(look_at=at))
                ahead = series.c.study_instance_uid == one.pending.study_instance_uid
                if one.pending.last_at > now:
                    past_now = series.c.last_at > now
                    db.execute(update(series).where(ahead, past_now).values(last_at=now))

    def settle(
        self,
        one: OpenStudy,
        covered: Sequence[StudySeries],
        completion: Completion,
        owed: Sequence[NewJob],
        now: float,
        *,
        undecided: Sequence[Unplanned] = (),
    ) -> bool:
        """Close a revision that covers Series, and write its jobs; False when there is news.

        `undecided` are the rules that could not say whether they mean a Series.
        """
        study = one.pending.study_instance_uid
        with self._database.write() as db:
            closed = db.execute(
                update(studies)
                .where(*_unchanged(one, node_of(db)))
                .values(open=False, revision=one.revision, settled_at=now)
            )
            if closed.rowcount == 0:
                return False
            for each in covered:
                this = (
                    series.c.study_instance_uid == study,
                    series.c.series_instance_uid == each.key.series_instance_uid,
                )
                db.execute(update(series).where(*this).values(in_study=each.revision))
            jobs.insert(db, owed, now)
            key = SeriesKey(study, "")
            made = Revision(one.revision, completion, one.pending.instances, len(owed), now)
            record(db, key, made)
            facts = {"study": key.study_instance_uid, **made.facts()}
            facts["series"] = one.pending.series
            events.record(db, [events.NewEvent(STUDY_SETTLED, study, facts)], now)
            unplanned.note(db, undecided)
            return True


def _worth_a_look() -> tuple[Select[Any], Select[Any]]:
    """Select the open Studies of a node that are due, and those of times to come."""
    mine = studies.c.node == bindparam("node")
    query = select(studies).where(studies.c.open, mine).limit(MOST)
    due = query.where(studies.c.look_at <= bindparam("now")).order_by(studies.c.look_at)
    return due, query.where(studies.c.look_at > bindparam("until"))


_WORTH_A_LOOK: Final = _worth_a_look()
"""Made once, as they are asked many times a second."""


def _unchanged(one: OpenStudy, node: str) -> tuple[ColumnElement[bool], ...]:
    return (
        studies.c.node == node,
        studies.c.study_instance_uid == one.pending.study_instance_uid,
        studies.c.open,
        studies.c.look_at == one.look_at,
    )


def touch(db: Connection, study_instance_uid: str, now: float) -> None:
    """Note in the caller's transaction that a Study has news, and is worth a look."""
    node = node_of(db)
    this = (studies.c.study_instance_uid == study_instance_uid, studies.c.node == node)
    known = db.execute(update(studies).where(*this).values(open=True, look_at=now))
    if known.rowcount == 0:
        row = {"node": node, "study_instance_uid": study_instance_uid}
        db.execute(studies.insert().values(**row, revision=0, open=True, look_at=now))


def _open_study(db: Connection, row: Row[Any]) -> OpenStudy:
    rows = completeness.series_of(db, row.study_instance_uid)
    pending = completeness.pending_study(db, row.study_instance_uid, rows)
    return OpenStudy(pending, row.revision + 1, _traits(rows), row.look_at)


def _traits(rows: Sequence[Row[Any]]) -> StudyTraits:
    modalities = tuple(sorted({row.modality for row in rows if row.modality}))
    return StudyTraits(modalities, len(rows), sum(row.instances for row in rows))


def _study_series(db: Connection, row: Row[Any]) -> StudySeries:
    key = SeriesKey(row.study_instance_uid, row.series_instance_uid)
    return StudySeries(
        key,
        row.revision,
        Origin(row.origin),
        row.revision > row.in_study,
        row.released_at is None,
        completeness.example(db, key),
    )
