"""Say what a profile does, attribute by attribute and in words, for whoever has to sign it.

Pure: rules in, lines out. A line says what happens, which option is responsible, and why where a
profile or a site departs from the table. What the table does not list is told as rules, unless
somebody decided about it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Final

from pydicom.datadict import dictionary_description, dictionary_has_tag

import config.profiles
from deid.bases import Action
from deid.options import DESCRIPTORS, FULL_DATES, MODIFIED_DATES, OPTIONS, RETAIN_UIDS
from deid.parse import name
from deid.rules import Decision, Rules, is_choice
from deid.table import table

_SAID: Final = MappingProxyType(
    {
        Action.REMOVE: "removed",
        Action.EMPTY: "emptied",
        Action.DUMMY: "replaced by a dummy",
        Action.UID: "UIDs replaced by pseudonyms",
        Action.KEEP: "kept after a search for identity",
        Action.CLEAN: "cleaned by the keep-list of words",
        Action.SHIFT: "date moved with every other date of the patient",
        Action.PSEUDONYM: "replaced by the patient's pseudonym",
        Action.REFUSE: "the object is refused",
    }
)
_ORDER: Final = tuple(_SAID)
_SECTIONS: Final = MappingProxyType(
    {
        Action.REFUSE: "Objects with a value in these are refused",
        Action.PSEUDONYM: "Replaced by the patient's pseudonym",
        Action.KEEP: "Kept",
        Action.CLEAN: "Cleaned",
        Action.SHIFT: "Dates that move",
        Action.UID: "UIDs that are replaced",
        Action.DUMMY: "Replaced by a dummy (where the IOD allows it removed or emptied)",
        Action.EMPTY: "Emptied",
        Action.REMOVE: "Removed",
    }
)
"""Headings in the order in which an officer wants to read them: what stays before what goes."""


@dataclass(frozen=True, slots=True)
class Line:
    """What happens to one attribute, or to all of a kind."""

    tag: str
    name: str
    action: str
    """The letters of the action, such as X/Z/D."""
    words: str
    option: str
    """The option that is responsible; "" for none."""
    reason: str
    """Why a profile or a site departs from the table; "" where it does not."""
    by: str
    """Who decided: table, option, profile or site."""


def lines(rules: Rules, *, changed: bool = False) -> Iterator[Line]:
    """Yield a line for each attribute that the table lists or somebody decided about.

    With `changed` only those where an option, the shipped profile or the site departs from the
    column of the Basic Profile.
    """
    facts = table.load()
    for tag in sorted(rules.decisions):
        decision = rules.decisions[tag]
        row = facts.by_tag.get(tag)
        if row is None and not decision.reason and not _is_told(decision):
            continue
        by = _who(decision, is_listed=row is not None)
        if not changed or by != "table":
            yield _line(name(tag), _name(tag, row), decision, by)
    for mask, value, decision in rules.masked:
        yield _line(_pattern(mask, value), "repeating group", decision, "site")
    if not changed:
        for each in facts.masked:
            yield Line(
                _pattern(each.mask, each.value),
                each.row.keyword or "repeating group",
                "X",
                "removed: nobody can read strokes",
                "",
                "",
                "table",
            )


def unlisted(rules: Rules) -> Iterator[tuple[str, str]]:
    """Yield the rules for what no line names, as kind and words."""
    dates = "removed (emptied or replaced where the IOD needs a value)"
    if FULL_DATES in rules.options:
        dates = f"kept ({FULL_DATES})"
    elif MODIFIED_DATES in rules.options:
        dates = f"dates moved, times kept ({MODIFIED_DATES})"
    uids = f"kept ({RETAIN_UIDS})" if RETAIN_UIDS in rules.options else "replaced by pseudonyms"
    private = "removed"
    if "retain-safe-private" in rules.options:
        private = "removed, but for those of PS3.15 Table E.3.10-1 (retain-safe-private)"
    yield "dates and times that the table does not list", dates
    yield "person names, ages, AE titles and URLs that it does not list", "removed"
    yield "UIDs that it does not list", uids
    cleaned = DESCRIPTORS in rules.options
    texts = f"cleaned ({DESCRIPTORS})" if cleaned else "removed"
    yield "paragraphs of text (LT, ST, UT) that it does not list", texts
    if cleaned:
        yield "descriptions, comments, notes and labels that it does not list", texts
    yield "bytes (OB) that it does not list", "removed"
    yield "other public attributes that it does not list", "kept after a search for identity"
    yield "private attributes", private
    yield "what is removed although the IOD demands it (types 1, 2)", "a dummy, or emptied"
    yield "unknown attributes, curves, overlays, group lengths, padding", "removed"
    yield "preamble and file meta information", "written afresh"


def sections(found: list[Line]) -> Iterator[tuple[str, list[Line]]]:
    """Group lines by what happens; empty sections are left out."""
    for action, heading in _SECTIONS.items():
        inside = [line for line in found if _leading(line.action) is action]
        if inside:
            yield heading, inside


def _leading(letters: str) -> Action:
    """Choose the section of a line: of several letters the one that tells most."""
    if "U" in letters:
        return Action.UID
    return next(Action(letter) for letter in ("D", "Z", letters[0]) if letter in letters)


def head(
    title: str, rules: Rules, settings: config.profiles.Profile, digest: str
) -> Mapping[str, object]:
    """Say what stands above the attributes: base, options with their reasons, settings."""
    return {
        "profile": title,
        "base": rules.base.name,
        "title": rules.base.title,
        "edition": table.EDITION,
        "digest": digest,
        "options": [
            {
                "name": option,
                "code": OPTIONS[option].code,
                "meaning": OPTIONS[option].meaning,
                "reason": rules.base.options.get(option, "turned on by the site"),
            }
            for option in rules.options
        ],
        "turned_off": sorted(settings.without),
        "documents": settings.documents,
        "project": settings.project,
        "vocabulary": str(settings.vocabulary or ""),
        "device_rules": str(settings.device_rules or ""),
        "reversible": settings.reversible,
    }


def as_data(found: list[Line]) -> list[dict[str, str]]:
    """Turn lines into plain data for JSON."""
    return [asdict(line) for line in found]


@dataclass(frozen=True, slots=True)
class Difference:
    """One attribute that two profiles treat otherwise."""

    tag: str
    name: str
    first: str
    second: str


def differences(first: Rules, second: Rules) -> Iterator[Difference]:
    """Yield each attribute that two profiles treat otherwise, in tag order."""
    facts = table.load()
    for tag in sorted(first.decisions.keys() | second.decisions.keys()):
        one, two = first.decide(tag), second.decide(tag)
        if _letters(one) != _letters(two):
            named = _name(tag, facts.by_tag.get(tag))
            yield Difference(name(tag), named, _words(one), _words(two))


def _line(tag: str, named: str, decision: Decision, by: str) -> Line:
    return Line(
        tag, named, _letters(decision), _words(decision), decision.option, decision.reason, by
    )


def _letters(decision: Decision) -> str:
    if decision.by_type:
        return decision.codes.replace("*", "")
    return decision.action.value


def _words(decision: Decision) -> str:
    """Say a decision as a clause; what the type decides names each way."""
    if decision.by_type and "U" not in decision.codes and is_choice(decision.codes):
        if decision.codes == "Z":
            return "emptied (a dummy where the IOD needs a value)"
        if decision.codes == "X":
            return "removed"
        ways = [_SAID[action] for action in _ORDER if action.value in decision.codes.split("/")]
        return f"{' or '.join(ways)}, as the IOD needs"
    words = _SAID[Action.UID if "U" in decision.codes and decision.by_type else decision.action]
    return f"{words} ({decision.option})" if decision.option else words


def _who(decision: Decision, *, is_listed: bool) -> str:
    if decision.is_site:
        return "site"
    if decision.option:
        return "option"
    if decision.reason:
        return "profile"
    return "table" if is_listed else "rule"


def _is_told(decision: Decision) -> bool:
    """Whether a line is needed for an attribute that the table does not list."""
    return decision.is_site


def _name(tag: int, row: table.Row | None) -> str:
    if dictionary_has_tag(tag):
        return dictionary_description(tag)
    return (row.keyword if row else "") or "not in the dictionary"


def _pattern(mask: int, value: int) -> str:
    digits = "".join(
        "x" if nibble == "0" else digit
        for nibble, digit in zip(f"{mask:08X}", f"{value:08X}", strict=True)
    )
    return f"({digits[:4]},{digits[4:]})"
