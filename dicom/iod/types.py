"""Attribute types (1, 1C, 2, 2C, 3) by SOP class, from tables of PS3.3 and PS3.4.

The facts lie beside this file in `ps33.json`, which names its source: SOP class -> IOD -> modules
with their usage (M, C, U) -> attributes with types and nested items. What several modules share
is stored once, and a level of an IOD is put together when it is first asked for.

Two questions are answered, and they lean to different sides. `type_of` asks what would break if
an attribute that stands in an object were taken out, so the strictest type of any module counts.
`required` asks what an object has to hold, so only what holds in every case counts.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final, Literal

Usage = Literal["M", "C", "U"]
"""A module's usage: mandatory, conditional, user's option (PS3.3 A.1.3)."""
Path = tuple[int, ...]
"""The tags of the enclosing sequences, from the top down."""

_STRICTEST: Final = ("1", "1C", "2", "2C", "3")
_OF_AN_ABSENT_MODULE: Final = {"1": "1C", "2": "2C"}
_CONTENT: Final = 0x0040_A730
_FUNCTIONAL_GROUPS: Final = frozenset({0x5200_9229, 0x5200_9230})
_CONTENT_MODULE: Final = "sr-document-content"
_OF_EVERY_CONTENT_ITEM: Final = {True: 0x0040_A040, False: 0x0040_A010}
"""ValueType at the root, RelationshipType below it; the rest depends on the ValueType, and an
item that refers to another one has none (PS3.3 C.17.3)."""
_NOTHING: Final[Mapping[int, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class _Level:
    """The attributes of a module, or of an item of one of its sequences."""

    types: Mapping[int, str]
    below: Mapping[int, int]
    """For a sequence: the number of its item among the tables' items."""


@dataclass(frozen=True, slots=True)
class _Tables:
    """The data file as it was read; levels are still text."""

    source: str
    sop_classes: Mapping[str, str]
    iods: Mapping[str, Mapping[Usage, str]]
    modules: Mapping[str, str]
    items: tuple[str, ...]


@cache
def _tables() -> _Tables:
    raw = json.loads((files("dicom.iod") / "ps33.json").read_text("utf-8"))
    return _Tables(
        raw["source"], raw["sop_classes"], raw["iods"], raw["modules"], tuple(raw["items"])
    )


def _parsed(text: str) -> _Level:
    """Read attributes written as TAG:TYPE, or TAG:TYPE:ITEM for a sequence."""
    types: dict[int, str] = {}
    below: dict[int, int] = {}
    for word in text.split():
        tag, kind, *item = word.split(":")
        types[int(tag, 16)] = kind
        if item:
            below[int(tag, 16)] = int(item[0])
    return _Level(types, below)


@cache
def _module(name: str) -> _Level:
    return _parsed(_tables().modules[name])


@cache
def _item(number: int) -> _Level:
    return _parsed(_tables().items[number])


def source() -> str:
    """Say where the facts come from, and which edition they follow."""
    return _tables().source


def sop_classes() -> frozenset[str]:
    """List the SOP classes whose IOD is known."""
    return frozenset(_tables().sop_classes)


def iod_of(sop_class_uid: str) -> str:
    """Name the IOD of a SOP class, such as "ct-image" (PS3.4 B.5); "" where it is unknown."""
    return _tables().sop_classes.get(sop_class_uid, "")


def type_of(sop_class_uid: str, path: Path) -> str:
    """Say the type of an attribute in a SOP class: "1", "1C", "2", "2C" or "3" (PS3.5 7.4).

    `path` holds the tags of the enclosing sequences and then the attribute. "" where the IOD is
    unknown or does not name the attribute there. Where several modules name it the strictest type
    counts, so that an attribute treated by its type stays valid whichever modules the object has.
    A conditional or optional module binds only where it is present: at the top level its types 1
    and 2 count as 1C and 2C. Inside an item they count as they stand, for the sequence is there.
    A macro that is included on a condition counts like a mandatory one: the tables do not tell.

    A lookup costs about a microsecond. Repeating groups (50xx, 60xx) are known as their first.
    """
    return _types(sop_class_uid, path[:-1]).get(_plain(path[-1]), "") if path else ""


def required(sop_class_uid: str, outer: Path = ()) -> Mapping[int, str]:
    """List what must be there in every case: tag to "1" or "2" (PS3.5 7.4).

    `outer` holds the tags of the enclosing sequences: () asks for the top level, where only
    mandatory modules count; inside an item only what each module that knows the sequence asks
    for. Functional groups may stand in the shared or the per-frame sequence, and the parts of an
    SR content item depend on its ValueType (PS3.3 C.7.6.16, C.17.3): they are never listed.
    """
    return _required(sop_class_uid, outer)


@lru_cache(8192)
def _types(sop_class_uid: str, outer: Path) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for usage, _, level in _levels(sop_class_uid, outer):
        for tag, written in level.types.items():
            optional = not outer and usage != "M"
            kind = _OF_AN_ABSENT_MODULE.get(written, written) if optional else written
            found[tag] = min(found.get(tag, kind), kind, key=_STRICTEST.index)
    return MappingProxyType(found)


@lru_cache(8192)
def _required(sop_class_uid: str, outer: Path) -> Mapping[int, str]:
    if outer and outer[-1] in _FUNCTIONAL_GROUPS:
        return _NOTHING
    levels = list(_levels(sop_class_uid, outer))
    if not outer:
        return _of_modules([(name, level) for usage, name, level in levels if usage == "M"])
    certain = {
        tag: kind
        for _, _, first in levels[:1]
        for tag, kind in first.types.items()
        if kind in {"1", "2"} and all(kind == level.types.get(tag) for _, _, level in levels)
    }
    in_content = outer[-1] == _CONTENT
    return MappingProxyType(_of_content(certain, root=False) if in_content else certain)


def _of_modules(levels: list[tuple[str, _Level]]) -> Mapping[int, str]:
    found: dict[int, str] = {}
    for name, level in levels:
        own = {tag: kind for tag, kind in level.types.items() if kind in {"1", "2"}}
        for tag, kind in (_of_content(own, root=True) if name == _CONTENT_MODULE else own).items():
            found[tag] = min(found.get(tag, kind), kind)
    return MappingProxyType(found)


def _of_content(types: Mapping[int, str], *, root: bool) -> dict[int, str]:
    return {tag: kind for tag, kind in types.items() if tag == _OF_EVERY_CONTENT_ITEM[root]}


def _levels(sop_class_uid: str, outer: Path) -> Iterator[tuple[Usage, str, _Level]]:
    """Find what each module of a SOP class's IOD knows about a level: usage, name, attributes."""
    path = _folded(outer)
    for usage, names in _tables().iods.get(iod_of(sop_class_uid), {}).items():
        for name in names.split():
            level: _Level | None = _module(name)
            for tag in path:
                level = _below(level, tag) if level else None
            if level:
                yield usage, name, level


def _below(level: _Level, tag: int) -> _Level | None:
    number = level.below.get(tag)
    return None if number is None else _item(number)


def _folded(outer: Path) -> list[int]:
    """Fold content items within content items into one: the standard nests them without end."""
    return [
        _plain(tag)
        for before, tag in zip((0, *outer), outer, strict=False)
        if not tag == before == _CONTENT
    ]


def _plain(tag: int) -> int:
    """Turn a tag of a repeating group (50xx, 60xx; PS3.5 7.6) into that of its first one."""
    repeating = tag >> 24 in {0x50, 0x60} and not tag >> 16 & 1
    return tag & 0xFF00_FFFF if repeating else tag
