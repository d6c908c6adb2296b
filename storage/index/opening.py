"""Open the file of the index: lock it down, make what is new, carry over what is of old.

A file of another version is copied into a new one, so that the rows of objects which have left
the spool long ago stay; what it could not know is then read from the spool again.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import duckdb
import structlog

from dicom.errors import StorageFault
from storage.index import encrypting, renewing
from storage.index.encrypting import IndexKeys
from storage.index.keys import HASHED, hash_column, in_sql
from storage.index.schema import COLUMNS, VERSION, statements

GB: Final = 1 << 30
_LEAST_MEMORY: Final = GB
_MOST_MEMORY: Final = 8 * GB
_MEMORY_SHARE: Final = 0.25
IN_THE_CLEAR: Final = IndexKeys()
_READABLE_SINCE: Final = "v1.5.0"
"""The oldest DuckDB that reads a file which is made here: who goes back to one keeps the index."""
_CARRIED: Final = ("position", "head_position")
_HEADS: Final = ("SeriesInstanceUID_hash", "SeriesInstanceUID", "SOPInstanceUID", "base", "json")

Config = dict[str, str | bool | int | float | list[str]]

log = structlog.get_logger()


class _Locked(Exception):  # noqa: N818  (an answer, caught in this file)
    """The key is not the one that the file was encrypted with."""


class Unusable(Exception):  # noqa: N818  (an answer, caught where the index is opened)
    """There is no index of this version behind the path."""


def connect(path: Path, keys: IndexKeys = IN_THE_CLEAR) -> duckdb.DuckDBPyConnection:
    """Open an index of this version, or make one, or bring an older one to it.

    One that was encrypted otherwise is brought over too. Raises Unusable, and ConfigFault where
    this machine cannot encrypt.
    """
    connection, key = _opened_by_any(path, keys)
    try:
        if key == keys.current and _is_of_this_version(connection):
            connection.execute("SET enable_external_access = false")
            connection.execute("SET lock_configuration = true")
            return connection
        connection.close()
        _carry_over(path, key, keys.current)
    except duckdb.Error as fault:
        connection.close()
        raise Unusable(type(fault).__name__) from fault
    return connect(path, keys)


def _opened_by_any(path: Path, keys: IndexKeys) -> tuple[duckdb.DuckDBPyConnection, str]:
    """Open the file with the key that opens it."""
    candidates = [keys.current]
    if path.exists() and path.stat().st_size:
        candidates += [*keys.others, ""] if keys.current else keys.others
    for key in dict.fromkeys(candidates):
        try:
            return _opened(path, key), key
        except _Locked:
            continue
    raise StorageFault(
        f"{path} is encrypted, and no key that is given opens it: name the key that it was made"
        " with in [node] spool_key or spool_old_keys, or make a new index by `penumbra reindex"
        " --from-nothing`"
    )


def _opened(path: Path, key: str) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(":memory:" if key else str(path), config=_config())
    except duckdb.Error as fault:
        raise _why(fault) from fault
    if not key:
        return connection
    try:
        encrypting.load(connection)
        encrypting.attach(connection, path, key)
        use(connection)
    except duckdb.Error as fault:
        connection.close()
        raise _why(fault) from fault
    except BaseException:
        connection.close()
        raise
    return connection


def _why(fault: duckdb.Error) -> Exception:
    return _Locked() if "encrypt" in str(fault).lower() else Unusable(type(fault).__name__)


def use(connection: duckdb.DuckDBPyConnection) -> None:
    """Have a connection, or a cursor of it, speak to the encrypted file."""
    connection.execute(f"USE {encrypting.NAME}")


def _config() -> Config:
    """Say how DuckDB runs: what it may reach, and how much of the machine it may take."""
    cores = os.cpu_count() or 1
    return {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "allow_community_extensions": "false",
        "python_enable_replacements": "false",  # no variable of ours is a table to anybody's SQL
        "storage_compatibility_version": _READABLE_SINCE,
        "memory_limit": f"{memory_bytes() >> 20}MiB",
        # A question runs on the thread that asks it; the door needs the other cores.
        "threads": max(1, cores // 2),
    }


def memory_bytes() -> int:
    """Say how much memory the index may take: a quarter of the machine's, 1 to 8 GB."""
    with suppress(ValueError, OSError):
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return int(min(max(whole * _MEMORY_SHARE, _LEAST_MEMORY), _MOST_MEMORY))
    return _LEAST_MEMORY


