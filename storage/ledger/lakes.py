"""How far each lake is: the steps of its exports, what they wrote, and when the next is due.

A step is a range of rows that is fixed before any is read: one that was cut is repeated as it was,
under the same names. Its end and the account of what lies in the lake are one transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Row,
    Table,
    and_,
    delete,
    exists,
    func,
    select,
    update,
)

from config.lake import LakeTable
from dicom.entity import SeriesKey
from routing.job import Kind, NewJob, State
from storage.ledger import jobs as work
from storage.ledger.database import Database
from storage.ledger.lakes_schema import marks, schedules, steps
from storage.ledger.schema import events, instances, jobs, receipts

NOBODY: Final = SeriesKey("", "")
"""An export is about no Study."""
_SOURCES: Final[Mapping[LakeTable, tuple[Table, Column[float]]]] = {
    "metadata": (instances, instances.c.received_at),
    "lineage": (receipts, receipts.c.delivered_at),
    "events": (events, events.c.at),
}
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Step:
    """Rows to export: those after `first`, up to and with `last`."""

    lake: str
    part: LakeTable
    node: str
    first: int
    last: int
    is_again: bool = False
    """Whether it was done before: what it writes takes the place of that."""
    stale: tuple[str, ...] = ()
    """Where the files lie that it wrote before."""


@dataclass(frozen=True, slots=True)
class Part:
    """A file in a lake."""

    location: str
    date: str
    modality: str
    """As the path has it; "" for tables that are not parted so."""
    rows: int
    size_bytes: int
    digest: str
    """SHA-256 (hex)."""


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a step."""

    parts: Sequence[Part]
    withheld: Mapping[str, int]
    """Rows that may not leave, by the fault's code."""
    unfiled: Sequence[int]
    """Instances without a Study, by id: they follow once they have one."""
    profile: str
    """Digest of the profile; "" where identity was kept."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far one table of a lake is."""

    part: str
    node: str
    rows: int
    size_bytes: int
    files: int
    withheld: int
    waiting: int
    """Rows that are not exported yet."""
    exported_at: float | None


