"""Open the vault's database: SQLite with a write-ahead log, each commit synced, deletions wiped."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError

from dicom.errors import Corrupt, StorageFault
from storage.vault import schema

FILE_NAME: Final = "vault.db"
_PRAGMAS: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "busy_timeout=30000",
    # What is deleted is overwritten with zeros: a forgotten key must not linger on a free page.
    "secure_delete=ON",
)


_PASSING: Final = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL})


class VaultBusy(StorageFault):
    """Another process holds vault.db for long, or its disk is full: what is not kept waits."""

    code = "vault-busy"
    retry = True


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own implicit BEGIN is off: it would start as a reader and fail to upgrade
    # when another process writes in between.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


class Database:
    """The one place that hands out transactions; safe to share between threads and processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reading=True)

    @classmethod
    def open(cls, data_dir: Path) -> "Database":
        """Open or make the vault in a data directory; only this user may read the file.

        Raises StorageFault when the file cannot be opened, Corrupt when it is no vault of this
        version.
        """
        file = data_dir / FILE_NAME
        try:
            data_dir.mkdir(parents=True, exist_ok=True)
            os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as fault:
            raise StorageFault(f"{file} cannot be opened: {fault.strerror}") from fault
        engine = create_engine(f"sqlite:///{file}", pool_size=2, max_overflow=4)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        database = cls(engine)
        with database.write() as db:
            schema.metadata.create_all(db)
            version = db.scalar(select(schema.versions.c.version))
            if version is None:
                db.execute(schema.versions.insert().values(version=schema.VERSION))
            elif version != schema.VERSION:
                words = f"{file} has version {version}, this release reads {schema.VERSION}"
                raise Corrupt(words)
        return database

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that may write; committed and synced when the block ends well."""
        with _as_fault(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the vault and blocks no writer."""
        with _as_fault(), self._reader.begin() as connection:
            yield connection

    def wipe_log(self) -> bool:
        """Bring the write-ahead log into the file and empty it; False while a reader holds it.

        Old pages in the log would otherwise outlive what was deleted from the file.
        """
        if self._engine.dialect.name != "sqlite":
            return True
        with _as_fault():
            raw = self._engine.raw_connection()
            try:
                cursor = raw.cursor()
                busy: int = cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                cursor.close()
            except sqlite3.Error as fault:
                raise _fault(fault) from None
            finally:
                raw.close()
        return not busy

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


@contextmanager
def _as_fault() -> Iterator[None]:
    try:
        yield
    except DBAPIError as fault:
        # The statement's parameters stay out of the words.
        raise _fault(fault.orig) from fault


def _fault(cause: BaseException | None) -> StorageFault:
    """Name what the driver says; what may pass by itself is tried again."""
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    return VaultBusy(f"vault: {cause}") if code in _PASSING else StorageFault(f"vault: {cause}")
