"""The index: a DuckDB file, owned by one process, that answers questions about what is stored.

It is derived from the spool. A file that is broken is set aside and the index starts empty;
`position` then says so, and the follower fills it again. One of an older version is carried over.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import duckdb
import structlog

from dicom.entity import Instance, Location
from dicom.errors import Corrupt, OutOfResources, SpoolFull, StorageFault
from dicom.head import Texts
from dicom.query import Query
from dicom.selection import Selection, Stored
from storage.index import renewing, rows
from storage.index.encrypting import IndexKeys
from storage.index.filing import file
from storage.index.finding import Finding
from storage.index.heads import HeadRow, file_heads, headless, heads_of
from storage.index.opening import IN_THE_CLEAR, Unusable, connect, set_aside, use
from storage.index.ownership import is_held_elsewhere
from storage.index.reports import Table, ask
from storage.index.selected import selected

Entry = tuple[Instance, Texts]
"""An object as the spool has it, and the texts of its head."""
Match = Mapping[str, str]
"""One found entity: DICOM text by keyword."""

_PAGE: Final = 100  # matches fetched at once; C-CANCEL is heard between pages
log = structlog.get_logger()


class Index:
    """Patients, Studies, Series and Instances, searchable. Safe to use from several threads."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, *, is_sealed: bool = False) -> None:
        self._connection = connection
        self._is_sealed = is_sealed
        self._writing = threading.Lock()

    @classmethod
    def open(cls, path: Path, keys: IndexKeys = IN_THE_CLEAR) -> Self:
        """Open the index, or make an empty one where there is none that can be used.

        With a key the file is encrypted. Raises StorageFault when another process owns the file
        or the place cannot be written, ConfigFault when this machine cannot encrypt it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return cls(connect(path, keys), is_sealed=bool(keys.current))
        except Unusable as fault:
            if is_held_elsewhere(path):
                words = f"{path} is in use: one process only may own the index"
                raise StorageFault(words) from fault
            set_aside(path)
            log.warning("index set aside", path=str(path), why=str(fault))
        try:
            return cls(connect(path, keys), is_sealed=bool(keys.current))
        except Unusable as fault:
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
        heads = _heads(entries)
        with self._writing, self._cursor() as cursor, _transaction(cursor):
            if heads:
                file(cursor, heads)
            _move(cursor, "position", positions)

    def head_position(self) -> Mapping[str, int]:
        """Give the position per spool segment up to which there are heads."""
        with self._cursor() as cursor:
            found = cursor.execute("SELECT segment, position FROM head_position").fetchall()
        return dict(found)

    def wholly_read(self) -> Mapping[str, int]:
        """Give the position per segment behind which nothing in the spool is new to the index.

        Up to there every row that can have a head has it: the bytes may leave.
        """
        rows, heads = self.position(), self.head_position()
        return {one: min(reached, heads.get(one, 0)) for one, reached in rows.items()}

    def headless(self, objects: Sequence[tuple[str, Location]]) -> list[int]:
        """Say which objects, by UID and place, are indexed and have no head yet, by number."""
        with self._cursor() as cursor:
            return headless(cursor, objects)

    def add_heads(self, heads: Sequence[HeadRow], positions: Mapping[str, int]) -> None:
        """Keep heads of objects that had none and move the positions, or do neither."""
        with self._writing, self._cursor() as cursor, _transaction(cursor):
            file_heads(cursor, heads)
            _move(cursor, "head_position", positions)

    def heads(self, which: Selection) -> Iterator[tuple[Stored, Mapping[str, object] | None]]:
        """Give the head of each Instance of a selection in DICOM JSON, in the order of `instances`.

        None stands for a head that is not indexed: the object is too young, or describes itself
        in more than 1 MB; read it from its bytes then (dicom/json_head.py). Raises StorageFault.
        """
        with self._cursor() as cursor:
            yield from heads_of(cursor, selected(cursor, which))

    def begin_renewal(self) -> None:
        """Have the whole spool read once more; see storage/index/renewing.py."""
        self.change(renewing.begin)

    def renewal(self) -> Mapping[str, int] | None:
        """Give the position per segment of a renewal, None where none goes on."""
        with self._cursor() as cursor:
            return renewing.position(cursor)

    def renewed_records(self) -> int | None:
        """Count the records that a renewal has read, None where none goes on."""
        with self._cursor() as cursor:
            return renewing.records(cursor)

    def renew(self, entries: Sequence[Entry], positions: Mapping[str, int], records: int) -> None:
        """Bring the rows of a batch up to date and move the renewal's positions, or do neither."""
        heads = _heads(entries)
        self.change(lambda cursor: renewing.renew(cursor, heads, positions, records))

    def end_renewal(self) -> None:
        """Note that a renewal has come to the log's end."""
        self.change(renewing.end)

    def find(
        self, query: Query, limit: int, *, offset: int = 0, is_ordered: bool = False
    ) -> Iterator[Match]:
        """Find the entities that match, at most `limit`, as they are at this moment.

        Each match maps the query's return keywords to DICOM text ("" where unknown). Ordered, and
        then from `offset` on, as `select` says. Raises StorageFault.
        """
        keywords = [attribute.keyword for attribute in query.returning]
        with self.finding(query, limit, offset=offset, is_ordered=is_ordered) as finding:
            while page := finding.page(_PAGE):
                for texts in page:
                    yield dict(zip(keywords, texts, strict=True))

    @contextmanager
    def finding(
        self, query: Query, limit: int, *, offset: int = 0, is_ordered: bool = False
    ) -> Iterator[Finding]:
        """Begin to answer a query, page by page; as `find` otherwise."""
        with self._cursor() as cursor:
            yield Finding(cursor, query, limit, offset=offset, is_ordered=is_ordered)

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
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a cursor that sees one state of the index, to rooms in this folder.

        What goes wrong in the block is raised as StorageFault or OutOfResources.
        """
        with self._cursor() as cursor:
            cursor.execute("BEGIN TRANSACTION READ ONLY")
            yield cursor

    def change(self, write: Callable[[duckdb.DuckDBPyConnection], object]) -> None:
        """Run one transaction of a room in this folder. Raises StorageFault."""
        with self._writing, self._cursor() as cursor, _transaction(cursor):
            write(cursor)

    @contextmanager
    def _cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with _faults():
            cursor = self._connection.cursor()
            if self._is_sealed:
                use(cursor)
        try:
            with _faults():
                yield cursor
        finally:
            cursor.close()


def _heads(entries: Sequence[Entry]) -> dict[str, rows.Head]:
    heads: dict[str, rows.Head] = {}
    for instance, texts in entries:
        head = rows.Head(instance, texts)
        if head.study_instance_uid and head.series_instance_uid:
            heads.setdefault(head.sop_instance_uid, head)
    return heads


def _move(cursor: duckdb.DuckDBPyConnection, table: str, positions: Mapping[str, int]) -> None:
    for segment, position in positions.items():
        cursor.execute(f"INSERT OR REPLACE INTO {table} VALUES ($1, $2)", [segment, position])  # noqa: S608  (our own names)


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
