"""A C-FIND identifier as a Query, and a match as an identifier (PS3.4 C.4.1, C.6).

Pure: nothing here knows where the entities are kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from pydicom.config import IGNORE
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom import charset
from dicom.attributes import BY_TAG, CATALOGUE, UNIQUE_KEYS, Attribute, Level
from dicom.errors import DoesNotMatch
from dicom.matching import AnyOf, Criterion, NotAKey, criterion, meets

_QUERY_RETRIEVE_LEVEL: Final = 0x00080052
_RETRIEVE_AE_TITLE: Final = 0x00080054
_NOT_KEYS: Final = frozenset(
    {
        charset.SPECIFIC_CHARACTER_SET,
        _QUERY_RETRIEVE_LEVEL,
        _RETRIEVE_AE_TITLE,
        0x00080201,  # TimezoneOffsetFromUTC says how to read dates, it asks for nothing
    }
)


class Root(StrEnum):
    """The information model that a query is made in (PS3.4 C.6.1, C.6.2)."""

    PATIENT = "patient"
    STUDY = "study"

    @property
    def levels(self) -> tuple[Level, ...]:
        """The levels of the model from the top down; Study Root has no PATIENT level."""
        every = tuple(Level)
        return every if self is Root.PATIENT else every[1:]


class BadIdentifier(DoesNotMatch):
    """The identifier breaks a rule: 0xA900 with the element that does (PS3.4 C.4.1.1.4)."""

    code = "bad-identifier"

    def __init__(self, tag: int, words: str) -> None:
        self.tag = tag
        name = keyword_for_tag(tag) or "element"
        super().__init__(f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) {words}")


@dataclass(frozen=True, slots=True)
class Key:
    """One matching key: the attribute, and what it must be."""

    attribute: Attribute
    criterion: Criterion


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

    def criterion(self, keyword: str) -> Criterion | None:
        """Give what one attribute must be; None where any value will do."""
        return next((k.criterion for k in self.matching if k.attribute.keyword == keyword), None)


def parse(identifier: Dataset, root: Root) -> Query:
    """Read an identifier. Raises BadIdentifier naming the element that breaks a rule.

    Keys of a lower level than the asked one, sequences and unknown attributes are ignored.
    Keys of upper levels are matched and returned too: more than the hierarchical method asks.
    """
    level = _level(identifier, root)
    terms = charset.terms_of(identifier)
    declared = charset.encodings(terms)
    matching: list[Key] = []
    returning: list[Attribute] = []
    unsupported: list[int] = []
    for tag in sorted(identifier.keys()):
        attribute = BY_TAG.get(tag)
        if tag in _NOT_KEYS or tag.element == 0:
            continue
        if attribute is None or not level.holds(attribute.level):
            unsupported.append(int(tag))
            continue
        returning.append(attribute)
        wanted = _criterion(attribute, charset.read(identifier, tag, attribute.vr, declared))
        if wanted is not None:
            matching.append(Key(attribute, wanted))
    query = Query(root, level, tuple(matching), tuple(returning), tuple(unsupported), terms)
    _require_upper_keys(query)
    return query


def _level(identifier: Dataset, root: Root) -> Level:
    text = charset.read(identifier, _QUERY_RETRIEVE_LEVEL, "CS", ("iso8859",))
    known = ", ".join(root.levels)
    if not text:
        raise BadIdentifier(_QUERY_RETRIEVE_LEVEL, f"is missing; it must be one of {known}")
    if text not in root.levels:
        raise BadIdentifier(_QUERY_RETRIEVE_LEVEL, f"must be one of {known} in this model")
    return Level(text)


def _criterion(attribute: Attribute, text: str) -> Criterion | None:
    try:
        return criterion(attribute, text)
    except NotAKey as fault:
        raise BadIdentifier(attribute.tag, str(fault)) from None


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

    `attributes` maps keywords to texts, of the entity and of the levels above it.
    """
    return all(
        meets(key.attribute, key.criterion, attributes.get(key.attribute.keyword, ""))
        for key in query.matching
    )


def answer(query: Query, values: Mapping[str, str], retrieve_ae: str) -> Dataset:
    """Make the identifier of one match: the requested keys that the node supports, no others.

    SpecificCharacterSet is absent where ASCII is enough, else the requester's where it can
    carry every value, else ISO_IR 192 (PS3.4 C.4.1.1.3.2).
    """
    identifier = Dataset()
    for element in _elements(query, values, retrieve_ae):
        identifier.add(element)
    terms = charset.answer_terms(values.values(), query.character_set)
    if terms:
        words = terms[0] if len(terms) == 1 else list(terms)
        identifier.add(_element(charset.SPECIFIC_CHARACTER_SET, "CS", words))
    return identifier


def _elements(query: Query, values: Mapping[str, str], retrieve_ae: str) -> Iterator[DataElement]:
    yield _element(_QUERY_RETRIEVE_LEVEL, "CS", str(query.level))
    yield _element(_RETRIEVE_AE_TITLE, "AE", retrieve_ae)
    for attribute in query.returning:
        text = values.get(attribute.keyword, "")
        whole: object = text
        if attribute.vr == "US":
            whole = int(text) if text else None
        elif attribute.many and "\\" in text:
            whole = text.split("\\")
        yield _element(attribute.tag, attribute.vr, whole)


def _element(tag: int, vr: str, value: object) -> DataElement:
    # A value that a modality got wrong is answered as it is; checking it is not our part.
    return DataElement(Tag(tag), vr, value, validation_mode=IGNORE)
