"""What a C-FIND identifier asks for, as a Query (PS3.4 C.4.1, C.6).

Pure: nothing here knows where the entities are kept. How a match is answered is in find_answer.py.
"""

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from pydicom.dataset import Dataset

from dicom import charset, nested, zone
from dicom.attributes import BY_TAG, CATALOGUE, SEQUENCES_BY_TAG, UNIQUE_KEYS, Attribute, Level
from dicom.identifier import QUERY_RETRIEVE_LEVEL, Keys, Parsed, declared_terms, level_of
from dicom.identifier import BadIdentifier as BadIdentifier  # noqa: PLC0414  (known by this name)
from dicom.matching import AnyOf, Between, Criterion, NotAKey, criterion, fuzzy, meets, moment
from dicom.options import NONE, Options

RETRIEVE_AE_TITLE: Final = 0x00080054
INSTANCE_AVAILABILITY: Final = 0x00080056
ONLINE: Final = "ONLINE"
NEARLINE: Final = "NEARLINE"
"""Some of it has left the spool, and is fetched from a destination first (PS3.3 C.4.23.1.1)."""
_TIMEZONE: Final = 0x00080201
_NOT_KEYS: Final = frozenset(
    {
        charset.SPECIFIC_CHARACTER_SET,
        QUERY_RETRIEVE_LEVEL,
        0x00080053,  # QueryRetrieveView: nothing is converted here, so every view is the same
        RETRIEVE_AE_TITLE,
        INSTANCE_AVAILABILITY,
    }
)
PAIRS: Final[Mapping[str, str]] = {
    "PatientBirthDate": "PatientBirthTime",
    "StudyDate": "StudyTime",
    "SeriesDate": "SeriesTime",
    "PerformedProcedureStepStartDate": "PerformedProcedureStepStartTime",
    "ContentDate": "ContentTime",
    "AcquisitionDate": "AcquisitionTime",
    "InstanceCreationDate": "InstanceCreationTime",
}
"""Dates with the times that belong to them, for combined matching (PS3.4 C.2.2.2.5.4)."""


class Root(StrEnum):
    """The information model that a query is made in (PS3.4 C.6.1, C.6.2, C.6.3)."""

    PATIENT = "patient"
    STUDY = "study"
    PATIENT_STUDY = "patient-study"
    """Patient/Study Only, which is retired."""

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the model from the top down."""
        every = tuple(Level)
        if self is Root.PATIENT_STUDY:
            return every[:2]
        return every if self is Root.PATIENT else every[1:]


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key: the attribute, and what it must be."""

    attribute: Attribute
    criterion: Criterion
    time: Attribute | None = None
    """Of a date: the time that is matched together with it, as one moment."""
    zone_minutes: int | None = None
    """For those two: the offset from UTC in which the requester thinks."""


@dataclass(frozen=True, slots=True)
class SequenceKey:
    """One matching key that is a sequence, and what an item of it must meet."""

    attribute: Attribute
    keys: tuple[nested.ItemKey, ...]


@dataclass(frozen=True, slots=True)
class Query:
    """What a requester asks: entities of one level, by matching keys, with return keys."""

    root: Root
    level: Level
    matching: tuple[Key, ...]
    returning: tuple[Attribute, ...]
    """Every supported key of the request, in the order of tags."""
    unsupported: tuple[int, ...] = ()
    """Tags of keys that the node ignores: neither matched nor returned (PS3.4 C.2.2.1.3)."""
    character_set: tuple[str, ...] = ()
    """The requester's SpecificCharacterSet; empty for the default repertoire."""
    sequences: tuple[SequenceKey, ...] = ()
    """Matching keys that are sequences."""
    inside: Mapping[int, frozenset[int]] = field(default_factory=dict)
    """For a returned sequence: the tags that are told of its items, where not all."""
    with_availability: bool = False
    """Whether InstanceAvailability was asked for (PS3.4 C.4.1.1.3)."""

    def criterion(self, keyword: str) -> Criterion | None:
        """Give what one attribute must be; None where any value will do."""
        return next((k.criterion for k in self.matching if k.attribute.keyword == keyword), None)

    @property
    def keywords(self) -> tuple[str, ...]:
        """Name the attributes that are matched."""
        attributes = [key.attribute for key in self.matching]
        attributes += [key.attribute for key in self.sequences]
        return tuple(one.keyword for one in attributes)


@dataclass(slots=True)
class _Read:
    """What the keys said so far."""

    matching: dict[str, Key] = field(default_factory=dict)
    ranges: set[str] = field(default_factory=set)
    sequences: list[SequenceKey] = field(default_factory=list)
    returning: list[Attribute] = field(default_factory=list)
    inside: dict[int, frozenset[int]] = field(default_factory=dict)
    unsupported: list[int] = field(default_factory=list)


