"""Read the spool once more into an index that goes on answering: `penumbra reindex`.

Rows of objects that are still in the spool get what their heads say, missing rows are made, and
rows of objects that have left the spool stay as they are.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import duckdb
from pyarrow import lib as arrow

from dicom.attributes import Level
from storage.index.filing import file, known_places
from storage.index.keys import HASHED, near
from storage.index.rows import Head, Row, instance_row, series_row, study_row
from storage.index.schema import COLUMNS, TABLES, arrow_schema, folded, indexed, stored

_KEYS: Final = HASHED | {"PatientID", "IssuerOfPatientID"}


def begin(cursor: duckdb.DuckDBPyConnection) -> None:
    """Begin from the first record, also where it was begun before."""
    cursor.execute("DELETE FROM renewing")
    cursor.execute("DELETE FROM renewed")
    cursor.execute("DELETE FROM head_position")
    cursor.execute("INSERT INTO renewing VALUES (now()::TIMESTAMP, 0)")


def end(cursor: duckdb.DuckDBPyConnection) -> None:
    """Note that the log's end was reached."""
    cursor.execute("DELETE FROM renewing")
    cursor.execute("DELETE FROM renewed")


def position(cursor: duckdb.DuckDBPyConnection) -> dict[str, int] | None:
    """Say how far it has come; None when nothing is renewed."""
    if not cursor.execute("SELECT 1 FROM renewing").fetchall():
        return None
    return dict(cursor.execute("SELECT segment, position FROM renewed").fetchall())


def records(cursor: duckdb.DuckDBPyConnection) -> int | None:
    """Count the records that were read again; None when nothing is renewed."""
    found = cursor.execute("SELECT records FROM renewing").fetchall()
    return int(found[0][0]) if found else None


def renew(
    cursor: duckdb.DuckDBPyConnection,
    heads: Mapping[str, Head],
    positions: Mapping[str, int],
    count: int,
) -> None:
    """Bring the rows of a batch up to its heads. Runs inside the caller's transaction.

    What is unknown of a Study or Series is filled in; what is known of it stays.
    """
    places = known_places(cursor, list(heads))
    own = [
        head for uid, head in heads.items() if places.get(uid) == (
            head.instance.location.segment, head.instance.location.offset
        )
    ]  # fmt: skip
    if own:
        _fill(cursor, "instance", "SOPInstanceUID", [instance_row(head) for head in own], over=True)
        _fill(cursor, "series", "SeriesInstanceUID", _firsts(own, series_row), over=False)
        _fill(cursor, "study", "StudyInstanceUID", _firsts(own, study_row), over=False)
    file(cursor, heads)
    for segment, reached in positions.items():
        cursor.execute("INSERT OR REPLACE INTO renewed VALUES ($1, $2)", [segment, reached])
    cursor.execute("UPDATE renewing SET records = records + $1", [count])


def _firsts(heads: Sequence[Head], row_of: Callable[[Head], Row]) -> list[Row]:
    """Make the row of each Study or Series, from the first of its objects."""
    found: dict[tuple[str, str], Row] = {}
    for head in heads:
        key = head.study_instance_uid, head.series_instance_uid
        key = key if row_of is series_row else (key[0], "")
        if key not in found:
            found[key] = row_of(head)
    return list(found.values())


def _fill(
    cursor: duckdb.DuckDBPyConnection, table: str, key: str, rows: Sequence[Row], *, over: bool
) -> None:
    """Set the columns that come from heads: all, or where nothing is known yet."""
    names = _of_heads(table)
    picked = [key, *({"StudyInstanceUID"} - {key}), *names]
    schema = arrow.schema([arrow_schema(table).field(name) for name in picked])
    batch = arrow.table({name: [row[name] for row in rows] for name in picked}, schema=schema)
    value = "batch.{0}" if over else "coalesce({1}.{0}, batch.{0})"
    sets = ", ".join(f"{name} = {value.format(name, table)}" for name in names)
    words = near(table, key, {str(row[key]) for row in rows})
    cursor.register("batch", batch)
    try:
        cursor.execute(
            f"UPDATE {table} SET {sets} FROM batch WHERE {words}"  # noqa: S608  (our own names and numbers)
            f" AND {table}.{key} = batch.{key}"
            f" AND {table}.StudyInstanceUID = batch.StudyInstanceUID"
        )
    finally:
        cursor.unregister("batch")


def _of_heads(table: str) -> list[str]:
    levels = [level for level, name in TABLES.items() if name == table]
    if table == "study":
        levels.append(Level.PATIENT)
    names: list[str] = []
    for one in (one for level in levels for one in stored(level)):
        names.append(one.keyword)
        if one.vr == "PN":
            names.append(folded(one))
    kept = {column.name for column in COLUMNS[table]} - _KEYS - indexed(table)
    return [name for name in names if name in kept]
