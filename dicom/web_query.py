"""The parameters of a QIDO-RS search as a Query (PS3.18 8.3.4, 10.6.1).

Pure: nothing here knows of HTTP beside the names and texts of its parameters.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_dict, keyword_for_tag

from dicom import charset, query, uid
from dicom.attributes import CATALOGUE, SEQUENCES, UNIQUE_KEYS, Attribute, Level
from dicom.errors import CannotUnderstand
from dicom.identifier import MAX_DEPTH, QUERY_RETRIEVE_LEVEL, BadIdentifier
from dicom.matching import AnyOf
from dicom.options import Options
from dicom.query import Query, Root

MOST_RESULTS: Final = 5000
"""Of one search; who wants more asks on with `offset`."""
MOST_HEADS: Final = 1000
"""Of one search for Instances whose heads are read."""
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_SHOWN: Final = re.compile(r"[A-Za-z0-9.]{1,100}")
_COMMA_LISTS: Final = frozenset({"UI", "CS"})
"""Representations whose values hold no comma, so that one separates values."""
_FUZZY: Final = "fuzzymatching"
_SWITCHES: Final = frozenset({_FUZZY, "emptyvaluematching", "multiplevaluematching"})
"""The last two are done whether asked for or not: "" finds what is empty, a list any of it."""
_ALWAYS: Final[Mapping[Level, str]] = {
    Level.STUDY: """
        StudyDate StudyTime AccessionNumber ModalitiesInStudy ReferringPhysicianName
        TimezoneOffsetFromUTC PatientName PatientID PatientBirthDate PatientSex StudyInstanceUID
        StudyID NumberOfStudyRelatedSeries NumberOfStudyRelatedInstances""",
    Level.SERIES: """
        Modality TimezoneOffsetFromUTC SeriesDescription SeriesInstanceUID SeriesNumber
        NumberOfSeriesRelatedInstances PerformedProcedureStepStartDate
        PerformedProcedureStepStartTime RequestAttributesSequence""",
    Level.IMAGE: """
        SOPClassUID SOPInstanceUID TimezoneOffsetFromUTC InstanceNumber Rows Columns
        BitsAllocated NumberOfFrames""",
}
"""What each result tells, whatever was asked for (PS3.18 Tables 10.6.3-3, -4 and -5)."""
_EVERY: Final[Mapping[str, Attribute]] = {**CATALOGUE, **SEQUENCES}


def always_told(level: Level) -> str:
    """Name what each result of a level tells, for documents."""
    return " ".join(_ALWAYS[level].split())


class BadQuery(CannotUnderstand):
    """A parameter that cannot be understood: 400, with its name."""

    code = "bad-query"


@dataclass(frozen=True, slots=True)
class WebQuery:
    """A search: what is asked for, which part of the results, and what its asker shall know."""

    query: Query
    limit: int
    offset: int = 0
    warnings: tuple[str, ...] = ()
    """Sentences, without values: what was not done as asked."""
    unindexed: frozenset[int] = frozenset()
    """Tags that results shall tell besides, and that only the heads of Instances have."""
    whole: bool = False
    """Whether results shall tell everything that is in those heads."""

    @property
    def needs_heads(self) -> bool:
        """Whether the index's attributes alone are not what was asked for."""
        return self.whole or bool(self.unindexed)


@dataclass(slots=True)
class _Keys:
    """Keys by tag, as query.parse reads those of an identifier; a sequence has one item."""

    texts: dict[int, str] = field(default_factory=dict)
    inside: dict[int, "_Keys"] = field(default_factory=dict)

    def tags(self) -> Sequence[int]:
        """List the tags, ascending."""
        return sorted({*self.texts, *self.inside})

    def text(self, tag: int, vr: str, declared: charset.Encodings) -> str:
        """Give a key's text, lists that are written with commas as DICOM writes them."""
        del declared  # it is Unicode already
        text = self.texts.get(tag, "")
        return text.replace(",", "\\") if vr in _COMMA_LISTS else text

    def items(self, tag: int) -> "Sequence[_Keys] | None":
        """Give the item of a sequence."""
        return [self.inside[tag]] if tag in self.inside else None


@dataclass(slots=True)
class _Read:
    """What the parameters said so far."""

    keys: _Keys = field(default_factory=_Keys)
    included: list[tuple[int, ...]] = field(default_factory=list)
    with_all: bool = False
    numbers: dict[str, int] = field(default_factory=dict)
    switches: dict[str, bool] = field(default_factory=dict)


def parse(level: Level, path: Mapping[str, str], parameters: Iterable[tuple[str, str]]) -> WebQuery:
    """Read a search for entities of a level below those that the path names.

    `path` maps the keywords of UIDs to values; `parameters` are decoded. Ranges of a date and of
    its time are one range. An attribute that the node does not index, or that belongs to a lower
    level, is ignored, as in C-FIND, and a warning says so; results of Instances can tell it all the
    same, of which at most MOST_HEADS come then. Raises BadQuery naming the parameter that breaks a
    rule.
    """
    read, seen = _Read(), set[tuple[int, ...] | str]()
    for name, value in parameters:
        if name == "includefield":
            _include(read, value)
        else:
            _take(read, seen, name, value)
    read.keys.texts |= {QUERY_RETRIEVE_LEVEL: str(level), charset.SPECIFIC_CHARACTER_SET: ""}
    asked = _query(level, read)
    asked = replace(
        asked,
        matching=(*_of_path(path), *asked.matching),
        returning=_returning(level, path, asked, read),
    )
    missing = frozenset(_not_told(level, read))
    has_heads = level is Level.IMAGE
    ignored = [*asked.unsupported, *(() if has_heads else sorted(missing))]
    names = ", ".join(dict.fromkeys(keyword_for_tag(tag) or f"{tag:08X}" for tag in ignored))
    words = f"These attributes are not supported here and were ignored: {names}"
    found = WebQuery(
        asked, read.numbers.get("limit", MOST_RESULTS), read.numbers.get("offset", 0),
        (words,) if ignored else (), missing if has_heads else frozenset(),
        has_heads and read.with_all,
    )  # fmt: skip
    return replace(found, limit=min(found.limit, MOST_HEADS if found.needs_heads else MOST_RESULTS))


