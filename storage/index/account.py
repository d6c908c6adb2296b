"""Feed the index's account of what the node did from the ledger, and remember how far.

The rows and the position are one transaction. Where the ledger was made anew, so that its ids
begin again, the account begins again too.
"""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from storage.index.account_schema import POSITION, arrow_table, statements
from storage.index.database import Index

Row = Mapping[str, Any]

_OVER: Final = frozenset({"done", "dropped"})
_WARNING: Final = "0xB"
"""What statuses begin with that tell of an object which was stored all the same."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What is new: rows of the ledger's tables, and the id that each of these is known to."""

    rows: Mapping[str, Sequence[Row]]
    reached: Mapping[str, int]


class AccountTables:
    """The account's side of the index. One thread feeds it."""

    def __init__(self, index: Index) -> None:
        """Make the tables where an older release made none. Raises StorageFault."""
        self._index = index
        index.change(_make)

    def reached(self) -> dict[str, int]:
        """Give the id to which each table of the ledger is known."""
        with self._index.reading() as cursor:
            return dict(cursor.execute(f"SELECT source, id FROM {POSITION}").fetchall())  # noqa: S608  (our own name)

    def add(self, batch: Batch) -> None:
        """Add rows and move the positions, or do neither. Raises StorageFault."""
        made = {table: rows for source in batch.rows for table, rows in _of(source, batch).items()}
        self._index.change(lambda cursor: _write(cursor, made, batch.reached))

    def open_jobs(self, after: int, limit: int) -> dict[int, tuple[str, dt.datetime]]:
        """Give state and last change of jobs that are not over, by id, behind an id."""
        query = (
            "SELECT id, state, changed_at FROM job WHERE id > $1"
            " AND state NOT IN ('done', 'dropped') ORDER BY id LIMIT $2"
        )
        with self._index.reading() as cursor:
            found = cursor.execute(query, [after, limit]).fetchall()
        return {number: (state, at) for number, state, at in found}

    def forget(self, source: str) -> None:
        """Begin a table of the ledger anew."""
        tables = _TABLES_OF[source]

        def clear(cursor: duckdb.DuckDBPyConnection) -> None:
            for table in tables:
                cursor.execute(f"DELETE FROM {table}")  # noqa: S608  (our own names)
            cursor.execute(f"DELETE FROM {POSITION} WHERE source = $1", [source])  # noqa: S608  (our own name)

        self._index.change(clear)


def _make(cursor: duckdb.DuckDBPyConnection) -> None:
    for statement in statements():
        cursor.execute(statement)


def _write(
    cursor: duckdb.DuckDBPyConnection,
    made: Mapping[str, Sequence[Row]],
    reached: Mapping[str, int],
) -> None:
    for table, rows in made.items():
        if rows:
            way = "INSERT OR REPLACE" if table == "job" else "INSERT"
            with _registered(cursor, arrow_table(table, rows)):
                cursor.execute(f"{way} INTO {table} SELECT * FROM fed")  # noqa: S608  (our own names)
    for source, number in reached.items():
        cursor.execute(f"INSERT OR REPLACE INTO {POSITION} VALUES ($1, $2)", [source, number])  # noqa: S608  (our own name)


@contextmanager
def _registered(cursor: duckdb.DuckDBPyConnection, table: Any) -> Iterator[None]:
    cursor.register("fed", table)
    try:
        yield
    finally:
        cursor.unregister("fed")


def moment(seconds: float | None) -> dt.datetime | None:
    """Turn seconds since the epoch into a TIMESTAMP in UTC."""
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).replace(tzinfo=None)


def _association(row: Row) -> Row:
    statuses: Mapping[str, int] = row["statuses"]
    kept = sum(n for code, n in statuses.items() if code == "0x0000" or code.startswith(_WARNING))
    return {
        **row,
        "association": row["name"],
        "began_at": moment(row["began_at"]),
        "ended_at": moment(row["began_at"] + row["seconds"]),
        "objects": kept,
        "refused_objects": sum(statuses.values()) - kept,
        "statuses": json.dumps(dict(statuses)),
        "length_bytes": row["size_bytes"],
    }


def _uids(row: Row) -> Row:
    return {
        "StudyInstanceUID": row["study_instance_uid"],
        "SeriesInstanceUID": row["series_instance_uid"] or None,
    }


def _revision(row: Row) -> Row:
    moments = ("settled_at", "first_received_at", "last_received_at", "filed_at")
    return {**row, **_uids(row), **{name: moment(row[name]) for name in moments}}


def _job(row: Row) -> Row:
    changed_at = moment(row["updated_at"])
    return {
        **row,
        **_uids(row),
        "created_at": moment(row["created_at"]),
        "begun_at": moment(row["begun_at"]),
        "changed_at": changed_at,
        "ended_at": changed_at if row["state"] in _OVER else None,
    }


def _delivery(row: Row) -> Row:
    return {
        **row,
        **_uids(row),
        "SOPInstanceUID": row["sop_instance_uid"],
        "SOPClassUID": row["sop_class_uid"],
        "length_bytes": row["size_bytes"],
        "delivered_at": moment(row["delivered_at"]),
    }


def _event(row: Row) -> Row:
    return {
        **row,
        "data": json.dumps(row["data"], ensure_ascii=False),
        "happened_at": moment(row["at"]),
    }


def _inference(row: Row) -> Row:
    told = {name: json.dumps(row[name]) for name in ("outputs", "features", "results")}
    return {**row, **_uids(row), **told, "began_at": moment(row["began_at"])}


_MADE: Final[Mapping[str, tuple[str, Callable[[Row], Row]]]] = {
    "association": ("association", _association),
    "revision": ("series_revision", _revision),
    "job": ("job", _job),
    "receipt": ("delivery", _delivery),
    "event": ("event", _event),
    "inference": ("inference", _inference),
}
"""By the ledger's table: the table here, and how its rows are made."""
_TABLES_OF: Final[Mapping[str, Sequence[str]]] = {
    **{source: (table,) for source, (table, _) in _MADE.items()},
    "revision": ("series_revision", "study_revision"),
}


def _of(source: str, batch: Batch) -> dict[str, list[Row]]:
    table, make = _MADE[source]
    made = [make(row) for row in batch.rows[source]]
    if source != "revision":
        return {table: made}
    return {
        "series_revision": [row for row in made if row["SeriesInstanceUID"]],
        "study_revision": [row for row in made if not row["SeriesInstanceUID"]],
    }
