"""How Instances stand, for who asks us to vouch for them: filed, settled, and paid where owed."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, select, tuple_

from dicom.entity import Origin, SeriesKey
from routing.commitment import Debt, Kept
from routing.job import Kind
from routing.job import State as JobState
from storage.ledger import unplanned
from storage.ledger.commitments_schema import commitments
from storage.ledger.database import Database
from storage.ledger.schema import instances, jobs, receipts, series
from storage.ledger.settling_schema import studies

TOGETHER: Final = 400
"""So many Instances are looked up at once: databases bound the values of one statement."""
_DELIVERIES: Final = (Kind.FORWARD, Kind.REIDENTIFY)
_ACTIVE: Final = frozenset({JobState.WAITING, JobState.RUNNING})
_UNDECIDED: Final = (JobState.WAITING, JobState.RUNNING, JobState.HELD)

_T = TypeVar("_T")
_Key = tuple[str, str]
"""A Study and a Series."""
_Place = tuple[str, str]
"""A destination, and the treatment's profile."""


class _Paid(NamedTuple):
    """An Instance by UID and digest, and the place that has a receipt for it."""

    sop_instance_uid: str
    digest: str
    place: _Place


@dataclass(slots=True)
class _Books:
    """What was read about some Instances."""

    filed: dict[str, Row[Any]] = field(default_factory=dict)
    classes: dict[str, set[str]] = field(default_factory=dict)
    in_doubt: set[str] = field(default_factory=set)
    settled_to: dict[_Key, int] = field(default_factory=dict)
    growing: set[_Key] = field(default_factory=set)
    """Series with news that no revision covers."""
    unplanned: set[_Key] = field(default_factory=set)
    """Series that may owe what no job stands for: a rule could not say whether it means them."""
    unsettled: set[str] = field(default_factory=set)
    """Studies of which a revision is still to come, where that matters."""
    owed: dict[_Key, dict[_Place, str]] = field(default_factory=dict)
    """By Series: each place that it is owed to, with the state of the newest job."""
    asked: dict[tuple[_Key, str], str] = field(default_factory=dict)
    """By Series and destination: the state of the newest job that asks it to commit."""
    paid: dict[_Paid, bool] = field(default_factory=dict)
    """Receipts, and whether the place has committed to it."""


