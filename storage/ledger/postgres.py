"""PostgreSQL behind the ledger: sessions, the writers' lock, and what it says; home of psycopg.

Loaded only where a config file names a server.
"""

import contextlib
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from dicom.errors import StorageFault

_CONNECT: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    # A server that a network cut took away is missed after seconds, not after hours.
    "keepalives_idle": 10,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "penumbra",
}
_SESSION: Final = (
    # Compiling the search for the next job takes seconds, running it a millisecond.
    "jit = off",
    "lock_timeout = '30s'",
    # Who was cut off in mid-transaction must not keep the writers' lock.
    "idle_in_transaction_session_timeout = '60s'",
    "tcp_keepalives_idle=10",
    "tcp_keepalives_interval=3",
    "tcp_keepalives_count=3",
)
_TURNS: Final = 0x50454F
"""With the name of what is done in turn, the advisory lock that whoever does it holds."""
_WRITERS: Final = 0x50454E
"""With the schema's name, the advisory lock that writers take."""
_PLAIN_CLASSES: Final = frozenset({"08", "28", "3D", "53", "55", "57"})
"""SQLSTATE classes whose words are about the server and not about values."""


def engine_of(server_url: str, password: str | None, space: str) -> Engine:
    """Make the pool of connections to a schema, "" for the user's own; none is connected yet."""
    url: URL = make_url(server_url).set(drivername="postgresql+psycopg")
    if password is not None:
        url = url.set(password=password)
    engine = create_engine(
        url,
        pool_size=4,
        max_overflow=12,
        pool_pre_ping=True,
        pool_use_lifo=True,
        connect_args=_CONNECT,
        hide_parameters=True,
    )
    event.listen(engine, "connect", _preparing_session(space))
    event.listen(engine, "begin", _taking_turns(space))
    return engine


class SharedTurn:
    """One process' place in a line for something; whoever dies, or is cut off, loses it."""

    def __init__(
        self, engine: Engine, name: str, fault_of: Callable[[BaseException], StorageFault]
    ) -> None:
        self._engine = engine
        self._key = (_TURNS, _signed(name))
        self._fault_of = fault_of
        self._held: psycopg.Connection[Any] | None = None

    def is_ours(self) -> bool:
        """Take the turn, or say whether we still have it: the connection that holds it lives."""
        try:
            if self._held is not None:
                self._held.execute("SELECT 1")
                return True
            with contextlib.ExitStack() as asking:
                connection = asking.enter_context(contextlib.closing(_connected(self._engine)))
                asked = connection.execute("SELECT pg_try_advisory_lock(%s, %s)", self._key)
                if asked.fetchone() == (True,):
                    asking.pop_all()
                    self._held = connection
        except psycopg.Error as fault:
            self.give_up()
            raise self._fault_of(fault) from fault
        return self._held is not None

    def give_up(self) -> None:
        """Let another have it."""
        held, self._held = self._held, None
        if held is not None:
            held.close()


@contextmanager
def listening(
    engine: Engine, channels: Iterable[str], fault_of: Callable[[BaseException], StorageFault]
) -> Iterator[psycopg.Connection[Any]]:
    """Give a connection that hears what is told on these channels. Raises what `fault_of` makes."""
    try:
        with _connected(engine) as connection:
            for channel in channels:
                connection.execute(f'LISTEN "{channel}"'.encode())
            yield connection
    except psycopg.Error as fault:
        raise fault_of(fault) from fault


def _connected(engine: Engine) -> psycopg.Connection[Any]:
    """Connect beside the pool, for something that outlasts a transaction."""
    url = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(url, autocommit=True, **_CONNECT)


def _signed(name: str) -> int:
    """Give a name as a number that PostgreSQL takes for a lock: 32 bits with a sign."""
    return zlib.crc32(name.encode()) - (1 << 31)


def said(cause: BaseException) -> tuple[str, bool]:
    """Say what is wrong without any value, and whether it may pass by itself.

    PostgreSQL quotes values in some of its messages; of those only the kind and the place stay.
    """
    if not isinstance(cause, psycopg.Error):
        return str(cause), False
    state = cause.sqlstate or ""
    if not state:
        words = " ".join(str(cause).split())
    elif state[:2] in _PLAIN_CLASSES:
        words = cause.diag.message_primary or state
    else:
        place = cause.diag.constraint_name or cause.diag.table_name or ""
        words = f"{type(cause).__name__} {state} {place}".rstrip()
    return words, isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError)


class _WithoutNul(StrDumperUnknown):
    """PostgreSQL's text holds no NUL; a sender's may."""

    def dump(self, obj: str) -> Any:
        """Show it as a character that no sender means."""
        return super().dump(obj.replace("\0", "\N{REPLACEMENT CHARACTER}"))


def _preparing_session(space: str) -> Callable[[Any, object], None]:
    def prepare(connection: Any, _record: object) -> None:
        connection.adapters.register_dumper(str, _WithoutNul)
        with connection.cursor() as cursor:
            for setting in _SESSION:
                cursor.execute(f"SET {setting}")
            if space:
                cursor.execute(f'SET search_path = "{space}"')
        connection.commit()

    return prepare


def _taking_turns(space: str) -> Callable[[Connection], None]:
    key = (_WRITERS, _signed(space))

    def begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("reading", False):
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(%s, %s)", key)

    return begin