class Lakes:
    """The ledger's account of exports."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, lake: str, part: LakeTable, most: int) -> Step | None:
        """Give the step to do next, of at most so many rows; None where nothing is new.

        What is to be done once more comes first, then what was cut. New rows are fixed in the
        ledger before this returns.
        """
        node = self._node(part)
        with self._database.write() as db:
            if again := _again(db, lake, part, node):
                return again
            this = _mark(lake, part, node)
            mark = db.execute(select(marks).where(this)).one_or_none()
            first = mark.position if mark else 0
            until = mark.until if mark else None
            if until is None:
                until = db.scalar(_newest(part, node, first, most))
                if until is None:
                    return None
                if mark is None:
                    row = {"lake": lake, "part": part, "node": node, "position": 0}
                    db.execute(marks.insert().values(**row, until=until))
                else:
                    db.execute(update(marks).where(this).values(until=until))
            return Step(lake, part, node, first, until)

    def finish(self, step: Step, written: Written, job: int, now: float) -> bool:
        """Note that a step is in the lake; False where another worker has noted it before."""
        this = (
            steps.c.lake == step.lake, steps.c.part == step.part,
            steps.c.node == step.node, steps.c.last == step.last,
        )  # fmt: skip
        source, moment = _SOURCES[step.part]
        with self._database.write() as db:
            if not step.is_again:
                here = _mark(step.lake, step.part, step.node)
                fixed = and_(here, marks.c.position == step.first, marks.c.until == step.last)
                moved = db.execute(
                    update(marks).where(fixed).values(position=step.last, until=None)
                )
                if moved.rowcount == 0:
                    return False
            newest = select(func.max(moment)).where(_within(source, step))
            values = {
                "lake": step.lake, "part": step.part, "node": step.node,
                "first": step.first, "last": step.last, "newest_at": db.scalar(newest) or now,
                "rows": sum(one.rows for one in written.parts),
                "size_bytes": sum(one.size_bytes for one in written.parts),
                "files": [asdict(one) for one in written.parts],
                "withheld": dict(written.withheld),
                "withheld_count": sum(written.withheld.values()),
                "unfiled": list(written.unfiled), "unfiled_count": len(written.unfiled),
                "profile": written.profile, "job": job, "exported_at": now, "again": False,
            }  # fmt: skip
            db.execute(delete(steps).where(*this))
            db.execute(steps.insert().values(**values))
            return True

    def repeat(self, lake: str, since: float) -> int:
        """Have the steps done once more whose rows are of that time or newer; gives how many."""
        return self._repeat(steps.c.lake == lake, steps.c.newest_at >= since)

    def repeat_withheld(self, lake: str) -> int:
        """Have those done once more of which something was withheld."""
        return self._repeat(steps.c.lake == lake, steps.c.withheld_count > 0)

    def repeat_filed(self, lake: str) -> int:
        """Have those done once more of which an Instance has a Study by now that had none."""
        with self._database.read() as db:
            query = select(steps.c.id, steps.c.unfiled).where(
                steps.c.lake == lake, steps.c.unfiled_count > 0
            )
            due = [row.id for row in db.execute(query) if _is_filed(db, row.unfiled)]
        return self._repeat(steps.c.id.in_(due)) if due else 0

    def _repeat(self, *which: ColumnElement[bool]) -> int:
        with self._database.write() as db:
            return db.execute(update(steps).where(*which).values(again=True)).rowcount

    def request(self, lake: str, target: str, now: float) -> bool:
        """Have a lake exported, by a job of this node; False where one waits already."""
        with self._database.write() as db:
            return self._request(db, lake, target, now, {State.WAITING})

    def schedule(
        self, lake: str, target: str, words: str, due_next: Callable[[float], float], now: float
    ) -> bool:
        """Have a lake exported if it is due; say whether a job was made.

        `words` is what the config says: another word than before means another time. While a job
        of the lake waits or runs there is no second one.
        """
        this = and_(schedules.c.lake == lake, schedules.c.node == self._database.node)
        with self._database.read() as db:
            known = db.execute(select(schedules).where(this)).one_or_none()
        # A clock that was set back must not keep it waiting for longer than its schedule.
        is_same = known is not None and known.words == words and known.due_at <= due_next(now)
        if known is not None and is_same and known.due_at > now:
            return False
        with self._database.write() as db:
            if not is_same:
                db.execute(delete(schedules).where(this))
                row = {"lake": lake, "node": self._database.node, "words": words}
                db.execute(schedules.insert().values(**row, due_at=due_next(now)))
                return False
            due = and_(this, schedules.c.due_at <= now)
            moved = db.execute(update(schedules).where(due).values(due_at=due_next(now)))
            if moved.rowcount == 0:  # another worker was quicker
                return False
            return self._request(db, lake, target, now, {State.WAITING, State.RUNNING})

    def due_at(self, lake: str) -> float | None:
        """Say when a lake is due next; None where nobody has looked yet."""
        this = and_(schedules.c.lake == lake, schedules.c.node == self._database.node)
        with self._database.read() as db:
            return db.scalar(select(schedules.c.due_at).where(this))

    def standing(self, lake: str, parts: Sequence[LakeTable]) -> list[Standing]:
        """Say how far each table of a lake is."""
        with self._database.read() as db:
            return [self._standing(db, lake, part) for part in parts]

    def summary(self) -> dict[str, dict[str, float]]:
        """Say of each lake how many rows it has, what was withheld, and when it was exported."""
        numbers = (func.sum(steps.c.rows), func.sum(steps.c.withheld_count))
        query = select(steps.c.lake, *numbers, func.max(steps.c.exported_at))
        with self._database.read() as db:
            return {
                lake: {"rows": int(rows), "withheld": int(withheld), "exported_at": exported_at}
                for lake, rows, withheld, exported_at in db.execute(query.group_by(steps.c.lake))
            }

    def files(self, lake: str, part: LakeTable) -> list[Part]:
        """List what lies in a lake of one table."""
        query = select(steps.c.files).where(steps.c.lake == lake, steps.c.part == part)
        with self._database.read() as db:
            return [Part(**one) for row in db.execute(query.order_by(steps.c.id)) for one in row[0]]

    def _standing(self, db: Connection, lake: str, part: LakeTable) -> Standing:
        node = self._node(part)
        this = and_(steps.c.lake == lake, steps.c.part == part, steps.c.node == node)
        total = (func.sum(steps.c.rows), func.sum(steps.c.size_bytes))
        held = (func.sum(steps.c.withheld_count), func.max(steps.c.exported_at))
        rows, size, withheld, exported_at = db.execute(select(*total, *held).where(this)).one()
        files = sum(len(found) for found in db.scalars(select(steps.c.files).where(this)))
        position = db.scalar(select(marks.c.position).where(_mark(lake, part, node))) or 0
        source, _ = _SOURCES[part]
        new = select(func.count()).select_from(source).where(_after(part, node, position))
        waiting = db.scalar(new) or 0
        return Standing(
            part, node, int(rows or 0), int(size or 0), files, int(withheld or 0), waiting,
            exported_at,
        )  # fmt: skip

    def _node(self, part: LakeTable) -> str:
        """Say whose rows: a node exports the Instances of its own spool, anybody all the rest."""
        return self._database.node if part == "metadata" else ""

    def _request(
        self, db: Connection, lake: str, target: str, now: float, busy: set[State]
    ) -> bool:
        mine = and_(jobs.c.kind == Kind.EXPORT, jobs.c.rule == lake)
        here = and_(mine, jobs.c.node == self._database.node, jobs.c.state.in_(busy))
        if db.scalar(select(exists().where(here))):
            return False
        last = db.scalar(select(func.max(jobs.c.revision)).where(mine)) or 0
        new = NewJob(Kind.EXPORT, NOBODY, last + 1, lake, target)
        work.insert(db, [new], now)
        return True


def _mark(lake: str, part: str, node: str) -> ColumnElement[bool]:
    return and_(marks.c.lake == lake, marks.c.part == part, marks.c.node == node)


def _after(part: LakeTable, node: str, position: int) -> ColumnElement[bool]:
    source, _ = _SOURCES[part]
    new: ColumnElement[bool] = source.c.id > position
    return and_(new, source.c.node == node) if part == "metadata" else new


def _newest(part: LakeTable, node: str, position: int, most: int) -> Any:
    """Select the last id of the next so many rows."""
    source, _ = _SOURCES[part]
    some = select(source.c.id).where(_after(part, node, position)).order_by(source.c.id).limit(most)
    return select(func.max(some.subquery().c.id))


def _within(source: Table, step: Step) -> ColumnElement[bool]:
    rows = and_(source.c.id > step.first, source.c.id <= step.last)
    return and_(rows, source.c.node == step.node) if step.part == "metadata" else rows


def _again(db: Connection, lake: str, part: LakeTable, node: str) -> Step | None:
    this = and_(steps.c.lake == lake, steps.c.part == part, steps.c.node == node, steps.c.again)
    row: Row[Any] | None = db.execute(select(steps).where(this).order_by(steps.c.id)).first()
    if row is None:
        return None
    stale = tuple(one["location"] for one in row.files)
    return Step(lake, part, node, row.first, row.last, is_again=True, stale=stale)


def _is_filed(db: Connection, ids: Sequence[int]) -> bool:
    some = instances.c.id.in_(ids[:_AT_ONCE])
    return bool(db.scalar(select(exists().where(some, instances.c.study_instance_uid != ""))))