def _query(level: Level, read: _Read) -> Query:
    root = Root.PATIENT if level is Level.PATIENT else Root.STUDY
    fuzzy = read.switches.get(_FUZZY, False)
    try:
        options = Options(relational=True, combined=True, fuzzy=fuzzy, zone=True)
        return query.parse(read.keys, root, options)
    except BadIdentifier as fault:
        raise BadQuery(str(fault)) from None


def _of_path(path: Mapping[str, str]) -> Iterator[query.Key]:
    for keyword, value in path.items():
        if not uid.is_storable(value):
            raise BadQuery(f"{keyword} in the URL is no UID")
        yield query.Key(CATALOGUE[keyword], AnyOf((value,)))


def _take(read: _Read, seen: set[tuple[int, ...] | str], name: str, value: str) -> None:
    """Read one parameter that may stand once."""
    is_key = name not in {"limit", "offset", *_SWITCHES}
    what = _tags(name) if is_key else name
    if what in seen:
        raise BadQuery(f"{_shown(name)} stands in the query more than once")
    seen.add(what)
    if isinstance(what, tuple):
        _put(read.keys, what, value, name)
    elif name in _SWITCHES:
        if value not in {"true", "false"}:
            raise BadQuery(f'{name} must be "true" or "false"')
        read.switches[name] = value == "true"
    else:
        if not _NUMBER.fullmatch(value):
            raise BadQuery(f"{name} must be a whole number of 0 or more")
        read.numbers[name] = int(value)


def _put(keys: _Keys, tags: tuple[int, ...], value: str, name: str) -> None:
    """Put a key in its place, within sequences where its name has dots."""
    *sequences, tag = tags
    for each in sequences:
        if _vr(each) != "SQ":
            raise BadQuery(f"{_shown(name)} leads through an attribute that is no sequence")
        keys = keys.inside.setdefault(each, _Keys())
    if _vr(tag) == "SQ":
        if value.strip():
            raise BadQuery(f"{_shown(name)} is a sequence: name an attribute of its items")
        keys.inside.setdefault(tag, _Keys())
    else:
        keys.texts[tag] = value


def _vr(tag: int) -> str:
    return dictionary_VR(tag) if keyword_for_tag(tag) else ""


def _include(read: _Read, value: str) -> None:
    """Read a list of attributes that shall be told, or "all"."""
    for name in value.split(","):
        if name == "all":
            read.with_all = True
        elif name:
            read.included.append(_tags(name))


def _tags(name: str) -> tuple[int, ...]:
    """Read the tags of an attribute, of the sequences around it first.

    Raises BadQuery for what is no name of an attribute: to ignore a slip of the pen would be to
    answer with everybody's studies.
    """
    parts = [_tag(part) for part in name.split(".")]
    tags = tuple(part for part in parts if part is not None)
    if len(tags) < len(parts) or len(tags) > MAX_DEPTH:
        raise BadQuery(f"{_shown(name)} is no parameter, and no keyword or tag of PS3.6")
    return tags


def _tag(name: str) -> int | None:
    if _TAG.fullmatch(name):
        return int(name, 16)
    return keyword_dict.get(name) if name else None  # what is retired has no keyword


def _shown(name: str) -> str:
    """Give a parameter's name back to whoever wrote it, if it looks like one."""
    return name if _SHOWN.fullmatch(name) else "a parameter of another form"


def _returning(
    level: Level, path: Mapping[str, str], asked: Query, read: _Read
) -> tuple[Attribute, ...]:
    """List what results tell: what was asked for, and what the tables of the standard want."""
    keywords = {one.keyword for one in asked.returning}
    keywords.update(keyword_for_tag(tags[0]) for tags in read.included)
    keywords.update(_EVERY if read.with_all else ())
    return _told(level, frozenset(path), frozenset(keywords))


@lru_cache(1024)
def _told(level: Level, path: frozenset[str], wanted: frozenset[str]) -> tuple[Attribute, ...]:
    """List attributes by tag: of the asked level, and of those that the path leaves out."""
    keywords = set(wanted)
    for each in Root.STUDY.levels:
        if not level.holds(each):
            break
        keywords.add(UNIQUE_KEYS[each])
        if each is level or UNIQUE_KEYS[each] not in path:
            keywords.update(_ALWAYS[each].split())
    told = (_EVERY[keyword] for keyword in keywords if keyword in _EVERY)
    return tuple(sorted((one for one in told if level.holds(one.level)), key=lambda one: one.tag))


def _not_told(level: Level, read: _Read) -> Iterator[int]:
    """List what was to be included and cannot be."""
    for tags in read.included:
        known = _EVERY.get(keyword_for_tag(tags[0]))
        if known is None or not level.holds(known.level):
            yield tags[0]
