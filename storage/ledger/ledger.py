"""The ledger as a whole: its rooms over one database, and its numbers for people."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from dicom.errors import StorageFault
from routing.job import State
from storage.evidence.evidence import Evidence
from storage.ledger.account import Account
from storage.ledger.associations import Associations
from storage.ledger.breakers import Breakers
from storage.ledger.commitments import Commitments
from storage.ledger.committed import Committed
from storage.ledger.copies import Copies
from storage.ledger.database import FILE_NAME, Database, Server
from storage.ledger.events import Outbox
from storage.ledger.expectations import Expectations
from storage.ledger.held import Held
from storage.ledger.holdings import Holdings
from storage.ledger.inferences import Inferences
from storage.ledger.intake import Intake
from storage.ledger.jobs import Jobs
from storage.ledger.lake_rows import LakeRows
from storage.ledger.lakes import Lakes
from storage.ledger.models import Registry
from storage.ledger.paid import Payments
from storage.ledger.pauses import Pauses
from storage.ledger.pins import Pins
from storage.ledger.places import Places
from storage.ledger.receipts import Receipts
from storage.ledger.related import Related
from storage.ledger.revisions import Revisions
from storage.ledger.safekeeping import Safekeeping
from storage.ledger.schema import events, instances, receipts, series
from storage.ledger.settling import Settling
from storage.ledger.staging import Staging
from storage.ledger.steps import Steps
from storage.ledger.studies import Studies
from storage.ledger.taken import Taken
from storage.ledger.worklist import Worklist


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger's rooms over one database."""

    database: Database
    intake: Intake
    settling: Settling
    jobs: Jobs
    receipts: Receipts
    outbox: Outbox
    evidence: Evidence
    payments: Payments
    pauses: Pauses
    holdings: Holdings
    places: Places
    pins: Pins
    expectations: Expectations
    commitments: Commitments
    committed: Committed
    safekeeping: Safekeeping
    steps: Steps
    studies: Studies
    revisions: Revisions
    taken: Taken
    breakers: Breakers
    held: Held
    staging: Staging
    copies: Copies
    associations: Associations
    account: Account
    lakes: Lakes
    lake_rows: LakeRows
    worklist: Worklist
    inferences: Inferences
    registry: Registry
    related: Related

    @classmethod
    def open(
        cls, data_dir: Path, server: Server | None = None, *, patient: bool = False
    ) -> "Ledger":
        """Open or make the ledger in a data directory or on a server; any number of processes may.

        `patient` lets a server be away at first.
        """
        database = Database.open(data_dir, server, patient=patient)
        return cls(
            database,
            Intake(database),
            Settling(database),
            Jobs(database),
            Receipts(database),
            Outbox(database),
            Evidence(database),
            Payments(database),
            Pauses(database),
            Holdings(database),
            Places(database),
            Pins(database),
            Expectations(database),
            Commitments(database),
            Committed(database),
            Safekeeping(database),
            Steps(database),
            Studies(database),
            Revisions(database),
            Taken(database),
            Breakers(database),
            Held(database),
            Staging(database),
            Copies(database),
            Associations(database),
            Account(database),
            Lakes(database),
            LakeRows(database),
            Worklist(database),
            Inferences(database),
            Registry(database),
            Related(database),
        )

    @classmethod
    def open_existing(cls, data_dir: Path, server: Server | None = None) -> "Ledger":
        """Open the ledger that a node made. Raises StorageFault where no node has run."""
        if server is None and not (data_dir / FILE_NAME).exists():
            words = f"no node has run with {data_dir}: check [node] data_dir, or `penumbra serve`"
            raise StorageFault(words)
        return cls.open(data_dir, server)

    def close(self) -> None:
        """Close the database."""
        self.outbox.rest()
        self.database.close()

    def summary(self) -> dict[str, dict[str, Any]]:
        """Count what `penumbra status` shows of the ledger, and say what is paused and why."""
        with self.database.read() as db:
            received = {
                "instances": db.scalar(select(func.count()).select_from(instances)) or 0,
                "series": db.scalar(select(func.count()).select_from(series)) or 0,
                "studies": db.scalar(select(func.count(series.c.study_instance_uid.distinct())))
                or 0,
                "open_series": db.scalar(
                    select(func.count()).select_from(series).where(series.c.open)
                )
                or 0,
            }
            delivered = db.scalar(select(func.count()).select_from(receipts)) or 0
            unpublished = (
                db.scalar(
                    select(func.count()).select_from(events).where(events.c.published.is_(False))
                )
                or 0
            )
        counts = self.jobs.counts()
        return {
            "received": received,
            "jobs": {str(state): counts[state] for state in State},
            "quarantined": self.evidence.quarantined(),
            "paused": {one.target: one.reason for one in self.pauses.list()},
            "unreachable": {one.breaker.target: one.facts() for one in self.breakers.list()},
            "asleep": {
                rule: {"waiting": count, "until": until}
                for rule, (count, until) in self.jobs.asleep().items()
            },
            "receipts": {"instances": delivered},
            "commitments": self.commitments.counts(),
            "lakes": self.lakes.summary(),
            "events": {"last_id": self.outbox.last_id(), "unpublished": unpublished},
        }