def parse(identifier: Dataset | Keys, root: Root, options: Options = NONE) -> Query:
    """Read an identifier. Raises BadIdentifier naming the element that breaks a rule.

    Keys of a lower level than the asked one and unknown attributes are ignored. Keys of upper
    levels are matched and returned too: more than the hierarchical method asks.
    """
    keys = Parsed(identifier) if isinstance(identifier, Dataset) else identifier
    level = level_of(keys, root.levels)
    terms = declared_terms(keys)
    declared = charset.encodings(terms)
    read = _Read()
    tags = keys.tags()
    for tag in tags:
        if tag in _NOT_KEYS:
            continue
        attribute = BY_TAG.get(tag) or SEQUENCES_BY_TAG.get(tag)
        if attribute is None or not level.holds(attribute.level):
            read.unsupported.append(tag)
            continue
        read.returning.append(attribute)
        if attribute.vr == "SQ":
            _take_sequence(read, attribute, keys, declared)
        elif tag != _TIMEZONE:  # it says how to read dates, and asks for nothing
            _take(read, attribute, keys.text(tag, attribute.vr, declared), options)
    if options.combined:
        _combine(read, zone.minutes(keys.text(_TIMEZONE, "SH", declared)) if options.zone else None)
    query = Query(
        root,
        level,
        tuple(read.matching.values()),
        tuple(read.returning),
        tuple(read.unsupported),
        terms,
        tuple(read.sequences),
        read.inside,
        INSTANCE_AVAILABILITY in tags,
    )
    if not options.relational:
        _require_upper_keys(query)
    return query


def _take(read: _Read, attribute: Attribute, text: str, options: Options) -> None:
    try:
        wanted = criterion(attribute, text)
    except NotAKey as fault:
        raise BadIdentifier(attribute.tag, str(fault)) from None
    if attribute.vr == "PN" and options.fuzzy and isinstance(wanted, AnyOf):
        wanted = fuzzy(text)
    if wanted is not None:
        read.matching[attribute.keyword] = Key(attribute, wanted)
        if "-" in text:
            read.ranges.add(attribute.keyword)


def _take_sequence(
    read: _Read, attribute: Attribute, keys: Keys, declared: charset.Encodings
) -> None:
    asked = nested.read(attribute, keys, declared)
    read.unsupported += asked.unsupported
    if asked.keys:
        read.sequences.append(SequenceKey(attribute, asked.keys))
    if asked.returning:
        read.inside[attribute.tag] = asked.returning


def _combine(read: _Read, zone_minutes: int | None) -> None:
    """Match ranges of a date and of its time as one range of moments (PS3.4 C.2.2.2.5.4)."""
    for date, time in PAIRS.items():
        if not {date, time} <= read.ranges:
            continue
        days, hours = read.matching[date], read.matching[time]
        assert isinstance(days.criterion, Between)  # a date or time with a hyphen
        assert isinstance(hours.criterion, Between)
        first = _joined(days.criterion.first, hours.criterion.first or dt.time.min)
        last = _joined(days.criterion.last, hours.criterion.last or dt.time.max)
        wanted = Between(first, last)
        read.matching[date] = replace(
            days, criterion=wanted, time=hours.attribute, zone_minutes=zone_minutes
        )
        del read.matching[time]


def _joined(date: object, time: object) -> dt.datetime | None:
    if not isinstance(date, dt.date) or not isinstance(time, dt.time):
        return None
    return dt.datetime.combine(date, time)


def _require_upper_keys(query: Query) -> None:
    """Hold the identifier to PS3.4 C.4.1.2.1: one value in each unique key above the level."""
    for level in query.root.levels:
        if level.depth >= query.level.depth:
            return
        keyword = UNIQUE_KEYS[level]
        wanted = query.criterion(keyword)
        if not isinstance(wanted, AnyOf) or len(wanted.values) != 1:
            words = f"must hold a single value in a query at the {query.level} level"
            raise BadIdentifier(CATALOGUE[keyword].tag, words)


def matches(query: Query, attributes: Mapping[str, str]) -> bool:
    """Decide whether an entity meets every key; the slow reference for what SQL answers.

    `attributes` maps keywords to texts, of the entity and of the levels above it; of a sequence,
    to the JSON of its element.
    """
    return all(_meets(key, attributes) for key in query.matching) and all(
        nested.meets_items(key.keys, attributes.get(key.attribute.keyword, ""))
        for key in query.sequences
    )


def _meets(key: Key, attributes: Mapping[str, str]) -> bool:
    text = attributes.get(key.attribute.keyword, "")
    if key.time is None:
        return meets(key.attribute, key.criterion, text)
    assert isinstance(key.criterion, Between)  # see _combine
    date = moment("DA", text)
    if date is None:
        return False
    time = moment("TM", attributes.get(key.time.keyword, ""))
    shift = zone.shift(key.zone_minutes, attributes.get("TimezoneOffsetFromUTC", ""))
    early = _joined(date, time or dt.time.min)
    late = _joined(date, time or dt.time.max)
    first, last = key.criterion.first, key.criterion.last
    assert early is not None
    assert late is not None
    return (first is None or late - shift >= first) and (last is None or early - shift <= last)  # type: ignore[operator]  # moments all


def narrowing(query: Query) -> Iterator[tuple[Attribute, Sequence[str]]]:
    """List each sequence that must be there, with texts that its JSON is sure to hold."""
    for key in query.sequences:
        yield key.attribute, tuple(nested.literals(key.keys))
