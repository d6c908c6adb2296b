"""Open the ledger's database: SQLite with a write-ahead log, each commit synced."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.exc import DBAPIError

from dicom.errors import Corrupt, StorageFault
from storage.ledger import schema

FILE_NAME = "ledger.sqlite"


def _prepare(connection: Any, _record: object) -> None:
    # The driver's own implicit BEGIN is off: it would start as a reader and fail to upgrade
    # when another process writes in between.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


class Database:
    """The one place that hands out transactions; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reading=True)

    @classmethod
    def open(cls, data_dir: Path) -> "Database":
        """Open or make the ledger in a data directory.

        Raises StorageFault when the file cannot be opened, Corrupt when it is not a ledger of
        this version.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{data_dir / FILE_NAME}", pool_size=8, max_overflow=16)
        event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        database = cls(engine)
        with database.write() as db:
            schema.metadata.create_all(db)
            version = db.scalar(select(schema.versions.c.version))
            if version is None:
                db.execute(schema.versions.insert().values(version=schema.VERSION))
            elif version != schema.VERSION:
                raise Corrupt(
                    f"the ledger has version {version}, this release reads {schema.VERSION}"
                )
        return database

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that may write; committed and synced when the block ends well."""
        with _as_fault(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the ledger and blocks no writer."""
        with _as_fault(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


@contextmanager
def _as_fault() -> Iterator[None]:
    try:
        yield
    except DBAPIError as fault:
        # The statement's parameters stay out of the words.
        raise StorageFault(f"ledger: {fault.orig}") from fault
