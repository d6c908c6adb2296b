"""Which Instances still have their bytes in the spool, and letting go of those that may leave.

What was let go stays on record: the row, its receipts, and when. The decision itself is
routing/retention.py's; here it is made in the transaction that writes it down, so that no job, no
pin and no late Instance can come in between.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    and_,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from dicom.attributes import Level
from dicom.entity import SeriesKey
from dicom.errors import StorageFault
from routing.job import Kind, State
from routing.retention import Debt, Holding, Proof, Standing
from storage.ledger import pins, unplanned
from storage.ledger.database import Database
from storage.ledger.schema import instances, jobs, receipts, series
from storage.ledger.settling_schema import studies

_PAGE: Final = 500
_OWED: Final = (State.WAITING, State.RUNNING, State.HELD)
_UIDS: Final = {
    Level.STUDY: instances.c.study_instance_uid,
    Level.SERIES: instances.c.series_instance_uid,
    Level.IMAGE: instances.c.sop_instance_uid,
}
_RANK: Final = func.coalesce(series.c.asked_at, series.c.last_at)
_SAME_SERIES: Final = and_(
    instances.c.study_instance_uid == series.c.study_instance_uid,
    instances.c.series_instance_uid == series.c.series_instance_uid,
)
_SAME: Final = and_(
    receipts.c.source_uid == instances.c.sop_instance_uid,
    receipts.c.source_digest == instances.c.digest,
)


class Released(StorageFault):
    """The bytes left the spool after they were proven elsewhere."""

    code = "released"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A Series of which something may leave, and when somebody last wanted it."""

    key: SeriesKey
    rank: float


@dataclass(frozen=True, slots=True)
class LetGo:
    """What one decision let go."""

    instances: int = 0
    size_bytes: int = 0


Decide = Callable[[Standing], Collection[int]]
"""Names the Instances that leave, by their ids."""


