"""The modality worklist: entries said, said again, taken back and looked through.

Whatever says an entry, a file, a program or an order, each change is one transaction together
with its event; events name the Study, never the patient.
"""

import datetime as dt
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, func, or_, select, update

from dicom import moments
from dicom.errors import DoesNotMatch
from dicom.normalized import ResourceLimitation
from dicom.worklist import ANSWERED, STEPS, Entry, Item, State, again, of_patient
from storage.ledger import events
from storage.ledger.database import Database
from storage.ledger.worklist_schema import entries

ADDED: Final = "penumbra.worklist.added"
CHANGED: Final = "penumbra.worklist.changed"
REMOVED: Final = "penumbra.worklist.removed"
PAGE: Final = 500
MOST: Final = 200_000
"""Entries beyond which no more are taken: a RIS in a loop shall not fill the ledger."""
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry as somebody says it."""

    item: Item
    source: str
    id: str = ""
    """Where whoever says it names it; it is made of the order's or the step's numbers otherwise."""
    file: str = ""
    mark: str = ""
    placer: str = ""
    filler: str = ""

    @property
    def step_id(self) -> str:
        """Its Scheduled Procedure Step ID."""
        return str(self.item[STEPS][0]["ScheduledProcedureStepID"])


@dataclass(frozen=True, slots=True)
class Put:
    """What became of a draft."""

    id: str
    is_new: bool
    is_changed: bool


@dataclass(frozen=True, slots=True)
class Order:
    """Whose entries are taken back: an order's, by its placer's or its filler's number."""

    placer: str
    filler: str
    step_id: str = ""
    """Only this step of it."""


@dataclass(frozen=True, slots=True)
class Narrowing:
    """What the database can decide of a query by itself; "" and None leave it open."""

    first_day: str = ""
    last_day: str = ""
    patient_ids: Sequence[str] | None = None
    accession_numbers: Sequence[str] | None = None
    studies: Sequence[str] | None = None
    modalities: Sequence[str] | None = None
    stations: Sequence[str] | None = None