def _is_of_this_version(connection: duckdb.DuckDBPyConnection) -> bool:
    """Look at the tables, and make them where there are none."""
    found = _columns(connection)
    if not found:
        connection.execute("BEGIN")
        for statement in statements():
            connection.execute(statement)
        connection.execute("COMMIT")
        return True
    if connection.execute("SELECT version FROM about").fetchall() != [(VERSION,)]:
        return False
    wanted = {(table, column.name) for table, columns in COLUMNS.items() for column in columns}
    return wanted <= found


def _columns(connection: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns()"
        " WHERE NOT internal AND database_name = current_database()"
    ).fetchall()
    return {(table, column) for table, column in rows}


def _carry_over(path: Path, former_key: str, key: str) -> None:
    """Copy an index of another version into a new file that takes its place.

    Raises Unusable where it lacks a table of ours, as those of no version do.
    """
    fresh = path.with_name(path.name + ".new")
    _delete(fresh)
    connection = _opened(fresh, key)
    try:
        if former_key:
            encrypting.load(connection)
        _is_of_this_version(connection)
        encrypting.attach(connection, path, former_key, "former")
        version = connection.execute("SELECT max(version) FROM former.about").fetchall()[0][0]
        if version > VERSION:
            raise Unusable(f"its version {version} is newer than this program's {VERSION}")
        _copy(connection)
        connection.execute("DETACH former")
    except duckdb.Error as fault:
        raise Unusable(type(fault).__name__) from fault
    finally:
        connection.close()
    fresh.replace(path)
    _delete(path.with_name(path.name + ".wal"))
    log.info("index carried over", path=str(path), version=version, to=VERSION)


def _copy(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = 'former'"
    ).fetchall()
    former = {(str(table), str(column)) for table, column in rows}
    connection.execute("BEGIN")
    for table, columns in COLUMNS.items():
        names = [column.name for column in columns]
        picked = {name: _picked(table, name, former) for name in names}
        pairs = [f"{source} AS {name}" for name, source in picked.items() if source]
        words = f"INSERT INTO {table} BY NAME SELECT {', '.join(pairs)} FROM former.{table}"  # noqa: S608  (our own names)
        connection.execute(words)
    for table in _CARRIED:
        if (table, "segment") in former:
            connection.execute(f"INSERT INTO {table} SELECT * FROM former.{table}")  # noqa: S608  (our own names)
    if {("head_stored", name) for name in _HEADS} <= former:
        heads = ", ".join(_HEADS)
        connection.execute(f"INSERT INTO head_stored SELECT {heads} FROM former.head_stored")  # noqa: S608  (our own names)
    renewing.begin(connection)
    connection.execute("COMMIT")


def _picked(table: str, name: str, former: set[tuple[str, str]]) -> str:
    """Say where a column's values come from; "" for nowhere, until the spool is read again."""
    if (table, name) in former:
        return name
    return next((in_sql(one) for one in HASHED if hash_column(one) == name), "")


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + ".wal").unlink(missing_ok=True)
    except OSError as fault:
        raise StorageFault(f"{path} cannot be deleted ({fault.strerror})") from fault


def set_aside(path: Path) -> None:
    """Keep the last unusable file for whoever wants to know; there is nothing in it to save."""
    try:
        for name in (path, path.with_name(path.name + ".wal")):
            if name.exists():
                name.replace(name.with_name(name.name + ".unusable"))
    except OSError as fault:
        raise StorageFault(f"{path} cannot be set aside ({fault.strerror})") from fault
