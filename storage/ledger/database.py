"""Open the ledger's database, SQLite or PostgreSQL, and hand out its transactions.

SQLite has a write-ahead log, syncs each commit, and lets one transaction write at a time. On
PostgreSQL writers take one advisory lock for the same order: whatever a transaction reads before
it writes still holds when it writes, and events become visible in the order of their ids.
"""

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from sqlalchemy import (
    Connection,
    Engine,
    MetaData,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted

from dicom.errors import StorageFault
from storage.ledger import schema
from storage.ledger.migrate import NO_STEPS, Step, migrate
from storage.spool.identity import identity

if TYPE_CHECKING:  # whoever uses SQLite need not wait until it is loaded
    import psycopg

FILE_NAME = "ledger.sqlite"
PRAGMAS: Final = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000")
_CLOCK: Final = "SELECT extract(epoch FROM clock_timestamp())::float8"
CLOCK_EVERY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A PostgreSQL database, and the schema in it where our tables lie ("": the user's own)."""

    url: str
    password: str | None = field(default=None, repr=False)
    schema: str = ""


class Away(StorageFault):
    """The database does not answer, or broke off: what was asked is tried again."""

    code = "ledger-away"
    retry = True


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


class Turn(Protocol):
    """Something that one process at a time does, on all machines."""

    def is_ours(self) -> bool:
        """Take the turn, or say whether we still have it. Raises Away."""

    def give_up(self) -> None:
        """Let another have it."""


class _OnlyTurn:
    """On SQLite there is only one who does it."""

    def is_ours(self) -> bool:
        """Say that it is ours."""
        return True

    def give_up(self) -> None:
        """Nobody else wants it."""


class Database:
    """The one place that hands out transactions; safe to share between threads."""

    def __init__(
        self, engine: Engine, prepare: Callable[[Connection], None], node: str = ""
    ) -> None:
        self.node = node
        """Whose spool lies beside it, where several share it; "" for none, or for the only one."""
        self._engine = engine.execution_options(node=node)
        engine = self._engine
        reading: dict[str, Any] = {"reading": True}
        if engine.dialect.name == "postgresql":
            reading |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        self._reader = engine.execution_options(**reading)
        self._prepare = prepare
        self._prepared = False
        self._preparing = threading.Lock()
        self._telling = threading.Lock()
        self._ahead_s = time.time() - time.monotonic()
        self._ask_at = 0.0

    @classmethod
    def open(cls, data_dir: Path, server: Server | None = None, *, patient: bool = False) -> Self:
        """Open or make the ledger in a data directory, or on a server.

        Raises StorageFault when it cannot be opened, Corrupt when a newer release wrote it; Away
        when the server does not answer, unless `patient`: then each transaction asks anew.
        """
        if server is not None:
            node = identity(data_dir / "spool")
            return cls._on_server(
                server, schema.metadata, schema.VERSION, schema.STEPS, patient=patient, node=node
            )
        data_dir.mkdir(parents=True, exist_ok=True)
        engine = create_engine(f"sqlite:///{data_dir / FILE_NAME}", pool_size=8, max_overflow=16)
        return cls._over(
            engine,
            PRAGMAS,
            schema.metadata,
            schema.VERSION,
            "the ledger",
            steps=schema.STEPS,
        )

    @classmethod
    def _over(
        cls,
        engine: Engine,
        pragmas: Iterable[str],
        tables: MetaData,
        version: int,
        name: str,
        *,
        steps: Sequence[Step] = NO_STEPS,
    ) -> Self:
        """Set up connections to SQLite, and bring the tables to this release."""
        event.listen(engine, "connect", _preparing(pragmas))
        event.listen(engine, "begin", _begin)
        made = cls(engine, lambda db: migrate(db, tables, version, name, steps))
        return made._opened()

    @classmethod
    def _on_server(
        cls,
        server: Server,
        tables: MetaData,
        version: int,
        steps: Sequence[Step],
        *,
        patient: bool,
        node: str = "",
    ) -> Self:
        """Set up connections to PostgreSQL, and bring the tables to this release."""
        from storage.ledger import postgres

        engine = postgres.engine_of(server.url, server.password, server.schema)

        def prepare(db: Connection) -> None:
            if server.schema:
                db.exec_driver_sql(f'CREATE SCHEMA IF NOT EXISTS "{server.schema}"')
            migrate(db, tables, version, "the database", steps)

        made = cls(engine, prepare, node)
        return made._opened(patient=patient)

    def _opened(self, *, patient: bool = False) -> Self:
        """Bring the tables to this release now, or where it may and must be patient, later."""
        try:
            self._ready()
        except StorageFault as fault:
            if not (patient and fault.retry):
                self.close()
                raise
        return self

    @property
    def is_shared(self) -> bool:
        """Whether other machines may use it as well."""
        return self._engine.dialect.name == "postgresql"

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Give a transaction that may write; committed and synced when the block ends well.

        Until then no other writes. Raises Away when the server does not answer or breaks off; the
        transaction may have been committed then, which whoever repeats it must bear.
        """
        self._ready()
        with self._as_fault(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Give a transaction that sees one state of the ledger and blocks no writer."""
        self._ready()
        with self._as_fault(), self._reader.begin() as connection:
            yield connection

    def now(self) -> float:
        """Give the time that all who share the ledger go by, in seconds since the epoch.

        On PostgreSQL it is the server's, asked for now and then; otherwise this machine's. While
        the server is away time goes on from its last answer.
        """
        if not self.is_shared:
            return time.time()
        with self._telling:
            if time.monotonic() >= self._ask_at:
                self._ask_at = time.monotonic() + CLOCK_EVERY_S
                with contextlib.suppress(StorageFault), self.read() as db:
                    told: float = db.exec_driver_sql(_CLOCK).scalar_one()
                    self._ahead_s = told - time.monotonic()
            return time.monotonic() + self._ahead_s

    @contextmanager
    def listening(self, channels: Iterable[str]) -> Iterator["psycopg.Connection[Any]"]:
        """Give a connection that hears what is told on these channels; on PostgreSQL alone.

        Raises Away when the connection cannot be made, or is lost while the block runs.
        """
        from storage.ledger import postgres

        with postgres.listening(self._engine, channels, self._fault) as connection:
            yield connection

    def turn(self, name: str) -> Turn:
        """Give what only one process at a time may do on all machines; nothing is asked yet."""
        if not self.is_shared:
            return _OnlyTurn()
        from storage.ledger import postgres

        return postgres.SharedTurn(self._engine, name, self._fault)

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()

    def _ready(self) -> None:
        """Bring the tables to this release, once."""
        if self._prepared:
            return
        with self._preparing, self._as_fault():
            if not self._prepared:
                with self._engine.begin() as db:
                    self._prepare(db)
                self._prepared = True

    @contextmanager
    def _as_fault(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as fault:
            # The statement's parameters stay out of the words.
            raise self._fault(fault.orig) from fault
        except PoolExhausted as fault:
            raise self._fault(fault) from fault

    @staticmethod
    def _fault(cause: BaseException | None) -> StorageFault:
        """Name what the driver says."""
        return fault_of("ledger", cause)


def node_of(db: Connection) -> str:
    """Say whose spool lies beside the process that has this transaction: Database.node."""
    node: str = db.get_execution_options().get("node", "")
    return node


def fault_of(name: str, cause: BaseException | None) -> StorageFault:
    """Make a fault of a driver's: Away for what may pass by itself, without any value."""
    if isinstance(cause, PoolExhausted):
        return Away(f"{name}: every connection is in use")
    if cause is None or isinstance(cause, sqlite3.Error):
        return StorageFault(f"{name}: {cause}")
    from storage.ledger import postgres

    words, is_passing = postgres.said(cause)
    if words.startswith("connection failed"):
        words += f"; the server is named by [{name}] in the config file"
    return (Away if is_passing else StorageFault)(f"{name}: {words}")
