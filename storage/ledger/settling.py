"""The Series that have news, and the step that settles one: its revision and its jobs."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    or_,
    select,
    update,
)

from dicom.entity import Instance, Origin, SeriesKey
from routing.job import NewJob
from routing.settle import Completion, Pending, Reason, gaps, is_there
from storage.ledger import completeness, events, jobs, unplanned
from storage.ledger.database import Database, node_of
from storage.ledger.expectations_schema import expected
from storage.ledger.revisions import Revision, record
from storage.ledger.schema import jobs as work
from storage.ledger.schema import series
from storage.ledger.studies import touch
from storage.ledger.unplanned import Unplanned

MOST: Final = 100
"""So many Series are looked at in one step; the others have their turn in the next."""


@dataclass(frozen=True, slots=True)
class OpenSeries:
    """A Series with news: what judging and planning need to know of it."""

    pending: Pending
    revision: int
    """The revision that settling would make."""
    rule: str
    instances: int
    newest_id: int
    example: Instance
    """Its first Instance; rules read their attributes from its head."""
    unreleased: frozenset[str] = frozenset()
    """The associations that brought news and are not known to have been released."""


class Settling:
    """The settler's side of the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(
        self, quiet_since: float, released: Callable[[str], bool], *, until: float = float("inf")
    ) -> list[OpenSeries]:
        """Give open Series that are worth a look: without news since a time, or announced.

        `released` says of an association's id whether it ended in order. What is to be looked at
        after `until` is given too: the clock was set back.
        """
        with self._database.read() as db:
            when = {"node": node_of(db), "since": quiet_since, "until": until, "most": MOST}
            rows = [row for query in _WORTH_A_LOOK for row in db.execute(query, when)]
            return [_open_series(db, row, released) for row in rows]

    def fresh(self, since: float) -> list[tuple[SeriesKey, str]]:
        """Give the open Series with news since a time, and who sent each of them first."""
        columns = (series.c.study_instance_uid, series.c.series_instance_uid)
        query = select(*columns).where(
            series.c.open,
            series.c.last_at > since,
            series.c.origin != Origin.AI,
            series.c.node == self._database.node,
        )
        with self._database.read() as db:
            keys = [SeriesKey(*row) for row in db.execute(query.limit(MOST)).all()]
            return [(key, completeness.example(db, key).arrival.calling_ae) for key in keys]

    def postpone(self, looks: Sequence[tuple[OpenSeries, float]], now: float) -> None:
        """Note that Series without further news need no look before a time.

        Where an Instance came at a time that is still to come, the clock was set back: from now on
        its Series has been quiet.
        """
        if not looks:
            return
        later = (
            update(series)
            .where(_this(bindparam("study"), bindparam("uid")))
            .where(series.c.open, series.c.instances == bindparam("seen"))
            .values(look_at=bindparam("at"), last_at=bindparam("last"))
        )
        rows = [
            {
                "study": one.pending.key.study_instance_uid,
                "uid": one.pending.key.series_instance_uid,
                "seen": one.instances,
                "at": at,
                "last": min(one.pending.last_at, now),
            }
            for one, at in looks
        ]
        with self._database.write() as db:
            db.execute(later, rows)

    def look_again(self, keys: Collection[SeriesKey]) -> None:
        """Have Series looked at in the next step, whatever was noted of them."""
        if not keys:
            return
        now = update(series).where(_this(bindparam("study"), bindparam("uid")), series.c.open)
        rows = [{"study": key.study_instance_uid, "uid": key.series_instance_uid} for key in keys]
        with self._database.write() as db:
            db.execute(now.values(look_at=0), rows)

    def settle(
        self,
        one: OpenSeries,
        completion: Completion,
        owed: Sequence[NewJob],
        now: float,
        undecided: Sequence[Unplanned] = (),
    ) -> bool:
        """Close a revision and write its jobs; False when news came in between.

        `undecided` are the rules that could not say whether they mean it.
        """
        key = one.pending.key
        with self._database.write() as db:
            closed = db.execute(
                update(series)
                .where(_this(key.study_instance_uid, key.series_instance_uid))
                .where(series.c.open, series.c.instances == one.instances)
                .values(
                    open=False,
                    revision=one.revision,
                    reason=completion.reason,
                    settled_at=now,
                    settled_to=one.newest_id,
                )
            )
            if closed.rowcount == 0:
                return False
            jobs.insert(db, owed, now)
            unplanned.forget_all(db, key)
            made = Revision(one.revision, completion, one.instances, len(owed), now)
            record(db, key, made)
            if one.pending.origin is not Origin.AI:
                touch(db, key.study_instance_uid, now)
            if completion.reason is Reason.EXPECTED:  # with the last, all of the Study may be
                _look_at_siblings(db, key)
            facts = {"study": key.study_instance_uid, **made.facts()}
            facts["origin"] = str(one.pending.origin)
            told = events.NewEvent("penumbra.series.settled", key.series_instance_uid, facts)
            events.record(db, [told], now)
            unplanned.note(db, undecided)
            return True

    def add(
        self,
        owed: Sequence[NewJob],
        now: float,
        told: events.NewEvent,
        decided: Sequence[Unplanned] = (),
    ) -> list[NewJob]:
        """Write jobs that were planned afterwards; returns those that were not there yet.

        `decided` are the rules that could not say, and can now. Where nothing is new, nothing is
        told.
        """
        with self._database.write() as db:
            keys = work.c.dedup_key
            known = set(db.scalars(select(keys).where(keys.in_([job.dedup_key for job in owed]))))
            fresh = [job for job in owed if job.dedup_key not in known]
            jobs.insert(db, fresh, now)
            unplanned.forget(db, decided)
            events.record(db, [told] if fresh or decided else [], now)
            return fresh


