"""Sequence matching: whether an item of a sequence meets all keys of the item that was asked for.

PS3.4 C.2.2.2.6. An item's attributes are any of PS3.6; what the index keeps of a sequence is the
JSON of its element.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from dicom import charset
from dicom.attributes import Attribute, described
from dicom.identifier import BadIdentifier, Keys
from dicom.json_sequence import items_of, text_of
from dicom.matching import AnyOf, Criterion, Like, NotAKey, criterion, meets

_TEXTS: Final = frozenset({"AE", "CS", "DS", "IS", "LO", "LT", "SH", "ST", "UC", "UI", "UR", "UT"})
_LEAST_LITERAL: Final = 2


@dataclass(frozen=True, slots=True)
class ItemKey:
    """One key within an item: what its value must be, or the keys of a sequence within it."""

    attribute: Attribute
    wanted: "Criterion | tuple[ItemKey, ...]"


@dataclass(frozen=True, slots=True)
class Asked:
    """What one sequence key asks for."""

    keys: tuple[ItemKey, ...]
    """What one item must meet, all of it; empty for universal matching."""
    returning: frozenset[int]
    """The tags that answers tell of each item; empty for all of them."""
    unsupported: tuple[int, ...]
    """Tags within the item that are of no attribute in PS3.6."""


def read(attribute: Attribute, keys: Keys, declared: charset.Encodings) -> Asked:
    """Read a sequence key. Raises BadIdentifier where it has several items or a broken key."""
    items = keys.items(attribute.tag) or ()
    if len(items) > 1:
        raise BadIdentifier(attribute.tag, "holds several items; a key holds one")
    if not items:
        return Asked((), frozenset(), ())
    wanted: list[ItemKey] = []
    unsupported: list[int] = []
    tags = [tag for tag in items[0].tags() if tag != charset.SPECIFIC_CHARACTER_SET]
    for tag in tags:
        inner = described(tag, attribute.level)
        if inner is None:
            unsupported.append(tag)
            continue
        asked = _wanted(inner, items[0], declared)
        if asked:
            wanted.append(ItemKey(inner, asked))
    return Asked(tuple(wanted), frozenset(tags), tuple(unsupported))


def _wanted(
    attribute: Attribute, keys: Keys, declared: charset.Encodings
) -> Criterion | tuple[ItemKey, ...] | None:
    if attribute.vr == "SQ":
        return read(attribute, keys, declared).keys or None
    try:
        return criterion(attribute, keys.text(attribute.tag, attribute.vr, declared))
    except NotAKey as fault:
        raise BadIdentifier(attribute.tag, str(fault)) from None


def meets_items(keys: tuple[ItemKey, ...], text: str) -> bool:
    """Decide whether any item of a sequence, given as its element's JSON, meets all keys."""
    return bool(meant_items(keys, text))


def meant_items(keys: tuple[ItemKey, ...], text: str) -> list[Mapping[str, Any]]:
    """Give the items of a sequence that meet all keys: those are what an answer tells."""
    return [item for item in items_of(text) if _meets(keys, item)]


def _meets(keys: tuple[ItemKey, ...], item: Mapping[str, Any]) -> bool:
    for key in keys:
        element = item.get(f"{key.attribute.tag:08X}")
        found = element if isinstance(element, dict) else {}
        if isinstance(key.wanted, tuple):
            values = [one for one in found.get("Value") or [] if isinstance(one, dict)]
            if not any(_meets(key.wanted, one) for one in values):
                return False
        elif not meets(key.attribute, key.wanted, text_of(found)):
            return False
    return True


def literals(keys: tuple[ItemKey, ...]) -> Iterator[str]:
    """List texts that the JSON of every sequence holds which meets the keys.

    They narrow a search cheaply; what they leave is decided by `meets_items`.
    """
    for key in keys:
        if isinstance(key.wanted, tuple):
            yield from literals(key.wanted)
            continue
        patterns: tuple[str, ...] = ()
        if isinstance(key.wanted, AnyOf):
            patterns = key.wanted.values
        elif isinstance(key.wanted, Like):
            patterns = key.wanted.patterns
        if len(patterns) == 1 and key.attribute.vr in _TEXTS - {"DS", "IS"}:
            runs = patterns[0].replace("?", "*").split("*")
            longest = max(runs, key=len)
            if len(longest) >= _LEAST_LITERAL and _is_plain(longest):
                yield longest


def _is_plain(text: str) -> bool:
    """Whether JSON writes a text as it is, whoever writes it."""
    return text.isascii() and text.isprintable() and not any(one in text for one in '"\\/<>&')