class Worklist:
    """Entries, as the ledger's readers and writers share them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, drafts: Sequence[Draft], now: float) -> list[Put]:
        """Write entries down, each in the place of what was said of it before.

        Raises DoesNotMatch where an id is taken by an entry of another source, and
        ResourceLimitation when there are too many.
        """
        with self._database.write() as db:
            return self._put(db, drafts, now)

    def put_file(self, file: str, drafts: Sequence[Draft], now: float) -> None:
        """Write down what a file of this node's folder says now; what it said before is gone."""
        mine = (entries.c.source == "folder", entries.c.node == self._database.node)
        with self._database.write() as db:
            kept = [one.id for one in self._put(db, drafts, now)]
            _remove(db, and_(*mine, entries.c.file == file, entries.c.id.not_in(kept)), now)

    def _put(self, db: Connection, drafts: Sequence[Draft], now: float) -> list[Put]:
        is_full = (db.scalar(select(func.count()).select_from(entries)) or 0) >= MOST
        node = self._database.node
        return [_put(db, draft, node, now, is_full=is_full) for draft in drafts]

    def forget_files(self, files: Sequence[str], now: float) -> int:
        """Take back what files of this node's folder said; returns how many entries."""
        mine = (entries.c.source == "folder", entries.c.node == self._database.node)
        with self._database.write() as db:
            return sum(_remove(db, and_(*mine, entries.c.file == one), now) for one in files)

    def files(self) -> dict[str, str]:
        """Give the state of each file of this node's folder that was read."""
        query = select(entries.c.file, entries.c.mark).where(
            entries.c.source == "folder", entries.c.node == self._database.node
        )
        with self._database.read() as db:
            return {row.file: row.mark for row in db.execute(query)}

    def remove(self, entry_id: str, now: float) -> bool:
        """Take one entry back; False where there is none. A folder's file says its own again."""
        with self._database.write() as db:
            return _remove(db, entries.c.id == entry_id, now) > 0

    def cancel(self, orders: Sequence[Order], now: float) -> int:
        """Take back the entries of orders; returns how many there were."""
        with self._database.write() as db:
            return sum(_remove(db, _of_order(one), now) for one in orders)

    def update_patient(
        self, patient_id: str, issuer: str, facts: Mapping[str, str], now: float
    ) -> int:
        """Have a patient's entries say what is now known; returns how many there are.

        Entries of another issuer are others' patients. Those of a folder are said by its files.
        """
        these = select(entries).where(
            entries.c.patient_id == patient_id, entries.c.source != "folder"
        )
        with self._database.write() as db:
            rows = [row for row in db.execute(these) if _is_of(row, issuer)]
            for row in rows:
                item = of_patient(_entry(row), facts).item
                if item != row.item:
                    this = update(entries).where(entries.c.id == row.id)
                    db.execute(this.values(**_columns(item), changed_at=now))
                    events.record(db, [_told(CHANGED, row)], now)
            return len(rows)

    def get(self, entry_id: str) -> Entry | None:
        """Give an entry."""
        with self._database.read() as db:
            row = db.execute(select(entries).where(entries.c.id == entry_id)).one_or_none()
            return None if row is None else _entry(row)

    def page(self, after: str, limit: int, state: str = "") -> list[Entry]:
        """Give entries in the order of their ids, those behind one of them."""
        query = select(entries).where(entries.c.id > after).order_by(entries.c.id).limit(limit)
        if state:
            query = query.where(entries.c.state == state)
        with self._database.read() as db:
            return [_entry(row) for row in db.execute(query)]

    def candidates(self, which: Narrowing) -> Iterator[Entry]:
        """Yield the entries that are on the worklist and may be meant, by their day.

        No transaction is open while the caller works: a slow scanner holds nobody up.
        """
        conditions = list(_conditions(which))
        day, entry_id = "", ""
        while True:
            behind = or_(
                entries.c.start_date > day,
                and_(entries.c.start_date == day, entries.c.id > entry_id),
            )
            query = (
                select(entries)
                .where(behind, *conditions)
                .order_by(entries.c.start_date, entries.c.id)
                .limit(PAGE)
            )
            with self._database.read() as db:
                rows = db.execute(query).all()
            for row in rows:
                yield _entry(row)
            if len(rows) < PAGE:
                return
            day, entry_id = rows[-1].start_date, rows[-1].id

    def prune(self, keep_days: float, now: float, today: str) -> int:
        """Drop entries whose day is long over, unless a file still says them.

        `today` is a DA of the clock on the wall, as the entries' days are.
        """
        kept_s = keep_days * _DAY_S
        over = and_(
            entries.c.source != "folder",
            entries.c.start_date < _days_before(today, keep_days),
            entries.c.changed_at < now - kept_s,
        )
        with self._database.write() as db:
            return _remove(db, over, now)

    def counts(self) -> dict[str, int]:
        """Count the entries by state."""
        query = select(entries.c.state, func.count()).group_by(entries.c.state)
        with self._database.read() as db:
            found = {str(state): count for state, count in db.execute(query)}
        return {str(state): found.get(state, 0) for state in State}


def _days_before(today: str, days: float) -> str:
    date = moments.date_of(today)
    assert date is not None, "today is a DA"
    return moments.to_da(date - dt.timedelta(days=days))


def _put(db: Connection, draft: Draft, node: str, now: float, *, is_full: bool) -> Put:
    row = _find(db, draft, node)
    if row is None:
        if is_full:
            raise ResourceLimitation(f"the worklist has {MOST} entries")
        return _insert(db, draft, node, now)
    if row.source != draft.source:
        raise DoesNotMatch(f"the entry of this id was made by {row.source}; it is changed there")
    before: Item = row.item
    is_changed = before != draft.item
    values = {
        "mark": draft.mark,
        "placer": draft.placer or row.placer,
        "filler": draft.filler or row.filler,
        "state": again(State(row.state), before, draft.item),
        **_columns(draft.item),
    }
    if is_changed:
        values["changed_at"] = now
        events.record(db, [_told(CHANGED, row)], now)
    db.execute(update(entries).where(entries.c.id == row.id).values(**values))
    return Put(row.id, is_new=False, is_changed=is_changed)


