"""The identifier of a C-MOVE or C-GET as a Selection (PS3.4 C.4.2.1.4, C.4.2.2, C.4.3.2).

Pure: nothing here knows where the entities are kept.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from dicom import charset, uid
from dicom.attributes import CATALOGUE, UNIQUE_KEYS, Level
from dicom.identifier import BadIdentifier, Keys, declared_terms, level_of
from dicom.selection import Selection

RELATIONAL: Final = 0
"""The byte of a SOP class' extended negotiation that asks for relational retrieval (PS3.4 C.5)."""

_LEVELS: Final = tuple(Level)
_WILDCARDS: Final = frozenset("*?")


@dataclass(frozen=True, slots=True)
class Model:
    """An information model: its name, and its levels from the top down (PS3.4 C.6)."""

    name: str
    levels: tuple[Level, ...]


_PATIENT_ROOT: Final = Model("patient", _LEVELS)
_STUDY_ROOT: Final = Model("study", _LEVELS[1:])
_PATIENT_STUDY_ONLY: Final = Model("patient/study", _LEVELS[:2])

MOVE_MODELS: Final[Mapping[str, Model]] = {
    uid.PATIENT_ROOT_MOVE: _PATIENT_ROOT,
    uid.STUDY_ROOT_MOVE: _STUDY_ROOT,
    uid.PATIENT_STUDY_ONLY_MOVE: _PATIENT_STUDY_ONLY,
}
"""The models of C-MOVE by their SOP Class UID."""
GET_MODELS: Final[Mapping[str, Model]] = {
    uid.PATIENT_ROOT_GET: _PATIENT_ROOT,
    uid.STUDY_ROOT_GET: _STUDY_ROOT,
    uid.PATIENT_STUDY_ONLY_GET: _PATIENT_STUDY_ONLY,
}
"""The models of C-GET by their SOP Class UID."""


def is_relational(application_information: bytes) -> bool:
    """Whether extended negotiation asks for relational retrieval (PS3.4 C.5.2.1, C.5.3.1)."""
    return application_information[RELATIONAL : RELATIONAL + 1] == b"\1"


def parse(identifier: Keys, model: Model, *, relational: bool = False) -> Selection:
    """Read an identifier. Raises BadIdentifier naming the element that breaks a rule.

    By the hierarchical method each level above the asked one has its unique key, with one value.
    `relational` lets those keys be absent or lists (PS3.4 C.4.2.2.2). A unique key of a lower
    level is a fault: to pass over it would send more than was meant. Attributes that are no
    unique keys are ignored, for many requesters send them.
    """
    level = level_of(identifier, model.levels)
    declared = charset.encodings(declared_terms(identifier))
    named: dict[Level, tuple[str, ...]] = {}
    for each in _LEVELS:
        keyword = UNIQUE_KEYS[each]
        attribute = CATALOGUE[keyword]
        values = tuple(_values(identifier.text(attribute.tag, attribute.vr, declared)))
        if values and each.depth > level.depth:
            words = f"is of a level below {level}, which is what is asked for"
            raise BadIdentifier(attribute.tag, words)
        if each in model.levels and each.depth <= level.depth:
            _require(each, level, values, relational=relational)
        _judge(each, values)
        named[each] = values
    return Selection(
        named[Level.PATIENT], named[Level.STUDY], named[Level.SERIES], named[Level.IMAGE]
    )


def _values(text: str) -> Iterator[str]:
    """Split a list of values; each is named once."""
    return iter(dict.fromkeys(value for value in text.split("\\") if value))


def _require(each: Level, asked: Level, values: tuple[str, ...], *, relational: bool) -> None:
    """Hold one level's key to what PS3.4 C.4.2.2.1 asks of it."""
    tag = CATALOGUE[UNIQUE_KEYS[each]].tag
    if each is asked:
        if not values:
            raise BadIdentifier(tag, f"must be given in a retrieval at the {asked} level")
    elif len(values) != 1 and not relational:
        words = f"must hold a single value in a retrieval at the {asked} level"
        raise BadIdentifier(tag, words)


def _judge(each: Level, values: tuple[str, ...]) -> None:
    """Judge values by what they are: PatientID is one text, all others are lists of UIDs."""
    tag = CATALOGUE[UNIQUE_KEYS[each]].tag
    if each is not Level.PATIENT:
        if not all(map(uid.is_storable, values)):
            raise BadIdentifier(tag, "holds what is no UID")
    elif len(values) > 1:
        raise BadIdentifier(tag, "must hold a single value")
    elif _WILDCARDS & set("".join(values)):
        raise BadIdentifier(tag, "holds a wildcard, and a retrieval names whole values")
