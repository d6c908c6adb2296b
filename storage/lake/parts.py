"""Rows into files: Parquet by date and modality, or lines of JSON; some at a time, not all."""

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pyarrow import lib as arrow
from pyarrow import parquet

from storage.lake.tables import EVENTS, TABLES, Column

Row = Mapping[str, Any]

MOST_BYTES: Final = 64 << 20
"""So much text is held at a time; then the largest file is written."""
_ARROW: Final = {
    "text": arrow.string(),
    "whole": arrow.int64(),
    "fraction": arrow.float64(),
    "day": arrow.date32(),
    "moment": arrow.timestamp("us"),
    "flag": arrow.bool_(),
}
_ROW_BYTES: Final = 1500
"""About what a row takes beside its head."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A row, and the partition that it belongs to."""

    date: str
    modality: str
    row: Row


@dataclass(frozen=True, slots=True)
class File:
    """A file of a lake, ready to be put there."""

    date: str
    modality: str
    number: int
    """Which file of its partition it is, of one step."""
    rows: int
    content: bytes


def schema_of(columns: Sequence[Column]) -> Any:
    """Give the Arrow schema of a table's files."""
    return arrow.schema([(column.name, _ARROW[column.type]) for column in columns])


def files_of(
    table: str, placed: Iterable[Placed], *, most_bytes: int = MOST_BYTES, orders_by: str = ""
) -> Iterator[File]:
    """Sort rows into files, one partition each; the same rows give the same files.

    `orders_by` names a column by which the rows of a file are put in order, so that their places
    do not tell in which order they came.
    """
    waiting: dict[tuple[str, str], list[Row]] = {}
    sizes: dict[tuple[str, str], int] = {}
    numbers: dict[tuple[str, str], int] = {}

    def written(key: tuple[str, str]) -> File:
        number = numbers[key] = numbers.get(key, -1) + 1
        rows = waiting.pop(key)
        sizes.pop(key)
        if orders_by:
            rows.sort(key=lambda row: str(row[orders_by]))
        content = json_lines(rows) if table == "events" else parquet_file(TABLES[table], rows)
        return File(key[0], key[1], number, len(rows), content)

    for one in placed:
        key = one.date, one.modality
        waiting.setdefault(key, []).append(one.row)
        sizes[key] = sizes.get(key, 0) + _ROW_BYTES + len(one.row.get("head") or "")
        if sum(sizes.values()) > most_bytes:
            yield written(max(sizes, key=lambda each: (sizes[each], each)))
    for key in sorted(waiting):
        yield written(key)


def parquet_file(columns: Sequence[Column], rows: Sequence[Row]) -> bytes:
    """Write rows as Parquet, packed by zstd; a column that a row lacks is NULL."""
    out = io.BytesIO()
    table = arrow.Table.from_pylist([_clean(row) for row in rows], schema=schema_of(columns))
    with parquet.ParquetWriter(out, table.schema, compression="zstd") as writer:  # type: ignore[no-untyped-call]  # theirs
        writer.write_table(table, row_group_size=8192)
    return out.getvalue()


def json_lines(rows: Sequence[Row]) -> bytes:
    """Write rows as lines of JSON, packed by gzip without a time of its own."""
    names = [column.name for column in EVENTS]
    lines = [json.dumps({name: row.get(name) for name in names}, sort_keys=True) for row in rows]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode("utf-8"), mtime=0)


def _clean(row: Row) -> dict[str, Any]:
    """Replace what UTF-8 cannot say."""
    return {
        name: value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
        for name, value in row.items()
    }
