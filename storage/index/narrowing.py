"""Reach the few rows of a table that an index knows, before anything else is asked of them.

DuckDB looks into an index only where a table is asked for one column and nothing else; the LIMIT
keeps it from moving other conditions in there.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from storage.index.keys import HASHED, MOST, near

_ROUTES: Final[Mapping[str, Sequence[str]]] = {
    "instance": ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
    "series": ("SeriesInstanceUID", "StudyInstanceUID"),
    "study": ("StudyInstanceUID", "AccessionNumber", "PatientID"),
    "patient": (),
    "head_stored": ("SeriesInstanceUID",),
}
"""By which columns rows are reached, the best first."""
_JOINED: Final[Mapping[str, set[str]]] = {
    "instance": {"StudyInstanceUID", "SeriesInstanceUID"},
    "series": {"StudyInstanceUID", "SeriesInstanceUID"},
    "study": {"StudyInstanceUID"},
    "patient": {"PatientID"},
}
_ALL: Final = 1 << 60
_FEW: Final = 32
"""So many values are looked through sooner than a join is made, which takes 10 ms of any size."""


def narrowed(
    table: str,
    wanted: Mapping[str, Sequence[str]],
    bind: Callable[[object], str] = str,
    *,
    columns: str = "*",
) -> str:
    """Write a table for use behind FROM, under its own name.

    `wanted` are the values that an attribute must have, one of them each; `bind` gives the
    placeholder of a parameter; no UID needs one. Whoever uses it must still ask for the values,
    and may name the columns that are read: few are quicker.
    """
    for keyword in _ROUTES[table]:
        values = wanted.get(keyword, ())
        if keyword in HASHED and 0 < len(values) <= MOST:
            words = near(table, keyword, values)
        elif keyword not in HASHED and len(values) == 1:
            words = f"{table}.{keyword} = {bind(values[0])}"
        else:
            continue
        return f"(SELECT {columns} FROM {table} WHERE {words} LIMIT {_ALL}) AS {table}"  # noqa: S608  (our own names and numbers)
    return table


def columns_of(table: str, words: str) -> str:
    """List the columns of a table that a statement of ours reads."""
    found = set(re.findall(rf"\b{table}\.(\w+)", words)) | _JOINED[table]
    return ", ".join(sorted(found))


def among(column: str, values: Collection[str], bind: Callable[[object], str]) -> str:
    """Write that a column is one of some values."""
    bound = bind(list(values))
    if len(values) <= _FEW:
        return f"list_contains({bound}, {column})"
    return f"{column} IN (SELECT unnest({bound}))"
