"""Answer a user's SQL: one SELECT, read-only, limited in time and rows."""

import re
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
"""Faults of a question that is not run yet: their words speak of it alone."""
_MARKED: Final = re.compile(r"\nLINE \d+: (.*)\n( *)\^")
_BIND: Final = "EXPLAIN "
_CUT_OFF: Final = "..."
_NEAR: Final = 60


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
    with _limited(cursor, timeout_s), _words(text, timeout_s):
        _check(text)
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        bind(cursor, text)
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
def _words(text: str, timeout_s: float) -> Iterator[None]:
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
        raise CannotUnderstand(about_a_row(fault, text)) from fault


def bind(cursor: duckdb.DuckDBPyConnection, text: str, values: Any = None) -> None:
    """Have the names and types of a checked question looked up, before any row is read.

    Raises CannotUnderstand with the database's own words, which speak of the question alone.
    """
    try:
        cursor.execute(f"{_BIND}{text}", values)
    except _ABOUT_THE_TEXT as fault:
        words, line, mark = str(fault).rpartition(f"\nLINE 1: {_BIND}")
        if line:  # the question, and the mark below it, as they were asked
            mark = f"\nLINE 1: {mark.replace(chr(10) + ' ' * len(_BIND), chr(10), 1)}"
        raise CannotUnderstand(words + mark) from fault


def about_a_row(fault: duckdb.Error, text: str) -> str:
    """Say of what kind a fault is and at which part of the question; its words may quote a row."""
    kind = str(fault).partition(":")[0]
    return f"{kind}: a value does not fit this statement{_near(fault, text)}"


def _near(fault: duckdb.Error, text: str) -> str:
    found = list(_MARKED.finditer(str(fault)))
    if not found:
        return ""
    line, indent = found[-1].groups()
    column = len(indent) - (found[-1].start(1) - found[-1].start() - 1)
    part = line[column:].removesuffix(_CUT_OFF)[:_NEAR] if column >= 0 else ""
    # A value can look like such a line; what stands in the question tells nothing new.
    return f", near: {part}" if part.strip() and part in text else ""
