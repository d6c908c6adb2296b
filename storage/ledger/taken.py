"""What a source that keeps its objects gave already, so that nothing is taken twice nor missed.

A memory and no proof: where it is lost, everything is taken again, and is found to be there.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Delete, delete, select

from storage.ledger.database import Database
from storage.ledger.taken_schema import taken


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

    def known(self, source: str, key_digests: Collection[str]) -> dict[str, Dealt]:
        """Give those objects that were dealt with, by key digest."""
        query = select(taken.c.key_digest, taken.c.mark, taken.c.fault).where(
            taken.c.source == source, taken.c.key_digest.in_(key_digests)
        )
        with self._database.read() as db:
            return {row.key_digest: Dealt(*row) for row in db.execute(query)}

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
            db.execute(_those(source, last))
            db.execute(taken.insert(), rows)

    def forget(self, source: str, key_digests: Collection[str]) -> None:
        """Forget objects that are gone from their source."""
        if key_digests:
            with self._database.write() as db:
                db.execute(_those(source, key_digests))


def _those(source: str, key_digests: Collection[str]) -> Delete:
    return delete(taken).where(taken.c.source == source, taken.c.key_digest.in_(key_digests))
