"""Associations that ended, kept for whoever asks later who came and how it went.

Written about a second after the end, many at once: a kill within that second costs their account,
never an object. Of callers without end only so many are kept (`KEPT`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import delete, func, select

from storage.ledger.associations_schema import associations
from storage.ledger.database import Database, node_of

KEPT: Final = 1_000_000
"""So many of the newest; at one a minute that is two years."""
_TRIM_EVERY: Final = 10_000
"""So many more than that are let be, so that trimming is rare."""


@dataclass(frozen=True, slots=True)
class Ended:
    """One association that is over, or an attempt at one."""

    name: str
    began_at: float
    seconds: float
    calling_ae: str
    called_ae: str
    address: str
    tls_name: str | None
    verdict: str
    cause: str
    outcome: str
    words: str
    accepted_contexts: int
    refused_contexts: int
    statuses: Mapping[str, int]
    """C-STORE requests answered, counted by status: 0x0000."""
    size_bytes: int


class Associations:
    """Written by the front; read by whoever feeds the index (storage/ledger/account.py)."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, ended: Sequence[Ended]) -> None:
        """Write associations in the order in which they ended. Raises StorageFault."""
        if not ended:
            return
        with self._database.write() as db:
            here = {"node": node_of(db)}
            db.execute(
                associations.insert(),
                [{**asdict(one), "statuses": dict(one.statuses), **here} for one in ended],
            )

    def trim(self, kept: int = KEPT) -> int:
        """Forget the oldest beyond so many; returns how many. Cheap while there are none."""
        newest = select(func.max(associations.c.id)).scalar_subquery()
        oldest = select(func.min(associations.c.id)).scalar_subquery()
        with self._database.read() as db:
            high, low = db.execute(select(newest, oldest)).one()
        if high is None or high - low < kept + min(kept, _TRIM_EVERY):
            return 0
        with self._database.write() as db:
            old = associations.c.id <= high - kept
            return db.execute(delete(associations).where(old)).rowcount
