"""The vault's rows and its audit trail over one database."""

from dataclasses import dataclass
from pathlib import Path

from dicom.errors import StorageFault
from storage.ledger.database import Server
from storage.vault.audit import AuditRows
from storage.vault.database import FILE_NAME, Database
from storage.vault.rows import VaultRows


@dataclass(frozen=True, slots=True)
class VaultStore:
    """What the vault keeps on disk."""

    database: Database
    rows: VaultRows
    trail: AuditRows

    @classmethod
    def open(cls, data_dir: Path, server: Server | None = None) -> "VaultStore":
        """Open or make the vault in a data directory or on a server; several processes may."""
        database = Database.open(data_dir, server)
        return cls(database, VaultRows(database), AuditRows(database))

    @classmethod
    def open_existing(cls, data_dir: Path, server: Server | None = None) -> "VaultStore":
        """Open the vault that a node made. Raises StorageFault where there is none."""
        if server is None and not (data_dir / FILE_NAME).exists():
            words = (
                f"there is no {FILE_NAME} in {data_dir}: check [node] data_dir; the first object"
                " under a profile with reversible = true makes it"
            )
            raise StorageFault(words)
        return cls.open(data_dir, server)

    def close(self) -> None:
        """Close the database."""
        self.database.close()
