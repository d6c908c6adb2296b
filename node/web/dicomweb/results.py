"""Matches of a search as DICOM JSON (PS3.18 Annex F), written as text, not by way of objects."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from json.encoder import encode_basestring as quoted
from typing import Final

from dicom.attributes import Attribute, Level
from dicom.query import INSTANCE_AVAILABILITY, ONLINE, Query

Row = Sequence[str]
"""One found entity: DICOM text of each of the query's returned attributes, in their order."""

_URL: Final = 0x00081190
_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})")
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_FIXED: Final[Mapping[int, str]] = {
    0x00080005: '{"vr":"CS","Value":["ISO_IR 192"]}',
}
_OURS: Final = frozenset({*_FIXED, INSTANCE_AVAILABILITY, _URL})
"""What the node says of the match, and no object of itself."""
_PATHS: Final[Mapping[Level, tuple[tuple[str, str], ...]]] = {
    Level.STUDY: (("studies", "StudyInstanceUID"),),
    Level.SERIES: (("studies", "StudyInstanceUID"), ("series", "SeriesInstanceUID")),
    Level.IMAGE: (
        ("studies", "StudyInstanceUID"),
        ("series", "SeriesInstanceUID"),
        ("instances", "SOPInstanceUID"),
    ),
}


def writer(query: Query, url: str) -> Callable[[Row, str], str]:
    """Make what writes one match as an object of the DICOM JSON Model, its elements by tag.

    It takes the match and its InstanceAvailability. `url` is that of the service, for RetrieveURL.
    What the standard always wants is there, empty where it is unknown; the rest is as in
    `query.returning`.
    """
    keywords = [one.keyword for one in query.returning]
    plan: list[tuple[int, int, Callable[[str], str]]] = [
        (one.tag, place, _value_writer(one))
        for place, one in enumerate(query.returning)
        if one.tag not in _OURS
    ]
    plan += [(tag, -1, partial(_same, text)) for tag, text in _FIXED.items()]
    plan.append((INSTANCE_AVAILABILITY, len(keywords), '{{"vr":"CS","Value":["{}"]}}'.format))
    plan.sort(key=lambda one: one[0])
    before = [(f'"{tag:08X}":', place, value) for tag, place, value in plan if tag < _URL]
    behind = [(f'"{tag:08X}":', place, value) for tag, place, value in plan if tag > _URL]
    path = [(f"/{word}/", keywords.index(keyword)) for word, keyword in _PATHS[query.level]]

    def write(found: Row, availability: str = ONLINE) -> str:
        row = (*found, availability)
        where = "".join([word + row[place] for word, place in path])
        parts = [name + value(row[place]) for name, place, value in before]
        parts.append(f'"{_URL:08X}":{{"vr":"UR","Value":[{quoted(url + where)}]}}')
        parts += [name + value(row[place]) for name, place, value in behind]
        return "{" + ",".join(parts) + "}"

    return write


def _same(fixed: str, _text: str) -> str:
    return fixed


def _value_writer(attribute: Attribute) -> Callable[[str], str]:
    """Make what writes an element of an attribute, given its value as DICOM text."""
    vr, many = attribute.vr, attribute.many
    if vr == "SQ":
        return _sequence
    start, empty = f'{{"vr":"{vr}","Value":[', f'{{"vr":"{vr}"}}'
    one = {"PN": _name, "IS": _number, "US": _number, "DS": _number}.get(vr, quoted)

    def write(text: str) -> str:
        if not text:
            return empty
        if many and "\\" in text:
            values = [one(value) if value else "null" for value in text.split("\\")]
            return f"{start}{','.join(values)}]}}"
        return f"{start}{one(text)}]}}"

    return write


def _sequence(text: str) -> str:
    """Write a sequence, which the index keeps as what is wanted."""
    return text or '{"vr":"SQ"}'


def _name(text: str) -> str:
    """Write a person name by its component groups (PS3.18 F.2.2)."""
    groups = zip(_GROUPS, text.split("="), strict=False)
    return "{" + ",".join(f'"{key}":{quoted(value)}' for key, value in groups if value) + "}"


def _number(text: str) -> str:
    return text if _INTEGER.fullmatch(text) else quoted(text)