class Safekeeping:
    """Reads what is known of Instances; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(
        self,
        sop_instance_uids: Sequence[str],
        committing: Collection[str],
        *,
        awaits_study: bool = False,
    ) -> dict[str, Kept]:
        """Say how Instances stand; those that are not known are left out.

        `committing` names the destinations that are asked to commit: a receipt of theirs counts
        once they have. `awaits_study` says that rules ask about whole Studies, so that nobody
        knows what is owed until the Study has settled too.
        """
        found: dict[str, Kept] = {}
        for start in range(0, len(sop_instance_uids), TOGETHER):
            with self._database.read() as db:
                books = _read(db, sop_instance_uids[start : start + TOGETHER])
                if awaits_study:
                    _read_studies(db, books)
            found |= {uid: _kept(uid, books, committing) for uid in books.classes}
        return found


def _read(db: Connection, uids: Sequence[str]) -> _Books:
    books = _Books()
    for row in db.execute(select(instances).where(instances.c.sop_instance_uid.in_(uids))):
        books.classes.setdefault(row.sop_instance_uid, set()).add(row.sop_class_uid)
        if row.series_instance_uid and not row.conflict:
            books.filed[row.sop_instance_uid] = row
    intakes = select(jobs.c.target).where(
        jobs.c.kind == Kind.INTAKE, jobs.c.target.in_(uids), jobs.c.state.in_(_UNDECIDED)
    )
    books.in_doubt.update(db.scalars(intakes))
    keys = sorted({_key(row) for row in books.filed.values()})
    _read_series(db, keys, books)
    _read_jobs(db, keys, books)
    _read_receipts(db, uids, books)
    return books


def _read_series(db: Connection, keys: Sequence[_Key], books: _Books) -> None:
    column = tuple_(series.c.study_instance_uid, series.c.series_instance_uid)
    for row in db.execute(select(series).where(column.in_(keys))):
        books.settled_to[_key(row)] = row.settled_to
        if row.open:
            books.growing.add(_key(row))
    for one in unplanned.of_series(db, [SeriesKey(*key) for key in keys]):
        books.unplanned.add((one.key.study_instance_uid, one.key.series_instance_uid))


def _read_studies(db: Connection, books: _Books) -> None:
    """Find Studies of objects from outside of which nobody knows yet what they owe as a whole."""
    mine = {row.study_instance_uid for row in books.filed.values() if row.origin != Origin.AI}
    query = select(studies).where(studies.c.study_instance_uid.in_(sorted(mine)))
    rows = list(db.execute(query))
    settled = {row.study_instance_uid for row in rows if row.revision}
    books.unsettled = (mine - settled) | {row.study_instance_uid for row in rows if row.open}


def _read_jobs(db: Connection, keys: Sequence[_Key], books: _Books) -> None:
    """Read the newest state of what each Series owes; a job may be about a whole Study too."""
    query = (
        select(jobs)
        .where(
            jobs.c.study_instance_uid.in_(sorted({study for study, _ in keys})),
            jobs.c.kind.in_([*_DELIVERIES, Kind.COMMIT]),
        )
        .order_by(jobs.c.id)
    )
    for row in db.execute(query):
        for key in _meant(row, keys):
            if row.kind == Kind.COMMIT:
                _note(books.asked, (key, row.target), row.state)
            else:
                _note(books.owed.setdefault(key, {}), (row.target, row.profile), row.state)


def _note(states: dict[_T, str], of: _T, state: str) -> None:
    """Keep the newest state, unless an earlier job is still at it."""
    if states.get(of) not in _ACTIVE:
        states[of] = state


def _meant(row: Row[Any], keys: Iterable[_Key]) -> list[_Key]:
    if row.series_instance_uid:
        return [_key(row)]
    return [key for key in keys if key[0] == row.study_instance_uid]


def _read_receipts(db: Connection, uids: Sequence[str], books: _Books) -> None:
    query = (
        select(
            receipts.c.source_uid,
            receipts.c.source_digest,
            receipts.c.destination,
            jobs.c.profile,
            commitments.c.committed,
        )
        .join_from(receipts, jobs, jobs.c.id == receipts.c.job)
        .outerjoin(commitments, commitments.c.receipt == receipts.c.id)
        .where(receipts.c.source_uid.in_(uids))
    )
    for uid, digest, destination, profile, committed in db.execute(query):
        paid = _Paid(uid, digest, (destination, profile))
        books.paid[paid] = books.paid.get(paid, False) or bool(committed)


def _kept(uid: str, books: _Books, committing: Collection[str]) -> Kept:
    row = books.filed.get(uid)
    if row is None:
        return Kept(frozenset(books.classes[uid]), is_filed=False, in_doubt=False, is_settled=False)
    key = _key(row)
    owed = books.owed.get(key, {})
    debts = tuple(
        _debt(_Paid(uid, row.digest, place), state, key, books, committing)
        for place, state in owed.items()
    )
    is_open = key[0] in books.unsettled or key in books.unplanned
    is_covered = row.id <= books.settled_to.get(key, 0) and not is_open
    return Kept(
        frozenset({row.sop_class_uid}),
        is_filed=True,
        in_doubt=uid in books.in_doubt,
        # Of two nodes that file a Series at once, the one that is first may have the higher ids:
        # while there is news, an id alone does not tell that rules were asked about the object.
        is_settled=is_covered and (bool(owed) or key not in books.growing),
        debts=debts,
        is_here=row.released_at is None,
        series=SeriesKey(*key),
    )


def _debt(paid: _Paid, state: str, key: _Key, books: _Books, committing: Collection[str]) -> Debt:
    may_change = state in _ACTIVE or key in books.growing
    committed = books.paid.get(paid)
    if committed is None:
        return Debt.OWED if may_change else Debt.STUCK
    destination = paid.place[0]
    if committed or destination not in committing:
        return Debt.PAID
    asking = books.asked.get((key, destination))
    if may_change or asking in _ACTIVE:  # who delivers asks for the commitment at its end
        return Debt.OWED
    # A delivery that ended without asking is from before the config wanted it.
    return Debt.PAID if asking is None and state == JobState.DONE else Debt.STUCK


def _key(row: Row[Any] | Mapping[str, Any]) -> _Key:
    found = row if isinstance(row, Mapping) else row._mapping  # noqa: SLF001  (its public name)
    return found["study_instance_uid"], found["series_instance_uid"]
