"""Read node.toml and conf.d/*.toml into one table, and remember which file said what.

Tables of several files are merged, lists of tables such as [[rules]] are put one after another,
and a key that two files set is a fault: nobody shall have to guess which one counts.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

FOLDER: Final = "conf.d"
DEEPEST: Final = 16
"""Tables in tables in tables: no setting lies so deep, and no reader shall run out of stack."""

Place = tuple[str | int, ...]
Problem = tuple[str, str]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_WHERE = re.compile(r" \(at (line (?P<line>\d+), column (?P<column>\d+)|end of document)\)$")
_INT64: Final = range(-(1 << 63), 1 << 63)


def shown(place: Place) -> str:
    """Write a place as people do: `rules[0].send[1]`, a key with other characters in quotes."""
    words = ""
    for part in place:
        if isinstance(part, int):
            words += f"[{part}]"
            continue
        key = part if _BARE.fullmatch(part) else f'"{part}"'
        words += f".{key}" if words else key
    return words


@dataclass(slots=True)
class Merged:
    """Several files as one table, and what was wrong with them."""

    tables: dict[str, Any] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    origins: dict[Place, str] = field(default_factory=dict)
    """The file that said it, where several were read."""
    complete: bool = True
    """Whether every file could be read; what is missing may explain any other fault."""

    def origin(self, place: Place) -> str:
        """Name the file that a place comes from; "" where only one file was read."""
        while place and place not in self.origins:
            place = place[:-1]
        return self.origins.get(place, "")


def read(path: Path) -> Merged:
    """Read a config file, and the files of the folder conf.d beside it in the order of names."""
    merged = Merged()
    parts = sorted((path.parent / FOLDER).glob("*.toml"))
    for file in (path, *parts):
        name = file.name if file is path else f"{FOLDER}/{file.name}"
        parsed = _parse(file, name)
        if isinstance(parsed, tuple):
            merged.problems.append(parsed)
            merged.complete = False
            continue
        tables = {key: _plain(each, (key,), merged.problems) for key, each in parsed.items()}
        _merge(merged, merged.tables, tables, (), name if parts else "")
    return merged


def _parse(file: Path, name: str) -> dict[str, Any] | Problem:
    try:
        return tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as fault:
        return str(file), f"cannot be read ({fault.strerror})"
    except UnicodeDecodeError as fault:
        line = fault.object[: fault.start].count(b"\n") + 1
        return f"{name}:{line}", "is not UTF-8; save the file as UTF-8"
    except RecursionError:
        return name, "is nested too deeply"
    except ValueError as fault:  # also what int() says of a number with thousands of digits
        return _syntax(name, fault)


def _syntax(name: str, fault: ValueError) -> Problem:
    words = str(fault) if isinstance(fault, tomllib.TOMLDecodeError) else "a value out of bounds"
    found = _WHERE.search(words)
    if found is None:
        return name, f"is no TOML: {words}"
    words = words[: found.start()]
    if found["line"] is None:
        return name, f"is no TOML: {words} at the end of the file"
    line, column = found["line"], found["column"]
    return f"{name}:{line}:{column}", f"is no TOML: {words} (line {line}, column {column})"


def _plain(value: Any, place: Place, problems: list[Problem]) -> Any:
    """Keep what a setting can be: no dates, no endless numbers, no bottomless tables."""
    words = ""
    if isinstance(value, (date, datetime, time)):
        words = "is a date or a time; no setting is one, so put it in quotes"
    elif isinstance(value, int) and value not in _INT64:
        words = "is a number that no setting can have"
    elif isinstance(value, (dict, list)) and len(place) >= DEEPEST:
        words = "is nested too deeply"
    elif isinstance(value, dict):
        return {key: _plain(each, (*place, key), problems) for key, each in value.items()}
    elif isinstance(value, list):
        return [_plain(each, (*place, i), problems) for i, each in enumerate(value)]
    if not words:
        return value
    problems.append((shown(place), words))
    return None


def _merge(
    merged: Merged, into: dict[str, Any], tables: Mapping[str, Any], at: Place, file: str
) -> None:
    for key, value in tables.items():
        place = (*at, key)
        known: Any = into.get(key)
        if key not in into:
            into[key] = value
            _note(merged, place, value, file)
        elif isinstance(known, dict) and isinstance(value, dict):
            _merge(merged, known, value, place, file)
        elif _are_tables(known) and _are_tables(value):
            for each in value:
                _note(merged, (*place, len(known)), each, file)
                known.append(each)
        else:
            words = f"is set in {merged.origin(place)} and again in {file}; keep one of them"
            merged.problems.append((shown(place), words))


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _note(merged: Merged, place: Place, value: Any, file: str) -> None:
    """Note the file of a value and of each value in it; merging may go on below."""
    if not file:
        return
    merged.origins[place] = file
    if isinstance(value, dict):
        for key, each in value.items():
            _note(merged, (*place, key), each, file)
