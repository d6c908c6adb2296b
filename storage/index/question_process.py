"""Answer one question in SQL in a process of its own: `python -m storage.index.question_process`.

It never sees the index: it says which tables and columns it needs, and is sent those, or nothing.
Whatever a question does to memory, processor or DuckDB itself ends with this process, which the
front can kill. Standard input: a line of JSON, then an Arrow stream per table. Standard output:
the answer's bytes. The file descriptor in the argument: lines of JSON about both.
"""

import csv
import errno
import io
import json
import os
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

import duckdb
from pyarrow import ipc  # type: ignore[attr-defined]  # pyarrow has no types
from pyarrow.lib import ArrowException

from dicom.errors import CannotUnderstand, Fault, OutOfResources
from storage.index.reports import about_a_row, bind
from storage.index.sieve import reads

NICENESS: Final = 10
"""Whoever waits at the door comes first; also before the process that reads."""
THREADS: Final = 2
BASE_MB: Final = 512
"""What Python, DuckDB and Arrow take before a question begins, and room for their own buffers."""
AFTER_ALL_S: Final = 1.0
"""So long after its time it ends itself."""
PAGE: Final = 2000
_CANDIDATES: Final = re.compile(r"\nCandidate bindings: .*")
_OFFERED: Final = "\nGET /api/v1/sql lists the columns that are offered to this token"
"""DuckDB knows those alone that were asked for."""
_EXACT: Final = 1 << 53
_LOCKS: Final = (
    "SET enable_external_access = false",
    "SET autoinstall_known_extensions = false",
    "SET autoload_known_extensions = false",
    "SET allow_community_extensions = false",
    "SET python_enable_replacements = false",
    "SET lock_configuration = true",
)

Write = Callable[[duckdb.DuckDBPyConnection, BinaryIO, int], tuple[int, bool]]


def main() -> None:
    """Answer, and say how it went."""
    with os.fdopen(int(sys.argv[1]), "w", buffering=1) as told:
        try:
            asked = json.loads(sys.stdin.buffer.readline())
            confine(asked["memory_mb"], asked["answer_mb"], asked["timeout_s"])
            said = answer(asked, sys.stdin.buffer, sys.stdout.buffer, told)
        except Fault as fault:
            said = {"fault": fault.code, "words": str(fault)}
        except MemoryError:
            said = {"fault": OutOfResources.code, "words": _TOO_MUCH}
        told.write(json.dumps(said) + "\n")


_TOO_MUCH: Final = "the question needs more memory than [sql] memory_mb allows"


def confine(memory_mb: int, answer_mb: int, timeout_s: float) -> None:
    """Take away from this process what a question must not have."""
    os.nice(NICENESS)
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_DATA: (memory_mb + BASE_MB) << 20,
        resource.RLIMIT_FSIZE: answer_mb << 20,
    }
    # Where the front was killed, nobody else ends it, and a question may sleep.
    signal.setitimer(signal.ITIMER_REAL, timeout_s + AFTER_ALL_S)
    for name, most in limits.items():
        resource.setrlimit(name, (most, most))


def answer(
    asked: Mapping[str, Any], tables: BinaryIO, out: BinaryIO, told: io.TextIOBase | Any
) -> dict[str, Any]:
    """Answer a question; gives what is to be said of it.

    Raises CannotUnderstand, NotAuthorised, OutOfResources.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": f"{asked['memory_mb']}MB",
        "threads": THREADS,
        "temp_directory": "",
    }
    connection = duckdb.connect(":memory:", config=config)
    if "\0" in asked["sql"]:  # where DuckDB stops to read, and the sieve as well
        raise CannotUnderstand("a question has no NUL in it")
    with as_faults(asked["sql"]):
        (tree,) = connection.execute(
            "SELECT json_serialize_sql($1::VARCHAR, skip_null := true)", [asked["sql"]]
        ).fetchall()[0]
        found = reads(json.loads(tree), asked["offered"])
        given = _parameters(found.parameters, asked["parameters"])
        told.write(json.dumps({"need": found.tables}) + "\n")
        for table in found.tables:
            reader = ipc.open_stream(tables)  # type: ignore[no-untyped-call]  # as above
            if found.once:
                connection.register(table, _Once(reader))
            else:
                _keep(connection, table, reader)
        for lock in _LOCKS:
            connection.execute(lock)
        try:
            bind(connection, asked["sql"], given or None)
        except CannotUnderstand as fault:
            raise CannotUnderstand(_CANDIDATES.sub(_OFFERED, str(fault))) from fault
        if asked["form"] == "parquet":
            relation = connection.sql(asked["sql"], params=given or None)
            columns = list(zip(relation.columns, map(str, relation.types), strict=True))
            rows, truncated = _parquet(relation, out, asked["max_rows"])
        else:
            connection.execute(asked["sql"], given or None)
            columns = [(str(one[0]), str(one[1])) for one in connection.description or ()]
            rows, truncated = WRITERS[asked["form"]](connection, out, asked["max_rows"])
        out.flush()
    return {"columns": columns, "rows": rows, "truncated": truncated}


def _parameters(wanted: set[str], given: Mapping[str, Any]) -> dict[str, Any]:
    if missing := sorted(wanted - given.keys()):
        raise CannotUnderstand(f"the question asks for parameters: {', '.join(missing)[:200]}")
    return {name: given[name] for name in wanted}


class _Once:
    """Batches that are read as they come, so that no table need fit into memory.

    Who reads them a second time would find nothing and know nothing of it: that is a fault.
    """

    def __init__(self, reader: Any) -> None:
        self._reader = reader
        self._is_read = False

    def __arrow_c_schema__(self) -> object:
        """Tell DuckDB the columns, which it asks for before it reads."""
        return self._reader.schema.__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give DuckDB the batches."""
        if self._is_read:
            raise RuntimeError("read a second time")
        self._is_read = True
        return self._reader.__arrow_c_stream__(requested_schema)


