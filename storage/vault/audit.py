"""Keep the vault's audit trail: entries are added one behind the other and never changed."""

from collections.abc import Callable, Iterator

from sqlalchemy import select

from dicom.sealed import AuditEntry
from storage.vault.database import Database
from storage.vault.rows import PAGE
from storage.vault.schema import audit, versions


class AuditRows:
    """The audit trail on disk."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(self, make: Callable[[int, str], AuditEntry]) -> AuditEntry:
        """Add the entry that `make` gives for its number and the MAC of the entry before it.

        It is synced when this returns.
        """
        with self._database.write() as db:
            # One writer after the other, also where a transaction does not lock everything.
            db.execute(select(versions).with_for_update())
            newest = select(audit.c.number, audit.c.mac).order_by(audit.c.number.desc()).limit(1)
            last = db.execute(newest).one_or_none()
            entry = make(1, "") if last is None else make(last.number + 1, last.mac)
            db.execute(
                audit.insert().values(
                    number=entry.number,
                    at=entry.at,
                    who=entry.who,
                    action=entry.action,
                    project=entry.project,
                    subject=entry.subject,
                    purpose=entry.purpose,
                    mac=entry.mac,
                )
            )
        return entry

    def entries(self) -> Iterator[AuditEntry]:
        """Give every entry, oldest first."""
        query, number = select(audit).order_by(audit.c.number).limit(PAGE), 0
        while True:
            with self._database.read() as db:
                page = [
                    AuditEntry(
                        row.number, row.at, row.who, row.action, row.project, row.subject,
                        row.purpose, row.mac,
                    )
                    for row in db.execute(query.where(audit.c.number > number))
                ]  # fmt: skip
            yield from page
            if len(page) < PAGE:
                return
            number = page[-1].number