def _this(study: Any, uid: Any) -> ColumnElement[bool]:
    return and_(series.c.study_instance_uid == study, series.c.series_instance_uid == uid)


def _look_at_siblings(db: Connection, key: SeriesKey) -> None:
    siblings = series.c.study_instance_uid == key.study_instance_uid
    db.execute(update(series).where(siblings, series.c.open).values(look_at=0))


def _fresh_and_announced() -> ColumnElement[bool]:
    """Choose Series with news since a time, of which it was said how many would come.

    Those that were looked at since their last news are left out.
    """
    since = bindparam("since", type_=Float)
    said = exists().where(
        expected.c.study_instance_uid == series.c.study_instance_uid,
        or_(
            expected.c.series_instance_uid == series.c.series_instance_uid,
            expected.c.series_instance_uid == "",
        ),
    )
    fresh = and_(series.c.last_at > since, series.c.look_at > since)
    return and_(fresh, series.c.look_at <= series.c.last_at, said)


def _worth_a_look() -> tuple[Select[Any], ...]:
    """Select the open Series of a node that are due, of times to come, or announced and fresh.

    One query each: an OR of them would look at every open Series.
    """
    query = select(series).where(series.c.open, series.c.node == bindparam("node"))
    query = query.limit(bindparam("most", type_=Integer))
    due = query.where(series.c.look_at <= bindparam("since")).order_by(series.c.look_at)
    ahead = query.where(series.c.look_at > bindparam("until"))
    return due, ahead, query.where(_fresh_and_announced())


_WORTH_A_LOOK: Final = _worth_a_look()
"""Made once: the settler asks them many times a second, and to make them takes longer than that."""


def _open_series(db: Connection, row: Row[Any], released: Callable[[str], bool]) -> OpenSeries:
    key = SeriesKey(row.study_instance_uid, row.series_instance_uid)
    there = completeness.members(db, key, row.settled_to)
    unreleased = frozenset(one for one in there.senders if not released(one))
    origin = Origin(row.origin)
    outside = origin is not Origin.AI
    pending = Pending(
        key,
        origin,
        row.last_at,
        not unreleased,
        row.instances,
        completeness.announced(db, *_uids(key), row.instances) if outside else (),
        gaps(there.numbers) if outside else (),
        study_is_there=outside and _study_is_there(db, key.study_instance_uid),
    )
    return OpenSeries(
        pending,
        row.revision + 1,
        row.rule,
        row.instances,
        there.newest_id,
        completeness.example(db, key),
        unreleased,
    )


def _uids(key: SeriesKey) -> tuple[str, str]:
    return key.study_instance_uid, key.series_instance_uid


def _study_is_there(db: Connection, study_instance_uid: str) -> bool:
    there = completeness.instances_of(db, study_instance_uid)
    announced = completeness.announced(db, study_instance_uid, "", there)
    return is_there(announced, there)
