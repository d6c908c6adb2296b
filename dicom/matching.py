"""The kinds of matching of PS3.4 C.2.2.2: what a key asks for, and whether a value meets it.

The node answers by SQL (storage/index/select.py). What stands here reads a key's text, and
decides slowly and plainly whether a value matches: the tests hold the SQL against it.
"""

import datetime as dt
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dicom import moments
from dicom.attributes import Attribute

Moment = dt.date | dt.time | dt.datetime

WILDCARD_VRS: Final = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"})
"""The representations in which * and ? are wildcards (PS3.4 C.2.2.2.4)."""
MOMENT_VRS: Final = frozenset({"DA", "TM", "DT"})
INTEGER_VRS: Final = frozenset({"IS", "US"})
MAX_PATTERNS: Final = 100
_ONE_TEXT: Final = frozenset({"LT", "ST", "UT", "UR"})  # a backslash is part of the value
# Accents above, below and through letters of Latin, Greek and Cyrillic. Not the strokes
# U+0334 to U+0338, which make other letters and signs, nor the voicing marks of kana.
_ACCENTS: Final = re.compile("[\u0300-\u0333\u0339-\u036f]")


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Single value matching, or a list of UIDs: one of these values (C.2.2.2.1, C.2.2.2.2)."""

    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """Wildcard matching: * any sequence of characters, ? any one (C.2.2.2.4)."""

    patterns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Between:
    """Range matching, both ends included; None is an open end (C.2.2.2.5)."""

    first: Moment | None
    last: Moment | None


@dataclass(frozen=True, slots=True)
class Empty:
    """Empty value matching: the attribute has no value, or is not known (C.2.2.2.7)."""


@dataclass(frozen=True, slots=True)
class Words:
    """Fuzzy semantic matching of a person name: each of these words begins one of the name's.

    Spelt as `spelling` gives them (C.2.2.2.1.1 leaves the algorithm to the SCP).
    """

    words: tuple[str, ...]


Criterion = AnyOf | Like | Between | Empty | Words

EMPTY: Final = '""'
"""What a key holds that asks for entities without a value: two quotation marks."""


class NotAKey(ValueError):  # noqa: N818  (named as what it says)
    """The text cannot be matched for its representation; the message holds no part of it."""


def criterion(attribute: Attribute, text: str) -> Criterion | None:
    """Read a key's text; None is universal matching (C.2.2.2.3). Raises NotAKey."""
    if text.strip("\\ ") == "":
        return None
    if text.strip() == EMPTY:
        return Empty()
    if attribute.vr in MOMENT_VRS:
        return _between(attribute.vr, text)
    values = [text] if attribute.vr in _ONE_TEXT else [v for v in text.split("\\") if v]
    if attribute.vr in INTEGER_VRS:
        return AnyOf(tuple(_integer(value) for value in values))
    return _texts(attribute, values)


def _texts(attribute: Attribute, values: list[str]) -> Criterion | None:
    if attribute.vr == "PN":
        values = [_name_key(value) for value in values]
    if attribute.vr not in WILDCARD_VRS or not re.search(r"[*?]", "".join(values)):
        return AnyOf(tuple(dict.fromkeys(values)))
    patterns = tuple(dict.fromkeys(re.sub(r"\*+", "*", value) for value in values))
    if "*" in patterns:
        return None
    if len(patterns) > MAX_PATTERNS:
        raise NotAKey(f"holds more than {MAX_PATTERNS} wildcard values")
    return Like(patterns)


def _integer(text: str) -> str:
    if not re.fullmatch(r"[+-]?[0-9]{1,12}", text.strip()):
        raise NotAKey("is not an integer")
    return str(int(text))


def _between(vr: str, text: str) -> Between:
    what = {"DA": "a date", "TM": "a time", "DT": "a date and time"}[vr]
    first, last = (end.strip() for end in _ends(vr, text.strip(), what))
    low = _moment(vr, first, late=False) if first else None
    high = _moment(vr, last, late=True) if last else None
    if (first and low is None) or (last and high is None):
        raise NotAKey(f"is not {what} or a range of two")
    return Between(low, high)


def _ends(vr: str, text: str, what: str) -> tuple[str, str]:
    if vr == "DT":  # its offset from UTC has a hyphen too
        pattern = re.compile(
            f"({moments.DT_FORM})|({moments.DT_FORM})?-({moments.DT_FORM})?", re.ASCII
        )
        found = pattern.fullmatch(text)
        if found is None or text == "-":
            raise NotAKey(f"is not {what} or a range of two")
        single, first, last = found.groups()
        return (single, single) if single else (first or "", last or "")
    first, hyphen, last = text.partition("-")
    if "-" in last or text == "-":
        raise NotAKey(f"is not {what} or a range of two")
    return (first, last) if hyphen else (text, text)


def _moment(vr: str, text: str, *, late: bool) -> Moment | None:
    if vr == "DA":
        return moments.date_of(text)
    if vr == "TM":
        return moments.time_of(text, late=late)
    return moments.datetime_of(text, late=late)


