"""Answer a user's SQL: one SELECT, read-only, limited in time and rows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import duckdb

from dicom.errors import CannotUnderstand, OutOfResources

_ABOUT_THE_TEXT: Final = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
    duckdb.NotImplementedException,
    duckdb.SyntaxException,
)
"""Faults whose words speak of the question alone. Others may quote a value from a row."""


@dataclass(frozen=True, slots=True)
class Table:
    """The answer to a question in SQL."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool = False
    """Whether there were more rows than asked for."""


def ask(cursor: duckdb.DuckDBPyConnection, text: str, timeout_s: float, max_rows: int) -> Table:
    """Answer one SELECT (also FROM, WITH, VALUES, DESCRIBE, SHOW, SUMMARIZE).

    Raises CannotUnderstand for anything else and for what the database cannot make sense of,
    OutOfResources when the time or the memory is used up. Nothing can be written: statement
    type and a read-only transaction each forbid it.
    """
    with _limited(cursor, timeout_s), _words(timeout_s):
        _check(text)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        cursor.execute(text)
        columns = tuple(str(column[0]) for column in cursor.description or ())
        found = cursor.fetchmany(max_rows + 1)
    return Table(columns, tuple(found[:max_rows]), len(found) > max_rows)


def _check(text: str) -> None:
    found = duckdb.extract_statements(text)
    if len(found) != 1 or found[0].type != duckdb.StatementType.SELECT:
        raise CannotUnderstand("one SELECT statement is answered here, and nothing else")


@contextmanager
def _limited(cursor: duckdb.DuckDBPyConnection, timeout_s: float) -> Iterator[None]:
    timer = threading.Timer(timeout_s, cursor.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # an interrupt must not hit whatever comes next


@contextmanager
def _words(timeout_s: float) -> Iterator[None]:
    try:
        yield
    except duckdb.InterruptException as fault:
        words = f"no answer within {timeout_s:g} s; ask for less or allow more time"
        raise OutOfResources(words) from fault
    except duckdb.OutOfMemoryException as fault:
        raise OutOfResources("the question needs more memory than the index may use") from fault
    except (duckdb.FatalException, duckdb.InternalException, duckdb.IOException):
        raise
    except duckdb.Error as fault:
        raise CannotUnderstand(about_the_text(fault)) from fault


def about_the_text(fault: duckdb.Error) -> str:
    """Give the database's words where they speak of the question alone, else their kind."""
    if isinstance(fault, _ABOUT_THE_TEXT):
        return str(fault)
    kind = str(fault).partition(":")[0]
    return f"{kind}: a value does not fit this statement"
