"""The revisions of Series and Studies: when each was complete, why, and what was missing."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select

from dicom.entity import SeriesKey
from routing.settle import Completion, Reason
from storage.ledger.database import Database, node_of
from storage.ledger.settling_schema import revisions


@dataclass(frozen=True, slots=True)
class Revision:
    """One time that a Series or a Study counted as complete."""

    revision: int
    completion: Completion
    instances: int
    jobs: int
    """So many were written for it."""
    settled_at: float

    def facts(self) -> dict[str, object]:
        """Say it as events, accounts and the ledger's rows do; when it was is not part of it."""
        return {
            "revision": self.revision,
            "reason": str(self.completion.reason),
            "words": self.completion.words,
            "expected": self.completion.expected,
            "missing": self.completion.missing,
            "instances": self.instances,
            "jobs": self.jobs,
        }


def record(db: Connection, key: SeriesKey, one: Revision) -> None:
    """Write a revision in the caller's transaction; without a Series, it is the Study's."""
    row = {
        "study_instance_uid": key.study_instance_uid,
        "series_instance_uid": key.series_instance_uid,
        **one.facts(),
        "settled_at": one.settled_at,
        "node": node_of(db),
    }
    db.execute(revisions.insert().values(row))


class Revisions:
    """Looks back at revisions; changes nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_instance_uid: str) -> dict[str, Sequence[Revision]]:
        """Give the revisions of a Study's Series by their UIDs, and under "" those of the Study."""
        query = (
            select(revisions)
            .where(revisions.c.study_instance_uid == study_instance_uid)
            .order_by(revisions.c.series_instance_uid, revisions.c.revision)
        )
        found: dict[str, list[Revision]] = {}
        with self._database.read() as db:
            for row in db.execute(query).mappings():
                found.setdefault(row["series_instance_uid"], []).append(_revision(row))
        return {uid: tuple(each) for uid, each in found.items()}


def _revision(row: RowMapping) -> Revision:
    completion = Completion(
        row["settled_at"], Reason(row["reason"]), row["words"], row["expected"], row["missing"]
    )
    return Revision(row["revision"], completion, row["instances"], row["jobs"], row["settled_at"])
