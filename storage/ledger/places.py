"""Where the ledger says that bytes lie: by segment, moved with them, and given up with its file.

Segments are those of the spool at hand: where several nodes share a ledger, each sees its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, delete, exists, func, select, update

from dicom.entity import Location
from storage.ledger.database import Database
from storage.ledger.schema import instances, positions


@dataclass(frozen=True, slots=True)
class Place:
    """An Instance as the ledger has it, and whether its bytes are still needed where they lie."""

    id: int
    sop_instance_uid: str
    digest: str
    location: Location
    """With its node, where several share the ledger."""
    is_needed: bool


class Places:
    """Retention's side of the ledger, as far as segments go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def in_segment(self, segment: str) -> list[Place]:
        """Give what the ledger has in a segment, by its place."""
        return self._select(self._in(segment))

    def under(self, sop_instance_uid: str) -> list[Place]:
        """Give what the ledger has under a SOP Instance UID, wherever it lies."""
        return self._select(instances.c.sop_instance_uid == sop_instance_uid)

    def followed_to(self, segment: str) -> int:
        """Say how far a segment was followed; 0 where it was not."""
        query = select(positions.c.position).where(self._followed(segment))
        with self._database.read() as db:
            return db.scalar(query) or 0

    def needed_bytes(self, segment: str) -> int:
        """Add up the bytes in a segment that have not been let go."""
        query = select(func.coalesce(func.sum(instances.c.length), 0)).where(self._needed(segment))
        with self._database.read() as db:
            return int(db.scalar(query) or 0)

    def move(self, moved: Mapping[Location, Location]) -> None:
        """Note in one transaction that needed bytes were copied; what was let go meanwhile stays.

        What was let go stays where it was: its row says so.
        """
        with self._database.write() as db:
            for old, new in moved.items():
                this = and_(self._needed(old.segment), instances.c.offset == old.offset)
                values = {"segment": new.segment, "offset": new.offset}
                db.execute(update(instances).where(this).values(**values))

    def give_up(self, segment: str, now: float) -> bool:
        """Note that a segment's file may be removed; False where something in it is needed."""
        with self._database.write() as db:
            if db.scalar(select(exists().where(self._needed(segment)))):
                return False
            this = self._followed(segment)
            marked = db.execute(update(positions).where(this).values(leaving_at=now))
            return marked.rowcount == 1

    def given_up(self) -> list[str]:
        """Name the segments whose files may be removed, or have been."""
        ours = positions.c.node == self._database.node
        query = select(positions.c.segment).where(ours, positions.c.leaving_at.is_not(None))
        with self._database.read() as db:
            return list(db.scalars(query))

    def forget(self, segment: str) -> None:
        """Forget how far a segment was followed, once its file is gone for good."""
        this = and_(self._followed(segment), positions.c.leaving_at.is_not(None))
        with self._database.write() as db:
            db.execute(delete(positions).where(this))

    def _in(self, segment: str) -> ColumnElement[bool]:
        return and_(instances.c.segment == segment, instances.c.node == self._database.node)

    def _needed(self, segment: str) -> ColumnElement[bool]:
        return and_(self._in(segment), instances.c.released_at.is_(None))

    def _followed(self, segment: str) -> ColumnElement[bool]:
        return and_(positions.c.segment == segment, positions.c.node == self._database.node)

    def _select(self, which: ColumnElement[bool]) -> list[Place]:
        query = select(instances).where(which).order_by(instances.c.offset)
        with self._database.read() as db:
            return [
                Place(
                    row.id,
                    row.sop_instance_uid,
                    row.digest,
                    Location(row.segment, row.offset, row.length, row.node),
                    row.released_at is None,
                )
                for row in db.execute(query)
            ]
