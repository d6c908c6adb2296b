"""Saved reports: SQL files whose first lines say what they are, and how to draw their answer.

    -- title: Objects by hour
    -- words: What came in, hour by hour.
    -- role: sql
    -- param: days int 30 So many days back.
    -- plot: bars x=hour y=objects by=Modality
    SELECT ...

Each report runs as its role, whoever runs it. `$now`, the time in UTC, is given to all.
"""

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from dicom.errors import CannotUnderstand, DoesNotMatch, StorageFault
from storage.index.offered import Role

SHIPPED: Final = Path(__file__).with_name("sql")
NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
LONGEST_FILE: Final = 100_000
LONGEST_VALUE: Final = 1000
NOW: Final = "now"
_LINE: Final = re.compile(r"--\s*(title|words|role|param|plot):\s*(\S.*?)\s*")
_PARAM: Final = re.compile(r"([a-z_]{1,32})\s+(int|number|date|text)\s+(\S+)\s+(\S.*)")
_PLOT: Final = re.compile(r"(bars|lines)\s+x=(\w+)\s+y=(\w+)(?:\s+by=(\w+))?")
_NOTHING: Final = "-"
"""The default of a parameter that is empty unless told."""

ParameterType = Literal["int", "number", "date", "text"]
_READ: Final[Mapping[str, Callable[[str], object]]] = {
    "int": int,
    "number": float,
    "date": dt.date.fromisoformat,
    "text": str,
}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What whoever runs a report may choose."""

    name: str
    type: ParameterType
    default: str
    words: str


@dataclass(frozen=True, slots=True)
class Plot:
    """How an answer is drawn: which columns are the axes, and which one tells series apart."""

    kind: Literal["bars", "lines"]
    x: str
    y: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One saved report."""

    name: str
    title: str
    words: str
    role: Role
    sql: str
    parameters: tuple[Parameter, ...] = ()
    plot: Plot | None = None
    is_own: bool = False
    """Whether it is an administrator's, and not one that came along."""

    def values(self, given: Mapping[str, str], now: float) -> dict[str, str]:
        """Give every parameter its value, and the time. Raises CannotUnderstand."""
        if unknown := sorted(given.keys() - {one.name for one in self.parameters}):
            names = ", ".join(one.name for one in self.parameters) or "none"
            words = f"the report {self.name} has no parameter {unknown[0][:40]!r}; it has: {names}"
            raise CannotUnderstand(words)
        moment = dt.datetime.fromtimestamp(now, dt.UTC).replace(tzinfo=None)
        chosen = {one.name: _checked(one, given.get(one.name, "")) for one in self.parameters}
        return {**chosen, NOW: moment.isoformat(sep=" ")}


class Reports:
    """The reports that came along, and those of an administrator's folder, read when asked."""

    def __init__(self, own: Path | None = None) -> None:
        self._own = own

    def list(self) -> tuple[list[Report], dict[str, str]]:
        """Give the reports by name, and why files that are meant to be some are none."""
        found: dict[str, Report] = {}
        faults: dict[str, str] = {}
        for folder, is_own in ((SHIPPED, False), (self._own, True)):
            for file in _files(folder):
                try:
                    found[file.stem] = read(file.stem, _text(file), is_own=is_own)
                except (CannotUnderstand, StorageFault) as fault:
                    faults[file.name] = str(fault)
        return [found[name] for name in sorted(found)], faults

    def find(self, name: str) -> Report:
        """Give one report; an administrator's own comes before one of the same name.

        Raises DoesNotMatch where there is none, CannotUnderstand where its file is wrong.
        """
        if NAME.fullmatch(name):
            for folder, is_own in ((self._own, True), (SHIPPED, False)):
                file = folder / f"{name}.sql" if folder else None
                if file is not None and file.is_file():
                    return read(name, _text(file), is_own=is_own)
        raise DoesNotMatch("there is no report of this name; `penumbra sql --list` lists them")


def read(name: str, text: str, *, is_own: bool = False) -> Report:
    """Read a report. Raises CannotUnderstand with what is wrong in its first lines."""
    if not NAME.fullmatch(name):
        raise CannotUnderstand("a report's file is named by small letters, digits and hyphens")
    said: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("--"):
            break
        found = _LINE.fullmatch(line)
        if not found:
            raise CannotUnderstand(f"line {number}: say title, words, role, param or plot")
        said.setdefault(found[1], []).append(found[2])
    if once := next((key for key in ("title", "words", "role", "plot") if _times(said, key)), None):
        raise CannotUnderstand(f"{once} stands there {len(said.get(once, ()))} times")
    role = said["role"][0]
    if role not in set(Role):
        raise CannotUnderstand(f"role: one of {', '.join(Role)}")
    parameters = tuple(_parameter(line) for line in said.get("param", ()))
    if len({one.name for one in parameters} | {NOW}) != len(parameters) + 1:
        raise CannotUnderstand("two parameters have one name, or one is called now")
    plot = _plot(said["plot"][0]) if "plot" in said else None
    title, words = said["title"][0], said["words"][0]
    return Report(name, title, words, Role(role), text, parameters, plot, is_own)


def _times(said: Mapping[str, list[str]], key: str) -> bool:
    """Whether a line stands there too often, or is missing."""
    count = len(said.get(key, ()))
    return count > 1 or (count == 0 and key != "plot")


def _parameter(line: str) -> Parameter:
    found = _PARAM.fullmatch(line)
    if not found:
        raise CannotUnderstand("param: NAME int|number|date|text DEFAULT WORDS")
    name, kind, default, words = found.groups()
    kinds: dict[str, ParameterType] = {
        "int": "int", "number": "number", "date": "date", "text": "text",
    }  # fmt: skip
    one = Parameter(name, kinds[kind], "" if default == _NOTHING else default, words)
    _checked(one, "")
    return one


def _plot(line: str) -> Plot:
    found = _PLOT.fullmatch(line)
    if not found:
        raise CannotUnderstand("plot: bars|lines x=COLUMN y=COLUMN [by=COLUMN]")
    return Plot("bars" if found[1] == "bars" else "lines", found[2], found[3], found[4] or "")


def _checked(one: Parameter, given: str) -> str:
    text = given.strip() or one.default
    try:
        if text:
            _READ[one.type](text)
    except (ValueError, OverflowError):
        text = "\0"
    if "\0" in text or len(text) > LONGEST_VALUE:
        raise CannotUnderstand(f"the parameter {one.name} is no {one.type}")
    return text


def _files(folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return sorted(one for one in folder.iterdir() if one.suffix == ".sql" and one.is_file())
    except OSError:
        return []


def _text(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_FILE + 1).decode()
    except OSError as fault:
        raise StorageFault(f"{file.name} cannot be read ({fault.strerror})") from fault
    except UnicodeDecodeError as fault:
        raise CannotUnderstand("it is no UTF-8 text") from fault
    if len(text) > LONGEST_FILE:
        raise CannotUnderstand(f"it has more than {LONGEST_FILE} characters")
    return text
