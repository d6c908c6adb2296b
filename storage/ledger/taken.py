"""What a source that keeps its objects gave already, so that nothing is taken twice nor missed.

A memory and no proof: where it is lost, everything is taken again, and is found to be there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, and_, delete, select, update

from storage.ledger.database import Database
from storage.ledger.taken_schema import taken

SEEN_EVERY_S: Final = 86_400.0
"""A row is written anew at most so often, to say that its object is still there."""
KEPT_S: Final = 30 * 86_400.0
"""What was not seen for so long is forgotten; taken again it would be found to be there."""


@dataclass(frozen=True, slots=True)
class Dealt:
    """One object of a source in one state, taken or rejected."""

    key_digest: str
    mark: str
    fault: str = ""


class Taken:
    """Read and written by the one thread that looks through a source."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def known(self, source: str, key_digests: Collection[str], now: float) -> dict[str, Dealt]:
        """Give those objects that were dealt with, by key digest; they are there at `now`."""
        columns = (taken.c.key_digest, taken.c.mark, taken.c.fault)
        query = select(*columns, taken.c.at).where(_those(source, key_digests))
        with self._database.read() as db:
            rows = db.execute(query).all()
        if stale := [row.key_digest for row in rows if row.at < now - SEEN_EVERY_S]:
            with self._database.write() as db:
                db.execute(update(taken).where(_those(source, stale)).values(at=now))
        return {row.key_digest: Dealt(*row[: len(columns)]) for row in rows}

    def note(self, source: str, dealt: Sequence[Dealt], now: float) -> None:
        """Remember objects, each in the place of what was known of its key."""
        last = {one.key_digest: one for one in dealt}
        rows = [
            {"source": source, "key_digest": one.key_digest, "mark": one.mark,
             "fault": one.fault, "at": now}
            for one in last.values()
        ]  # fmt: skip
        if not rows:
            return
        with self._database.write() as db:
            db.execute(delete(taken).where(_those(source, last)))
            db.execute(taken.insert(), rows)

    def prune(self, source: str, now: float) -> int:
        """Forget what no look has seen for long; returns how many. Call it behind a whole look."""
        old = and_(taken.c.source == source, taken.c.at < now - KEPT_S)
        with self._database.write() as db:
            return db.execute(delete(taken).where(old)).rowcount


def _those(source: str, key_digests: Collection[str]) -> ColumnElement[bool]:
    return and_(taken.c.source == source, taken.c.key_digest.in_(key_digests))
