"""Open the ledger's database: SQLite with a write-ahead log, each commit synced."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from sqlalchemy import Connection, Engine, MetaData, create_engine, event, select
from sqlalchemy.exc import DBAPIError

from dicom.errors import Corrupt, StorageFault
from storage.ledger import schema

FILE_NAME = "ledger.sqlite"
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000")


def _preparing(pragmas: Iterable[str]) -> Callable[[Any, object], None]:
    def prepare(connection: Any, _record: object) -> None:
        # The driver's own implicit BEGIN is off: it would start as a reader and fail to upgrade
        # when another process writes in between.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    return prepare


def _begin(connection: Connection) -> None:
    reading = connection.get_execution_options().get("reading", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


class Database:
    """The one place that hands out transactions; safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reader = engine.execution_options(reading=True)

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        """Open or make the ledger in a data directory.

        Raises StorageFault when the file cannot be opened, Corrupt when it is not a ledger of
        this version.
        """
        data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{data_dir / FILE_NAME}", pool_size=8, max_overflow=16)
        return cls._over(engine, PRAGMAS, schema.metadata, schema.VERSION, "the ledger")

    @classmethod
    def _over(
        cls, engine: Engine, pragmas: Iterable[str], tables: MetaData, version: int, name: str
    ) -> Self:
        """Set up connections, make tables that are missing, and see that the version is ours."""
        event.listen(engine, "connect", _preparing(pragmas))
        event.listen(engine, "begin", _begin)
        database = cls(engine)
        versions = tables.tables["version"]
        with database.write() as db:
            tables.create_all(db)
            found = db.scalar(select(versions.c.version))
            if found is None:
                db.execute(versions.insert().values(version=version))
            elif found != version:
                raise Corrupt(f"{name} has version {found}, this release reads {version}")
        return database

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that may write; committed and synced when the block ends well."""
        with self._as_fault(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the ledger and blocks no writer."""
        with self._as_fault(), self._reader.begin() as connection:
            yield connection

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    @contextmanager
    def _as_fault(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as fault:
            # The statement's parameters stay out of the words.
            raise self._fault(fault.orig) from fault

    @staticmethod
    def _fault(cause: BaseException | None) -> StorageFault:
        """Name what the driver says."""
        return StorageFault(f"ledger: {cause}")
