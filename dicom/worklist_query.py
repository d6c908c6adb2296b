"""A worklist query: its keys, whether an entry meets them, and its answer (PS3.4 K.4.1, K.6).

Pure: nothing here knows where the entries are kept.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from pydicom.dataset import Dataset

from dicom import charset, moments
from dicom.identifier import BadIdentifier, Keys, Parsed
from dicom.layout import NUMBERS, Layout
from dicom.matching import AnyOf, Between, Criterion, NotAKey, criterion, meets
from dicom.worklist import CATALOGUE, STEPS, Item, Known

_NOT_KEYS: Final = frozenset({charset.SPECIFIC_CHARACTER_SET, 0x00080052, 0x00080201})
"""Specific Character Set; Query/Retrieve Level, which some send; Timezone Offset From UTC."""
_START_DATE: Final = "ScheduledProcedureStepStartDate"
_START_TIME: Final = "ScheduledProcedureStepStartTime"
_MOST_NARROWING: Final = 200
IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
TRANSFER_SYNTAXES: Final = ("1.2.840.10008.1.2.1", IMPLICIT_LITTLE_ENDIAN)
"""What identifiers are read and written in."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it must be, None for anything; of a sequence, the keys in its item."""

    known: Known
    wanted: Criterion | None = None
    inside: tuple["Key", ...] | None = None
    """Empty where a sequence is asked for as a whole."""
    is_range: bool = False
    uids: frozenset[str] | None = None
    """The values where they are UIDs: a list of them may be long."""


@dataclass(frozen=True, slots=True)
class WorklistQuery:
    """What a scanner asks for."""

    keys: tuple[Key, ...]
    unsupported: tuple[int, ...] = ()
    character_set: tuple[str, ...] = ()

    def wanted(self, *path: str) -> Criterion | None:
        """Give what an attribute must be, by its keyword, or its sequence's and its own."""
        keys = self.keys
        for keyword in path[:-1]:
            found = next((one for one in keys if _is(one, keyword)), None)
            keys = (found.inside or ()) if found else ()
        return next((one.wanted for one in keys if _is(one, path[-1])), None)

    def single(self, *path: str) -> tuple[str, ...] | None:
        """Give the values of which an attribute must have one; None where it may have others."""
        wanted = self.wanted(*path)
        few = isinstance(wanted, AnyOf) and len(wanted.values) <= _MOST_NARROWING
        return tuple(wanted.values) if isinstance(wanted, AnyOf) and few else None

    def days(self) -> tuple[str, str]:
        """Give the first and the last day of what is asked for, as DA; "" where it is open."""
        wanted = self.wanted(STEPS, _START_DATE)
        ends = (wanted.first, wanted.last) if isinstance(wanted, Between) else (None, None)
        first, last = (moments.to_da(end) if isinstance(end, dt.date) else "" for end in ends)
        return first, last

    def names(self) -> list[str]:
        """Name the keys that must be met, without their values."""
        return list(_names(self.keys))


def _is(key: Key, keyword: str) -> bool:
    return key.known.attribute.keyword == keyword


def _names(keys: Sequence[Key]) -> Iterator[str]:
    for key in keys:
        if key.wanted is not None:
            yield key.known.attribute.keyword
        yield from _names(key.inside or ())


def parse(identifier: Dataset | Keys) -> WorklistQuery:
    """Read an identifier. Raises BadIdentifier naming the element that breaks a rule."""
    given = Parsed(identifier) if isinstance(identifier, Dataset) else identifier
    terms = charset.split_terms(given.text(charset.SPECIFIC_CHARACTER_SET, "CS", charset.ASCII))
    unsupported: list[int] = []
    keys = _keys(given, CATALOGUE, charset.encodings(terms), unsupported)
    return WorklistQuery(keys, tuple(unsupported), terms)


def _keys(
    item: Keys,
    catalogue: Mapping[str, Known],
    declared: charset.Encodings,
    unsupported: list[int],
) -> tuple[Key, ...]:
    by_tag = {known.attribute.tag: known for known in catalogue.values()}
    found: list[Key] = []
    for tag in item.tags():
        known = by_tag.get(tag)
        if known is None:
            if tag not in _NOT_KEYS:
                unsupported.append(tag)
        elif known.inside is None:
            found.append(_key(known, item.text(tag, known.attribute.vr, declared)))
        else:
            found.append(_sequence(item, known, declared, unsupported))
    return tuple(found)


def _key(known: Known, text: str) -> Key:
    wanted = _criterion(known, text)
    is_list = known.attribute.vr == "UI" and isinstance(wanted, AnyOf)
    uids = frozenset(wanted.values) if is_list and isinstance(wanted, AnyOf) else None
    return Key(known, wanted, is_range="-" in text, uids=uids)