def _insert(db: Connection, draft: Draft, node: str, now: float) -> Put:
    entry_id = _id_of(draft, node)
    row = {
        "id": entry_id,
        "source": draft.source,
        "node": node if draft.source == "folder" else "",
        "file": draft.file,
        "mark": draft.mark,
        "placer": draft.placer,
        "filler": draft.filler,
        "state": State.SCHEDULED,
        "made_at": now,
        "changed_at": now,
        **_columns(draft.item),
    }
    db.execute(entries.insert().values(**row))
    told = {"source": draft.source, "entry": entry_id if draft.source != "rest" else ""}
    study = str(draft.item["StudyInstanceUID"])
    events.record(db, [events.NewEvent(ADDED, study, told)], now)
    return Put(entry_id, is_new=True, is_changed=True)


def _id_of(draft: Draft, node: str) -> str:
    if draft.id:
        return draft.id
    study = str(draft.item["StudyInstanceUID"])
    of_order = (draft.placer, "" if draft.placer else draft.filler)
    whose = of_order if any(of_order) else (node, draft.file) if draft.file else (study,)
    named = "\x1f".join((draft.source, *whose, draft.step_id))
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _find(db: Connection, draft: Draft, node: str) -> Row[Any] | None:
    """Find what was said before of what a draft is about."""
    by_id = select(entries).where(entries.c.id == _id_of(draft, node)).with_for_update()
    if not (draft.placer or draft.filler):
        return db.execute(by_id).one_or_none()
    order = Order(draft.placer, draft.filler, draft.step_id)
    of_order = select(entries).where(_of_order(order)).order_by(entries.c.id).with_for_update()
    return db.execute(of_order).first() or db.execute(by_id).one_or_none()


def _of_order(order: Order) -> ColumnElement[bool]:
    """Mean an order's entries: by the placer's number, or by the filler's where one has no placer.

    A number alone is enough, so that an order is known again once it has both.
    """
    placer, filler = entries.c.placer, entries.c.filler
    ways = [placer == order.placer] if order.placer else []
    if order.filler:
        others = [placer == ""] if order.placer else []
        ways.append(and_(filler == order.filler, *others))
    which = or_(*ways) if ways else entries.c.id.is_(None)
    step = [entries.c.step_id == order.step_id] if order.step_id else []
    return and_(entries.c.source == "hl7", which, *step)


def _remove(db: Connection, which: ColumnElement[bool], now: float) -> int:
    rows = db.execute(select(entries).where(which)).all()
    for row in rows:
        db.execute(delete(entries).where(entries.c.id == row.id))
        events.record(db, [_told(REMOVED, row)], now)
    return len(rows)


def _told(kind: str, row: Row[Any]) -> events.NewEvent:
    # A program may have chosen an id that tells who the patient is.
    told = {"source": row.source, "entry": row.id if row.source != "rest" else ""}
    return events.NewEvent(kind, row.study_instance_uid, told)


def _columns(item: Item) -> dict[str, Any]:
    step = item[STEPS][0]
    day = moments.date_of(step["ScheduledProcedureStepStartDate"])
    return {
        "item": dict(item),
        "step_id": step["ScheduledProcedureStepID"],
        "study_instance_uid": item["StudyInstanceUID"],
        "patient_id": item["PatientID"],
        "accession_number": item.get("AccessionNumber", ""),
        "start_date": moments.to_da(day) if day else "",
        "modality": step["Modality"],
        "stations": step.get("ScheduledStationAETitle", ""),
    }


def _conditions(which: Narrowing) -> Iterator[ColumnElement[bool]]:
    yield entries.c.state.in_(sorted(ANSWERED))
    if which.first_day:
        yield entries.c.start_date >= which.first_day
    if which.last_day:
        yield entries.c.start_date <= which.last_day
    for column, values in (
        (entries.c.patient_id, which.patient_ids),
        (entries.c.accession_number, which.accession_numbers),
        (entries.c.study_instance_uid, which.studies),
        (entries.c.modality, which.modalities),
    ):
        if values is not None:
            yield column.in_(values)
    if which.stations is not None:
        several = entries.c.stations.contains("\\", autoescape=True)
        yield or_(entries.c.stations.in_(which.stations), several)


def _is_of(row: Row[Any], issuer: str) -> bool:
    own = row.item.get("IssuerOfPatientID", "")
    return not issuer or not own or own == issuer


def _entry(row: Row[Any]) -> Entry:
    return Entry(row.id, row.source, row.item, State(row.state), row.performed_step, row.changed_at)
