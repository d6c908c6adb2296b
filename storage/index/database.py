"""The index: a DuckDB file, owned by one process, that answers questions about what is stored.

It is derived from the spool. A file that is broken or of another version is set aside and the
index starts empty; `position` then says so, and the follower fills it again.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import duckdb
import structlog

from dicom.entity import Instance
from dicom.errors import Corrupt, OutOfResources, SpoolFull, StorageFault
from dicom.head import Texts
from dicom.query import Query
from dicom.selection import Selection, Stored
from storage.index import rows
from storage.index.filing import file
from storage.index.ownership import is_held_elsewhere
from storage.index.reports import Table, ask
from storage.index.schema import VERSION, statements
from storage.index.select import select
from storage.index.selected import selected

Entry = tuple[Instance, Texts]
"""An object as the spool has it, and the texts of its head."""
Match = Mapping[str, str]
"""One found entity: DICOM text by keyword."""

_PAGE: Final = 100  # matches fetched at once; C-CANCEL is heard between pages
_LOCKED: Final[dict[str, str | bool | int | float | list[str]]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",  # no variable of ours is a table to anybody's SQL
    "memory_limit": "1GB",
}

log = structlog.get_logger()


class Index:
    """Patients, Studies, Series and Instances, searchable. Safe to use from several threads."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self._writing = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the index, or make an empty one where there is none that can be used.

        Raises StorageFault when another process owns the file or the place cannot be written.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(_connect(path))
        except _Unusable as fault:
            if is_held_elsewhere(path):
                words = f"{path} is in use: one process only may own the index"
                raise StorageFault(words) from fault
            _set_aside(path)
            log.warning("index set aside", path=str(path), why=str(fault))
        try:
            return cls(_connect(path))
        except _Unusable as fault:
            raise StorageFault(f"the index cannot be opened at {path}: {fault}") from fault

    def close(self) -> None:
        """Write everything out and give the file back. May be called twice."""
        with self._writing:
            self._connection.close()

    def position(self) -> Mapping[str, int]:
        """Give the position per spool segment that `add` last stored; empty for a new index."""
        with self._cursor() as cursor:
            found = cursor.execute("SELECT segment, position FROM position").fetchall()
        return dict(found)

    def count(self) -> int:
        """Count the Instances that can be found."""
        with self._cursor() as cursor:
            return int(cursor.execute("SELECT count(*) FROM instance").fetchall()[0][0])

    def add(self, entries: Sequence[Entry], positions: Mapping[str, int]) -> None:
        """Index a batch and move the positions, or do neither.

        The first object of a UID stays; what follows under the same UID changes nothing. An
        entry without a Study or Series UID is passed over. Raises StorageFault.
        """
        heads: dict[str, rows.Head] = {}
        for instance, texts in entries:
            head = rows.Head(instance, texts)
            if head.study_instance_uid and head.series_instance_uid:
                heads.setdefault(head.sop_instance_uid, head)
        with self._writing, self._cursor() as cursor, _transaction(cursor):
            if heads:
                file(cursor, heads)
            for segment, position in positions.items():
                cursor.execute(
                    "INSERT OR REPLACE INTO position VALUES ($1, $2)", [segment, position]
                )

    def find(self, query: Query, limit: int) -> Iterator[Match]:
        """Find the entities that match, at most `limit`, as they are at this moment.

        Each match maps the query's return keywords to DICOM text ("" where unknown). Raises
        StorageFault.
        """
        statement, parameters = select(query, limit)
        keywords = [attribute.keyword for attribute in query.returning]
        with self._cursor() as cursor:
            cursor.execute(statement, parameters)
            while page := cursor.fetchmany(_PAGE):
                for values in page:
                    yield dict(zip(keywords, map(rows.to_text, values), strict=False))

    def instances(self, which: Selection) -> list[Stored]:
        """List the Instances of a selection by Study, SeriesNumber, Series and InstanceNumber.

        Raises StorageFault.
        """
        with self._cursor() as cursor:
            return selected(cursor, which)

    def sql(self, text: str, *, timeout_s: float, max_rows: int) -> Table:
        """Answer one SELECT in SQL, read-only, with nothing outside the index in reach.

        Raises CannotUnderstand with the database's words, OutOfResources past `timeout_s`.
        """
        with self._cursor() as cursor:
            return ask(cursor, text, timeout_s, max_rows)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with _faults():
            cursor = self._connection.cursor()
        try:
            with _faults():
                yield cursor
        finally:
            cursor.close()


class _Unusable(Exception):  # noqa: N818  (never leaves this file)
    """There is no index of this version behind the path."""


def _connect(path: Path) -> duckdb.DuckDBPyConnection:
    try:
        connection = duckdb.connect(str(path), config=_LOCKED)
    except duckdb.Error as fault:
        raise _Unusable(type(fault).__name__) from fault
    try:
        _prepare(connection)
    except duckdb.Error as fault:
        connection.close()
        raise _Unusable(type(fault).__name__) from fault
    except _Unusable:
        connection.close()
        raise
    return connection


def _prepare(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("SET lock_configuration = true")
    known = connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
    if known == (0,):
        connection.execute("BEGIN")
        for statement in statements():
            connection.execute(statement)
        connection.execute("COMMIT")
    found = connection.execute("SELECT version FROM about").fetchall()
    if found != [(VERSION,)]:
        raise _Unusable("another version")


def _set_aside(path: Path) -> None:
    """Keep the last unusable file for whoever wants to know; there is nothing in it to save."""
    try:
        for name in (path, path.with_name(path.name + ".wal")):
            if name.exists():
                name.replace(name.with_name(name.name + ".unusable"))
    except OSError as fault:
        raise StorageFault(f"{path} cannot be set aside ({fault.strerror})") from fault


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except duckdb.OutOfMemoryException as fault:
        raise OutOfResources("the index ran out of memory for this question") from fault
    except duckdb.IOException as fault:
        raise SpoolFull("the index cannot read or write its file") from fault
    except (
        duckdb.FatalException,
        duckdb.InternalException,
        duckdb.SerializationException,
    ) as fault:
        words = (
            "the index is broken; stop the node, delete the file, and it is rebuilt at the start"
        )
        raise Corrupt(words) from fault
    except duckdb.Error as fault:
        raise StorageFault(f"the index refused a statement ({type(fault).__name__})") from fault


@contextmanager
def _transaction(cursor: duckdb.DuckDBPyConnection) -> Iterator[None]:
    cursor.execute("BEGIN")
    try:
        yield
        cursor.execute("COMMIT")
    except BaseException:
        with suppress(duckdb.Error):  # a failed COMMIT has rolled back by itself
            cursor.execute("ROLLBACK")
        raise