def _sequence(item: Keys, known: Known, declared: charset.Encodings, unsupported: list[int]) -> Key:
    """Read a sequence key: universal without an item, or what the one item asks (C.2.2.2.6)."""
    tag = known.attribute.tag
    try:
        items = item.items(tag)
    except Exception as fault:  # pydicom raises many kinds on hostile bytes
        raise BadIdentifier(tag, "cannot be read") from fault
    if items is None and item.text(tag, "LO", declared):
        raise BadIdentifier(tag, "must be a sequence")
    items = items or ()
    if len(items) > 1:
        raise BadIdentifier(tag, "must have one item at most")
    inside = _keys(items[0], known.inside or {}, declared, unsupported) if items else ()
    return Key(known, inside=inside)


def _criterion(known: Known, text: str) -> Criterion | None:
    try:
        return criterion(known.attribute, text)
    except NotAKey as fault:
        raise BadIdentifier(known.attribute.tag, str(fault)) from None


def matches(query: WorklistQuery, item: Item) -> bool:
    """Decide whether an entry meets every key of a query."""
    return _meets_all(query.keys, item)


def _meets_all(keys: Sequence[Key], item: Item) -> bool:
    together = _period(keys)
    if together and not _within(*together, item):
        return False
    return all(_meets(key, item) for key in keys if key not in together)


def _meets(key: Key, item: Item) -> bool:
    value = item.get(key.known.attribute.keyword)
    if key.inside is not None:
        asks = any(True for _ in _names(key.inside))
        items = value if isinstance(value, list) else []
        return not asks or any(_meets_all(key.inside, one) for one in items)
    if key.wanted is None:
        return True
    text = value if isinstance(value, str) else ""
    if key.uids is not None:
        return text in key.uids
    return meets(key.known.attribute, key.wanted, text)


def _period(keys: Sequence[Key]) -> tuple[Key, Key] | tuple[()]:
    """Find the two keys that ask for one period of time.

    A range of dates and a range of times mean all between the first day's first time and the last
    day's last one (PS3.4 Table K.6-1), not the same hours of each day.
    """
    date = next((one for one in keys if _is(one, _START_DATE) and one.is_range), None)
    time = next((one for one in keys if _is(one, _START_TIME) and one.is_range), None)
    return (date, time) if date and time and date.wanted and time.wanted else ()


def _within(date_key: Key, time_key: Key, item: Item) -> bool:
    dates, times = date_key.wanted, time_key.wanted
    date = moments.date_of(item.get(_START_DATE, ""))
    if date is None or not isinstance(dates, Between) or not isinstance(times, Between):
        return False
    time = moments.time_of(item.get(_START_TIME, ""))
    return _is_in_order(dates.first, times.first, date, time) and _is_in_order(
        date, time, dates.last, times.last
    )


def _is_in_order(
    first_date: Any, first_time: dt.time | Any, last_date: Any, last_time: dt.time | Any
) -> bool:
    """Whether one moment is not behind another; an open end, or an unknown time, never is."""
    if first_date is None or last_date is None:
        return True
    if first_date != last_date:
        return bool(first_date < last_date)
    return first_time is None or last_time is None or bool(first_time <= last_time)


def answer(query: WorklistQuery, item: Item, transfer_syntax_uid: str) -> bytes:
    """Write the identifier of one match: the requested keys that the node knows, no others.

    SpecificCharacterSet is chosen as for any query (PS3.4 C.4.1.1.3.2).
    """
    layout = Layout.of(transfer_syntax_uid)
    try:
        return _told(query.keys, item, layout, _ascii)
    except UnicodeEncodeError:
        texts: list[str] = []
        _told(query.keys, item, layout, partial(_noted, texts))
        terms = charset.answer_terms(texts, query.character_set)
        encode = partial(charset.encode, declared=charset.encodings(terms))
        named = layout.element(charset.SPECIFIC_CHARACTER_SET, "CS", "\\".join(terms).encode())
        return named + _told(query.keys, item, layout, encode)


def _told(keys: Sequence[Key], item: Item, layout: Layout, encode: Callable[[str], bytes]) -> bytes:
    """Write the keys of an item; of a sequence the items that are meant (PS3.4 C.2.2.2.6)."""
    parts: list[bytes] = []
    for key in keys:
        attribute, value = key.known.attribute, item.get(key.known.attribute.keyword)
        vr = attribute.vr
        if key.known.inside is not None:
            items = [one for one in value or () if _meets_all(key.inside or (), one)]
            wholes = (
                _told(key.inside or _all_of(key.known, one), one, layout, encode) for one in items
            )
            raw = b"".join(map(layout.item, wholes))
        elif not value:
            raw = b""
        elif vr in NUMBERS:
            raw = layout.number(vr, value)
        else:
            raw = encode(value) if vr in charset.LOCALISED else value.encode("ascii", "replace")
        parts.append(layout.element(attribute.tag, vr, raw))
    return b"".join(parts)


def _ascii(text: str) -> bytes:
    return text.encode("ascii")


def _noted(texts: list[str], text: str) -> bytes:
    texts.append(text)
    return b""


def _all_of(known: Known, item: Item) -> tuple[Key, ...]:
    return tuple(
        Key(one, inside=() if one.inside is not None else None)
        for keyword, one in sorted(
            (known.inside or {}).items(), key=lambda pair: pair[1].attribute.tag
        )
        if keyword in item
    )
