"""A question that is being answered out of the index: its matches page by page, until it is enough.

Sequences are matched here: SQL narrows them down to those whose JSON holds the texts asked for,
and what is left is read.
"""

import threading
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import duckdb

from dicom import nested
from dicom.errors import StorageFault
from dicom.query import Query
from storage.index.rows import Value, to_text
from storage.index.select import select

_SIFTED_AT_ONCE: Final = 200

_text = lru_cache(8192)(to_text)


class Finding:
    """The matches of one query. One thread reads; `interrupt` and `let_go` may come from another.

    From its first page to its last it holds a state of the index, which writes nothing of its log
    to its file meanwhile.
    """

    def __init__(
        self,
        cursor: duckdb.DuckDBPyConnection,
        query: Query,
        limit: int,
        *,
        offset: int = 0,
        is_ordered: bool = False,
    ) -> None:
        self._cursor = cursor
        self._query = query
        self._asked = select(query, limit, offset=offset, is_ordered=is_ordered)
        self._width = len(query.returning)
        self._has_begun = False
        self._is_over = False
        self._reading = threading.Lock()
        self._sifted = (
            islice(self._matching_rows(), offset, offset + limit) if query.sequences else None
        )

    def page(self, size: int) -> list[tuple[str, ...]]:
        """Give the next matches, at most `size`: texts of the returned attributes, "" if unknown.

        None are left where the list is empty.
        """
        with self._reading:
            if self._is_over:
                raise StorageFault("the index answers this question no longer")
            return self._page(size)

    def _page(self, size: int) -> list[tuple[str, ...]]:
        if not self._has_begun:  # here, where it can be interrupted
            self._has_begun = True
            self._cursor.execute(*self._asked)
        if self._sifted is not None:
            return [_texts(row[: self._width]) for row in islice(self._sifted, size)]
        width = self._width
        return [_texts(row[:width]) for row in self._cursor.fetchmany(size)]

    def interrupt(self) -> None:
        """Have a page that is being read end with an error."""
        self._cursor.interrupt()

    def let_go(self) -> None:
        """Hold nothing any longer: a page that is being read, and each later one, is an error."""
        self._is_over = True
        self._cursor.interrupt()
        with self._reading:
            self._cursor.close()

    def _matching_rows(self) -> Iterator[tuple[Any, ...]]:
        while page := self._cursor.fetchmany(_SIFTED_AT_ONCE):
            for row in page:
                sequences = row[self._width :]
                if all(
                    nested.meets_items(key.keys, text or "")
                    for key, text in zip(self._query.sequences, sequences, strict=True)
                ):
                    yield row


def _texts(row: tuple[Value, ...]) -> tuple[str, ...]:
    return tuple([value if type(value) is str else _text(value) for value in row])