def moment(vr: str, text: str) -> Moment | None:
    """Read an entity's DA, TM or DT; None where it is none."""
    return _moment(vr, text, late=False)


def fold(text: str) -> str:
    """Drop case and accents, so that "muller" finds "Müller" (C.2.2.2.1 allows it for names)."""
    bare = _ACCENTS.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", bare.casefold())


def name_groups(value: str) -> list[str]:
    """Split a person name into folded component groups (PS3.5 6.2.1), empty tails cut off."""
    groups = [
        "^".join(fold(part.strip()) for part in group.split("^")).rstrip("^")
        for group in value.split("=")
    ]
    while groups and not groups[-1]:
        groups.pop()
    return groups


def name_candidates(value: str) -> list[str]:
    """List the texts under which a name is found.

    Each component group by itself, so that a Latin or a Japanese spelling is enough, and the
    groups together from the first on, for a key that gives several.
    """
    groups = name_groups(value)
    together = ["=".join(groups[: count + 1]) for count in range(1, len(groups))]
    return [text for text in dict.fromkeys([*groups, *together]) if text]


def _name_key(value: str) -> str:
    groups = name_groups(value)
    if len(groups) < 2:
        return "".join(groups)
    return "=".join(group or "*" for group in groups)


SPELLINGS: Final = (
    ("ae", "a"), ("oe", "o"), ("ue", "u"), ("ph", "f"), ("th", "t"), ("ck", "k"), ("c", "k"),
    ("y", "i"), ("w", "v"), ("z", "s"), ("ss", "s"), ("ll", "l"), ("mm", "m"), ("nn", "n"),
    ("tt", "t"), ("ff", "f"), ("rr", "r"), ("pp", "p"), ("kk", "k"),
)  # fmt: skip
"""What is spelt alike in fuzzy matching of names: the first becomes the second, in this order."""
_BETWEEN_WORDS: Final = re.compile(r"[\^=\\ ,.'-]+")
BEFORE_A_WORD: Final = r"(^|[\^=\\ ,.'-])"
"""Where a word of a folded name begins, as a regular expression."""


def spelling(folded: str) -> str:
    """Write a folded name as all names are spelt that sound like it."""
    for written, alike in SPELLINGS:
        folded = folded.replace(written, alike)
    return folded


def fuzzy(text: str) -> Criterion | None:
    """Read a person name's key for fuzzy semantic matching; None is universal matching.

    Order, delimiters, case, accents and doubled letters do not count, and a word may be cut
    short. A key with wildcards is matched by them alone.
    """
    words = [word for word in _BETWEEN_WORDS.split(spelling(fold(text))) if word]
    return Words(tuple(dict.fromkeys(words))) if words else None


def meets(attribute: Attribute, wanted: Criterion, text: str) -> bool:
    """Whether an attribute's text, "" where it is unknown, meets a criterion.

    An unknown value meets universal matching only. PS3.4 C.2.2.1.2 would have it meet every
    required key; a search by PatientID would then bring objects of unknown patients as well.
    """
    if isinstance(wanted, Between):
        found = moment(attribute.vr, text)
        return found is not None and within(wanted, found)
    values = _values(attribute, text)
    if isinstance(wanted, Empty):
        unread = attribute.vr in MOMENT_VRS and moment(attribute.vr, text) is None
        return unread or (not values and attribute.vr not in MOMENT_VRS)
    if isinstance(wanted, Words):
        spelt = spelling("\\".join(values))
        return all(re.search(BEFORE_A_WORD + re.escape(word), spelt) for word in wanted.words)
    if isinstance(wanted, AnyOf):
        return any(value in wanted.values for value in values)
    return any(_like(pattern, value) for pattern in wanted.patterns for value in values)


def within(wanted: Between, found: Moment) -> bool:
    """Whether a moment lies in a range of its own kind."""
    ends: Sequence[tuple[Moment | None, Moment | None]] = (
        (wanted.first, found),
        (found, wanted.last),
    )
    return all(a is None or b is None or a <= b for a, b in ends)  # type: ignore[operator]  # same kind


def _values(attribute: Attribute, text: str) -> list[str]:
    if not text:
        return []
    if attribute.vr in INTEGER_VRS:
        return [str(int(text))] if re.fullmatch(r"[+-]?[0-9]{1,12}", text) else []
    values = text.split("\\") if attribute.many or attribute.vr == "PN" else [text]
    if attribute.vr == "PN":
        return [one for value in values for one in name_candidates(value)]
    return [value for value in values if value]


def _like(pattern: str, value: str) -> bool:
    return re.fullmatch(regex(pattern, ".*", "."), value, re.DOTALL) is not None


def regex(pattern: str, many: str, one: str) -> str:
    """Write a wildcard pattern as a regular expression, with these parts for * and ?."""
    wild = {"*": many, "?": one}
    return "".join(wild.get(character) or re.escape(character) for character in pattern)
