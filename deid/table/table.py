"""Table E.1-1 of PS3.15, indexed by tag.

The rows lie beside this file in `ps315_e1_1.json`, which names its own sources. Rows are found
by tag, never by keyword: dictionaries lag behind the standard and lack some of them.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final

EDITION: Final = "PS3.15 2026c"
"""The edition that the Basic Profile column follows (see `source` in the data file)."""

_PRIVATE: Final = "private"
_FACTS: Final = frozenset({"tag", "keyword", "vr", "basic", "retired_or_nonstd_iod", "first_seen"})
"""What a row says beside its option columns."""


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute of the table: what the Basic Profile says, such as "X/Z/D", and the options."""

    tag: str
    """Eight hex digits; x stands for any digit of a repeating group."""
    keyword: str
    vr: str
    basic: str
    columns: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """What the options say, K (keep) or C (clean), by the column's name in the data file."""


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """A row for a repeating group: it speaks for each tag with `tag & mask == value`."""

    mask: int
    value: int
    row: Row


@dataclass(frozen=True, slots=True)
class Table:
    """The whole table; private attributes have the one row `private`."""

    source: str
    by_tag: dict[int, Row]
    masked: tuple[MaskedRow, ...]
    private: Row

    def row(self, tag: int) -> Row | None:
        """Find the row that speaks for a tag; None where the table is silent."""
        if tag >> 16 & 1:
            return self.private
        exact = self.by_tag.get(tag)
        if exact is not None:
            return exact
        return next((each.row for each in self.masked if tag & each.mask == each.value), None)


def _mask(pattern: str) -> tuple[int, int]:
    """Turn a pattern such as "60xx3000" into mask and value."""
    mask = int("".join("0" if digit == "x" else "F" for digit in pattern), 16)
    return mask, int(pattern.replace("x", "0"), 16)


def index(source: str, rows: Iterable[Row]) -> Table:
    """Index rows by tag. Raises ValueError for a tag that stands twice or no private row."""
    by_tag: dict[int, Row] = {}
    masked: list[MaskedRow] = []
    private: Row | None = None
    for row in rows:
        if row.tag == _PRIVATE:
            private = row
        elif "x" in row.tag:
            masked.append(MaskedRow(*_mask(row.tag), row))
        elif by_tag.setdefault(int(row.tag, 16), row) is not row:
            raise ValueError(f"tag {row.tag} stands twice in the table")
    if private is None:
        raise ValueError("the table has no row for private attributes")
    return Table(source, by_tag, tuple(masked), private)


@cache
def load() -> Table:
    """Read the table that is shipped with the package."""
    raw = json.loads((files("deid.table") / "ps315_e1_1.json").read_text("utf-8"))
    return index(raw["source"], (_row(each) for each in raw["rows"]))


def _row(raw: Mapping[str, Any]) -> Row:
    columns = {key: value for key, value in raw.items() if key not in _FACTS}
    return Row(raw["tag"], raw["keyword"], raw["vr"], raw["basic"], MappingProxyType(columns))