class Holdings:
    """Retention's side of the ledger, as far as Series go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def candidates(self, after: Candidate | None, limit: int) -> list[Candidate]:
        """Give Series that nothing keeps as a whole, the least recently asked for first."""
        study, uid = series.c.study_instance_uid, series.c.series_instance_uid
        owed = exists().where(
            jobs.c.study_instance_uid == study,
            jobs.c.series_instance_uid.in_(["", uid]),
            jobs.c.state.in_(_OWED),
            jobs.c.kind != Kind.INTAKE,
        )
        unsettled = exists().where(studies.c.study_instance_uid == study, studies.c.open)
        query = select(study, uid, _RANK.label("rank")).where(
            series.c.open.is_(False),
            series.c.released_at.is_(None),
            ~unsettled,
            ~owed,
            ~pins.pinned_series(),
            ~unplanned.is_unplanned(),
        )
        if self._database.node:  # others have Series of their own in this ledger
            query = query.where(exists().where(self._here(), _SAME_SERIES))
        if after is not None:
            query = query.where(_behind(after))
        query = query.order_by(_RANK, study, uid).limit(limit)
        with self._database.read() as db:
            return [Candidate(SeriesKey(row[0], row[1]), row.rank) for row in db.execute(query)]

    def present(self, study: str | None = None) -> Iterator[SeriesKey]:
        """Give the Series, of a Study or all, that have bytes in the spool."""
        key = series.c.study_instance_uid, series.c.series_instance_uid
        query = select(*key).where(series.c.released_at.is_(None)).order_by(*key).limit(_PAGE)
        if study is not None:
            query = query.where(series.c.study_instance_uid == study)
        last = "", ""
        while True:
            with self._database.read() as db:
                page = db.execute(query.where(tuple_(*key) > tuple_(*last))).all()
            if not page:
                return
            yield from (SeriesKey(*row) for row in page)
            last = page[-1][0], page[-1][1]

    def standing(self, key: SeriesKey) -> Standing | None:
        """Say how a Series stands; None where the ledger does not know it."""
        with self._database.read() as db:
            return self._standing(db, key)

    def let_go(self, key: SeriesKey, decide: Decide, now: float) -> LetGo:
        """Look once more, decide, and note what leaves, in one transaction."""
        with self._database.write() as db:
            standing = self._standing(db, key)
            if standing is None:
                return LetGo()
            chosen = set(decide(standing))
            leaving = [one for one in standing.holdings if one.id in chosen]
            for start in range(0, len(leaving), _PAGE):
                ids = [one.id for one in leaving[start : start + _PAGE]]
                these = update(instances).where(instances.c.id.in_(ids))
                db.execute(these.values(released_at=now))
            left = exists().where(_members(key), instances.c.released_at.is_(None))
            if not db.scalar(select(left)):
                db.execute(update(series).where(_this(key)).values(released_at=now))
            return LetGo(len(leaving), sum(one.size_bytes for one in leaving))

    def proven(self, still_there: Sequence[tuple[str, str, str, str]], now: float) -> None:
        """Note that destinations were asked again and hold what these receipts say.

        A receipt is named by destination, profile digest, and its source's UID and digest.
        """
        with self._database.write() as db:
            for destination, profile, uid, digest in still_there:
                this = and_(
                    receipts.c.destination == destination,
                    receipts.c.profile == profile,
                    receipts.c.source_uid == uid,
                    receipts.c.source_digest == digest,
                )
                db.execute(update(receipts).where(this).values(proven_at=now))

    def asked(self, key: SeriesKey, now: float) -> None:
        """Note that somebody wanted a Series; with an empty Series UID, all of its Study."""
        this = [series.c.study_instance_uid == key.study_instance_uid]
        if key.series_instance_uid:
            this.append(series.c.series_instance_uid == key.series_instance_uid)
        with self._database.write() as db:
            db.execute(update(series).where(*this).values(asked_at=now))

    def require_all(self, key: SeriesKey) -> None:
        """Raise Released unless every Instance of a Series has its bytes in the spool."""
        with self._database.read() as db:
            _require(db, _gone(key))

    def require_owed(self, key: SeriesKey, destination: str, profile: str) -> None:
        """Raise Released where a destination has no receipt for something that has left.

        `profile` is a digest, as for `Receipts.owed`.
        """
        theirs = receipts.alias("theirs")  # whoever else has them is asked for beside
        paid = exists().where(
            theirs.c.destination == destination,
            theirs.c.profile == profile,
            theirs.c.source_uid == instances.c.sop_instance_uid,
            theirs.c.source_digest == instances.c.digest,
        )
        with self._database.read() as db:
            _require(db, and_(_gone(key), ~paid))

    def totals(self) -> dict[str, int]:
        """Count what left this spool and was not sent again, and the Series that are pinned."""
        query = select(func.count(), func.coalesce(func.sum(instances.c.length), 0))
        with self._database.read() as db:
            mine = instances.c.node == self._database.node
            gone = instances.c.released_at.is_not(None)
            count, size_bytes = db.execute(query.where(mine, gone)).one()
            pinned = db.scalar(select(func.count()).select_from(series).where(pins.pinned_series()))
        return {
            "released_instances": count,
            "released_bytes": int(size_bytes),
            "pinned_series": pinned or 0,
        }

    def released(
        self, level: Level, uids: Collection[str], studies: Collection[str] = ()
    ) -> frozenset[str]:
        """Name those Studies, Series or Instances of which bytes have left this spool.

        Where the Studies are told that hold Series, those are found without a look at all others.
        """
        column = _UIDS[level]
        query = select(column).where(
            column.in_(uids),
            instances.c.node == self._database.node,
            instances.c.released_at.is_not(None),
        )
        if studies and level is Level.SERIES:
            query = query.where(instances.c.study_instance_uid.in_(studies))
        with self._database.read() as db:
            return frozenset(db.scalars(query.distinct()))

    def _here(self) -> ColumnElement[bool]:
        """Choose the Instances whose bytes are in the spool at hand."""
        return and_(instances.c.node == self._database.node, instances.c.released_at.is_(None))

    def _standing(self, db: Connection, key: SeriesKey) -> Standing | None:
        return _standing(db, key, and_(_members(key), self._here()))


def _this(key: SeriesKey) -> ColumnElement[bool]:
    return and_(
        series.c.study_instance_uid == key.study_instance_uid,
        series.c.series_instance_uid == key.series_instance_uid,
    )


def _members(key: SeriesKey) -> ColumnElement[bool]:
    return and_(
        instances.c.study_instance_uid == key.study_instance_uid,
        instances.c.series_instance_uid == key.series_instance_uid,
    )


def _gone(key: SeriesKey) -> ColumnElement[bool]:
    gone = instances.c.released_at.is_not(None)
    return and_(_members(key), instances.c.conflict.is_(False), gone)


def _behind(after: Candidate) -> ColumnElement[bool]:
    rank, study, uid = (
        literal(after.rank, Float),
        series.c.study_instance_uid,
        series.c.series_instance_uid,
    )
    same_study = and_(study == after.key.study_instance_uid, uid > after.key.series_instance_uid)
    same_rank = and_(rank == _RANK, or_(study > after.key.study_instance_uid, same_study))
    return or_(rank < _RANK, same_rank)


def _require(db: Connection, which: ColumnElement[bool]) -> None:
    """Raise Released where there is any such Instance: when they left, and who holds them."""
    query = select(func.count(), func.max(instances.c.released_at)).where(which)
    count, released_at = db.execute(query).one()
    if not count:
        return
    holders = select(receipts.c.destination).join(instances, _SAME).where(which).distinct()
    where = ", ".join(sorted(db.scalars(holders))) or "no destination"
    day = datetime.fromtimestamp(released_at, UTC).date().isoformat()
    raise Released(
        f"{count} objects left the spool, the last on {day}, and are held by {where}: send them"
        " again from there, then `penumbra retry` this job"
    )


def _standing(db: Connection, key: SeriesKey, here: ColumnElement[bool]) -> Standing | None:
    row = db.execute(select(series).where(_this(key))).one_or_none()
    if row is None:
        return None
    pinned, legal_hold = pins.of_series(db, key.study_instance_uid, key.series_instance_uid)
    of_series = select(jobs).where(
        jobs.c.study_instance_uid == key.study_instance_uid,
        jobs.c.series_instance_uid.in_(["", key.series_instance_uid]),
    )
    failed = bool(db.scalar(select(unplanned.is_unplanned()).select_from(series).where(_this(key))))
    # A Study whose Series came in over several nodes is one at each of them.
    whole = and_(studies.c.study_instance_uid == key.study_instance_uid, studies.c.open)
    is_open = row.open or bool(db.scalar(select(exists().where(whole))))
    debts: list[Debt] = []
    intakes: dict[tuple[str, str], str] = {}
    for job in db.execute(of_series):
        if job.kind == Kind.INTAKE:
            intakes[job.target, job.digest] = job.state
        else:
            is_latest = not job.series_instance_uid or job.revision == row.revision
            debt = (job.kind, job.state, is_latest, job.target, job.profile, job.created_at)
            debts.append(Debt(*debt))
    here_now = _holdings(db, here, intakes)
    return Standing(is_open, row.revision, pinned, legal_hold, debts, here_now, failed)


def _holdings(
    db: Connection, here: ColumnElement[bool], intakes: dict[tuple[str, str], str]
) -> list[Holding]:
    proofs: dict[int, list[Proof]] = defaultdict(list)
    paid = (
        select(instances.c.id, receipts, jobs.c.profile.label("name"))
        .join_from(instances, receipts, _SAME)
        .join(jobs, jobs.c.id == receipts.c.job)  # without its job, a receipt proves nothing here
        .where(here)
    )
    for row in db.execute(paid):
        read_at = row.delivered_at if row.digest_read_back else None
        proof = Proof(row.destination, row.name, row.delivered_at, row.proven_at or read_at)
        proofs[row[0]].append(proof)
    return [
        Holding(
            row.id,
            row.sop_instance_uid,
            row.digest,
            row.length,
            row.received_at,
            row.conflict,
            intakes.get((row.sop_instance_uid, row.digest), ""),
            tuple(proofs[row.id]),
        )
        for row in db.execute(select(instances).where(here).order_by(instances.c.id))
    ]
