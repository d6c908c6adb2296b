"""Open the vault's database, SQLite or PostgreSQL: each commit synced, deletions wiped."""

import os
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from sqlalchemy import create_engine

from dicom.errors import StorageFault
from storage.ledger import database as ledger
from storage.vault import schema

FILE_NAME: Final = "vault.db"
SCHEMA: Final = "penumbra_vault"
"""On PostgreSQL: its tables have names that others have as well."""
_PRAGMAS: Final = (
    *ledger.PRAGMAS,
    # What is deleted is overwritten with zeros: a forgotten key must not linger on a free page.
    "secure_delete=ON",
)
_PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})


class VaultBusy(StorageFault):
    """Another process holds it for long, its disk is full or its server away: what comes waits."""

    code = "vault-busy"
    retry = True


class Database(ledger.Database):
    """The one place that hands out the vault's transactions, as the ledger's does."""

    @classmethod
    def open(
        cls, data_dir: Path, server: ledger.Server | None = None, *, patient: bool = False
    ) -> Self:
        """Open or make the vault in a data directory, or on a server in a schema of its own.

        Only this user may read the file. Raises StorageFault when it cannot be opened, Corrupt
        when a newer release wrote it, VaultBusy when the server does not answer, unless `patient`.
        """
        if server is not None:
            own = replace(server, schema=SCHEMA)
            return cls._on_server(own, schema.metadata, schema.VERSION, (), patient=patient)
        file = data_dir / FILE_NAME
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise StorageFault(f"{file} cannot be opened: {fault.strerror}") from fault
        engine = create_engine(f"sqlite:///{file}", pool_size=2, max_overflow=4)
        return cls._over(engine, _PRAGMAS, schema.metadata, schema.VERSION, str(file))

    def wipe_log(self) -> bool:
        """Bring the write-ahead log into the file and empty it; False while a reader holds it.

        Old pages in the log would otherwise outlive what was deleted from the file.
        """
        if self._engine.dialect.name != "sqlite":
            return True
        with self._as_fault():
            raw = self._engine.raw_connection()
            try:
                cursor = raw.cursor()
                busy: int = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                cursor.close()
            except sqlite3.Error as fault:
                raise self._fault(fault) from None
            finally:
                raw.close()
        return not busy

    @staticmethod
    def _fault(cause: BaseException | None) -> StorageFault:
        """Name what the driver says; what may pass by itself is tried again."""
        fault = ledger.fault_of("vault", cause)
        code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
        passing = isinstance(fault, ledger.Away) or code in _PASSING
        return VaultBusy(str(fault)) if passing else fault