def _keep(connection: duckdb.DuckDBPyConnection, table: str, reader: Any) -> None:
    connection.register("arriving", reader)
    connection.execute(f'CREATE TABLE "{table}" AS SELECT * FROM arriving')  # noqa: S608  (a name of ours: the sieve found it among those)
    connection.unregister("arriving")
    for _ in reader:  # to its very end, where the next one begins
        pass


@contextmanager
def as_faults(sql: str) -> Iterator[None]:
    """Say what DuckDB says, without any value out of a row."""
    try:
        yield
    except duckdb.OutOfMemoryException as fault:
        raise OutOfResources(_TOO_MUCH) from fault
    except duckdb.Error as fault:
        raise CannotUnderstand(about_a_row(fault, sql)) from fault
    except OSError as fault:
        words = f"the answer cannot be written ({fault.strerror})"
        if fault.errno == errno.EFBIG:
            words = "the answer is longer than [sql] answer_mb allows"
        raise OutOfResources(words) from fault
    except ArrowException as fault:
        words = f"this form cannot carry the answer ({type(fault).__name__}); try another format"
        raise CannotUnderstand(words) from fault


def _pages(connection: duckdb.DuckDBPyConnection, most: int) -> Iterator[Sequence[Sequence[Any]]]:
    """Yield rows, one more than `most` at most."""
    left = most + 1
    while left > 0 and (page := connection.fetchmany(min(PAGE, left))):
        left -= len(page)
        yield page


def _written(
    connection: duckdb.DuckDBPyConnection, most: int, write: Callable[[Sequence[Any]], object]
) -> tuple[int, bool]:
    """Write each row; gives how many, and whether there were more."""
    count = 0
    for page in _pages(connection, most):
        for row in page:
            if count == most:
                return count, True
            write(row)
            count += 1
    return count, False


def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
    return [str(one[0]) for one in connection.description or ()]


def _json(connection: duckdb.DuckDBPyConnection, out: BinaryIO, most: int) -> tuple[int, bool]:
    """Write one object: columns, types, rows, and whether there were more."""
    about = {
        "columns": _names(connection),
        "types": [str(one[1]) for one in connection.description or ()],
    }
    out.write(json.dumps(about)[:-1].encode() + b', "rows": [')
    between = b"\n"

    def write(row: Sequence[Any]) -> None:
        nonlocal between
        out.write(between + _as_json([plain(one) for one in row]))
        between = b",\n"

    count, truncated = _written(connection, most, write)
    out.write(b'\n], "truncated": ' + (b"true" if truncated else b"false") + b"}\n")
    return count, truncated


def _lines(connection: duckdb.DuckDBPyConnection, out: BinaryIO, most: int) -> tuple[int, bool]:
    """Write an object per row, each on a line."""
    names = _names(connection)

    def write(row: Sequence[Any]) -> None:
        facts = {name: plain(one) for name, one in zip(names, row, strict=True)}
        out.write(_as_json(facts) + b"\n")

    return _written(connection, most, write)


def _csv(connection: duckdb.DuckDBPyConnection, out: BinaryIO, most: int) -> tuple[int, bool]:
    """Write CSV with a line of names (RFC 4180)."""
    text = io.TextIOWrapper(out, "utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(_names(connection))
    written = _written(connection, most, lambda row: writer.writerow([plain(one) for one in row]))
    text.detach()
    return written


def _parquet(relation: duckdb.DuckDBPyRelation, out: BinaryIO, most: int) -> tuple[int, bool]:
    """Write one Parquet file, compressed with zstd."""
    from pyarrow import parquet

    reader = relation.to_arrow_reader(PAGE * 10)
    count, truncated = 0, False
    writer: Any = parquet.ParquetWriter(out, reader.schema, compression="zstd")  # type: ignore[no-untyped-call]  # pyarrow has no types
    with writer:
        for batch in reader:
            kept = batch.slice(0, most - count)
            truncated = kept.num_rows < batch.num_rows
            count += kept.num_rows
            writer.write_batch(kept)
            if truncated:
                break
    return count, truncated


WRITERS: Final[Mapping[str, Write]] = {
    "json": _json,
    "lines": _lines,
    "csv": _csv,
}


def _as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace")


def plain(value: Any) -> Any:
    """Turn a value of DuckDB's into what JSON can say, without loss: see node/plain.py."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    is_exact = value is None or isinstance(value, (str, bool)) or _is_exact_number(value)
    return value if is_exact else str(value)


def _is_exact_number(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) <= _EXACT
    return isinstance(value, float) and abs(value) < float("inf")


if __name__ == "__main__":
    main()
