"""Look into tables as they were read, whatever their shape: what does not fit is passed over."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from config.files import Place

Found = Iterator[tuple[Place, str]]
"""Faults: each with its place and words."""
Tables = Mapping[str, Any]


def at(tables: Tables, place: Place) -> Any:
    """Give what stands at a place; None where nothing does."""
    found: Any = tables
    for part in place:
        if isinstance(part, int):
            found = found[part] if isinstance(found, list) else None
        else:
            found = found.get(part) if isinstance(found, Mapping) else None
    return found


def table(tables: Tables, key: str) -> Tables:
    """Give the table under a key; an empty one where there is none."""
    found = tables.get(key)
    return found if isinstance(found, Mapping) else {}


def named_tables(tables: Tables, key: str) -> Iterator[tuple[str, Tables]]:
    """Yield the tables under a key, such as [peers.NAME], with their names."""
    return ((name, each) for name, each in table(tables, key).items() if isinstance(each, Mapping))


def listed_tables(tables: Tables, key: str) -> Iterator[tuple[int, Tables]]:
    """Yield the tables of a list, such as [[rules]], with their numbers."""
    listed = tables.get(key)
    numbered = enumerate(listed if isinstance(listed, list) else ())
    return ((i, each) for i, each in numbered if isinstance(each, Mapping))


def texts(value: Any) -> Iterator[tuple[int, str]]:
    """Yield the texts of a list with their numbers."""
    listed = value if isinstance(value, list) else ()
    return ((i, each) for i, each in enumerate(listed) if isinstance(each, str))


def is_file(path: Path) -> bool:
    """Whether there is a file; a name that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
