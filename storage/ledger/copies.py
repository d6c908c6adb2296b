"""Which destinations hold an Instance byte for byte, so that it can be read there again."""

from dataclasses import dataclass

from sqlalchemy import and_, select

from dicom.entity import Instance
from storage.ledger.database import Database
from storage.ledger.schema import receipts
from storage.ledger.staging_schema import staged


@dataclass(frozen=True, slots=True)
class Copy:
    """A proven copy: the destination, and the location that its receipt names."""

    destination: str
    location: str


class Copies:
    """What retrieval asks the ledger once the spool has let go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, instance: Instance) -> list[Copy]:
        """List where an Instance was delivered as it was received, the latest first.

        A delivery under a profile is another object, and no copy.
        """
        query = (
            select(receipts.c.destination, receipts.c.location)
            .where(
                receipts.c.source_uid == instance.arrival.sop_instance_uid,
                receipts.c.source_digest == instance.digest,
                receipts.c.profile == "",
                receipts.c.digest_sent == instance.digest,
            )
            .order_by(receipts.c.id.desc())
        )
        with self._database.read() as db:
            return [Copy(row.destination, row.location) for row in db.execute(query)]

    def staged(self, instance: Instance) -> str | None:
        """Give the location in the bucket of [staging] that another node put it at, if any."""
        this = and_(
            staged.c.sop_instance_uid == instance.arrival.sop_instance_uid,
            staged.c.digest == instance.digest,
            staged.c.leaving_at.is_(None),
        )
        with self._database.read() as db:
            return db.scalar(select(staged.c.location).where(this))
