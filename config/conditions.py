"""What a line of a rule's `when` table asks for: read, checked, and ready to be compared.

A condition compares text: each attribute is asked for as the texts of its values. Numbers and
dates are recognised by the VR of the keyword that they stand beside (PS3.5 6.2).
"""

import fnmatch
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

from config.files import Place
from config.words import suggestion
from dicom.entity import Origin
from dicom.errors import Fault
from dicom.keywords import tag_for_keyword, tags, vr_of_tag

Attributes = Callable[[str], Sequence[str]]
"""Gives an attribute's values as text by keyword; empty when the Series has none.

Raises Undecided when nobody can say what they are.
"""

ROUTE_KEYS: Final = ("calling_ae", "called_ae", "peer", "origin", "time", "weekday")
"""Conditions that are no DICOM keywords: who sent the Series, to which title, how and when."""
STUDY_KEYS: Final = frozenset(
    {"ModalitiesInStudy", "NumberOfStudyRelatedInstances", "NumberOfStudyRelatedSeries"}
)
"""What no object says and the node counts of a whole Study: for rules that are per Study."""
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ORIGINS: Final = tuple(str(each) for each in Origin if each is not Origin.AI)
"""The ways in that rules may ask about; results of models match no rule."""

NUMBER_VRS: Final = frozenset({"DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV"})
NO_TEXT_VRS: Final = frozenset({"SQ", "OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_DIGITS: Final[Mapping[str, re.Pattern[str]]] = {
    "DA": re.compile(r"[0-9]{8}"),
    "TM": re.compile(r"[0-9]{2}([0-9]{2}([0-9]{2}(\.[0-9]{1,6})?)?)?"),
    "DT": re.compile(r"[0-9]{4}([0-9]{2}){0,5}(\.[0-9]{1,6})?"),
}
_FORMS: Final = {"DA": "YYYYMMDD", "TM": "HHMMSS or HHMM", "DT": "YYYYMMDDHHMMSS or its beginning"}
_FAR: Final = 1e300
"""Numbers beyond are a slip of the pen: so are inf and nan, which TOML can write."""
_HOURS: Final = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]|24:00")
_SHAPE: Final = (
    "must be text, a number, { from = ..., to = ... }, { not = ... }, or a list of texts, numbers"
    " and ranges"
)


class Undecided(Fault):
    """Nobody can say whether a rule means a Series. The message holds no values."""

    code: ClassVar[str] = "undecided"

    def __init__(self, words: str, detail: str = "") -> None:
        self.detail = detail
        """More of it for the screen of whoever asks; may quote a value."""
        super().__init__(words)


class Choice(Protocol):
    """One of the things that a condition takes for an answer."""

    def fits(self, value: str) -> bool:
        """Whether a value, without spaces around it, is of this kind."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """Text in which `*` and `?` are wildcards; upper and lower case differ."""

    text: re.Pattern[str]

    def fits(self, value: str) -> bool:
        """Whether the whole value fits the pattern."""
        return self.text.fullmatch(value) is not None


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from `low` to `high`, both included; a single number is an interval too."""

    low: float
    high: float

    def fits(self, value: str) -> bool:
        """Whether the value is a number within; what is no number never is."""
        try:
            return self.low <= float(value) <= self.high
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Span:
    """Dates or times from `low` to `high`, as digits; "" where a side is open.

    What is given less exactly stands for all that it can mean: "2026" as the end includes the whole
    year, and a Study of 10 o'clock lies within 10:30 to 11:00.
    """

    low: str
    high: str

    def fits(self, value: str) -> bool:
        """Whether the value, or anything that it can mean, lies within."""
        digits = value.replace(":", "")
        if digits[4:5] == ".":  # dates and times with separators, from before DICOM 3.0
            digits = digits.replace(".", "")
        if not digits[:1].isdecimal():
            return False
        return (
            digits >= self.low[: len(digits)]
            and digits[: len(self.high)] <= self.high[: len(digits)]
        )


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of day from `low` until just before `high`, over midnight where that is earlier."""

    low: str
    high: str

    def fits(self, value: str) -> bool:
        """Whether a time as HH:MM lies within."""
        if self.low < self.high:
            return self.low <= value < self.high
        return value >= self.low or value < self.high


@dataclass(frozen=True, slots=True)
class Condition:
    """One line of a `when` table: it holds when any value of the attribute fits any choice."""

    keyword: str
    choices: tuple[Choice, ...]
    negated: bool
    """Holds when none does instead; so it does where the attribute is absent."""
    words: str
    """As it stands in the config file."""

    def holds(self, attributes: Attributes) -> bool:
        """Whether a Series with these attributes meets the condition. Raises Undecided."""
        for value in attributes(self.keyword):
            bare = value.strip()
            for choice in self.choices:
                if choice.fits(bare):
                    return not self.negated
        return self.negated


class Unreadable(ValueError):  # noqa: N818  (an answer to whoever reads a config file)
    """A condition that cannot be used: every problem of it, with its place within."""

    def __init__(self, problems: list[tuple[Place, str]]) -> None:
        self.problems = problems
        super().__init__("; ".join(words for _, words in problems))


def read(keyword: str, wanted: Any) -> Condition:
    """Make a condition of a key of a `when` table and what stands there.

    Raises Unreadable with everything that is wrong with it.
    """
    vr = vr_of(keyword)
    negated = isinstance(wanted, Mapping) and set(wanted) == {"not"}
    inner, here = (wanted["not"], ("not",)) if negated else (wanted, ())
    problems: list[tuple[Place, str]] = []
    choices: list[Choice] = []
    listed = inner if isinstance(inner, list | tuple) else [inner]
    if not listed:
        problems.append((here, "is an empty list, which nothing matches"))
    for i, each in enumerate(listed):
        place: Place = (*here, i) if listed is inner else here
        try:
            choices += _choices(keyword, vr, each)
        except ValueError as fault:
            problems.append((place, str(fault)))
    if problems:
        raise Unreadable(problems)
    return Condition(keyword, tuple(choices), negated, shown(wanted))


def vr_of(keyword: str) -> str:
    """Give the VR of a DICOM keyword, "" for what the node itself knows of a Series.

    Raises Unreadable when there is no such keyword, or its values are no text.
    """
    if keyword in ROUTE_KEYS:
        return ""
    tag = tag_for_keyword(keyword)
    if tag is None:
        near = suggestion(keyword, [*ROUTE_KEYS, *tags()]) or "take one from PS3.6"
        others = f"{', '.join(ROUTE_KEYS[:-1])} or {ROUTE_KEYS[-1]}"
        raise Unreadable([((), f"is no DICOM keyword, {others}; {near}")])
    vr = vr_of_tag(tag).split()[0]
    if vr in NO_TEXT_VRS:
        raise Unreadable([((), f"has no text to compare (VR {vr})")])
    return vr


def shown(wanted: Any) -> str:
    """Write what a condition asks for as it stands in a TOML file."""
    if isinstance(wanted, Mapping):
        return "{ " + ", ".join(f"{key} = {shown(each)}" for key, each in wanted.items()) + " }"
    if isinstance(wanted, list | tuple):
        return "[" + ", ".join(shown(each) for each in wanted) + "]"
    if isinstance(wanted, str):
        return json.dumps(wanted, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(wanted)


def _choices(keyword: str, vr: str, wanted: Any) -> list[Choice]:
    if isinstance(wanted, Mapping) and wanted and set(wanted) <= {"from", "to"}:
        return [_range(vr, wanted.get("from"), wanted.get("to"))]
    if isinstance(wanted, str):
        return _of_text(keyword, vr, wanted.strip())
    if not _is_number(wanted):
        raise ValueError(_SHAPE)
    if keyword in _NAMED:
        raise ValueError("must be text in quotes")
    if vr in NUMBER_VRS:
        return [Interval(wanted, wanted)]
    return [Pattern(re.compile(re.escape(str(wanted))))]


def _of_text(keyword: str, vr: str, text: str) -> list[Choice]:
    if keyword in _NAMED:
        return _NAMED[keyword](text)
    if vr in {"DA", "TM"} and "-" in text:  # range matching (PS3.4 C.2.2.2.5)
        low, _, high = text.partition("-")
        return [_range(vr, low.strip() or None, high.strip() or None)]
    return [Pattern(re.compile(fnmatch.translate(text)))]


def _range(vr: str, low: Any, high: Any) -> Choice:
    if low is None and high is None:
        raise ValueError("is open at both ends; to ask only that there is a value, write '*'")
    if vr in NUMBER_VRS:
        if not all(end is None or _is_number(end) for end in (low, high)):
            raise ValueError("must go from one number to another")
        interval = Interval(*(_or(end, far) for end, far in ((low, "-inf"), (high, "inf"))))
        if interval.low > interval.high:
            raise ValueError("begins after it ends")
        return interval
    if vr not in _DIGITS:
        raise ValueError("has no order: a range is for numbers, dates and times (or use expr)")
    for end in (low, high):
        if end is not None and not (isinstance(end, str) and _DIGITS[vr].fullmatch(end)):
            raise ValueError(f"must go from one {_FORMS[vr]} to another, in quotes")
    if low and high and low[: len(high)] > high[: len(low)]:
        raise ValueError("begins after it ends")
    return Span(low or "", high or "")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -_FAR < value < _FAR


def _or(end: float | None, otherwise: str) -> float:
    return float(otherwise) if end is None else float(end)


def _hours(text: str) -> list[Choice]:
    low, _, high = (part.strip() for part in text.partition("-"))
    if not _HOURS.fullmatch(low) or not _HOURS.fullmatch(high) or low == "24:00":
        raise ValueError('must be a time of day from and to, such as "22:00-06:00"')
    if low == high:
        raise ValueError('begins where it ends; the whole day is "00:00-24:00"')
    return [Hours(low, high)]


def _weekdays(text: str) -> list[Choice]:
    low, dash, high = (part.strip().lower() for part in text.partition("-"))
    if low not in WEEKDAYS or high not in (WEEKDAYS if dash else {""}):
        raise ValueError(f'must be one of {", ".join(WEEKDAYS)}, or from and to: "mon-fri"')
    first = WEEKDAYS.index(low)
    count = (WEEKDAYS.index(high) - first) % len(WEEKDAYS) + 1 if dash else 1
    days = [WEEKDAYS[(first + i) % len(WEEKDAYS)] for i in range(count)]
    return [Pattern(re.compile("|".join(days)))]


def _origin(text: str) -> list[Choice]:
    if text not in ORIGINS:
        hint = "; results of models match no rule, see results_to" if text == "ai" else ""
        raise ValueError(f"must be {' or '.join(ORIGINS)}{hint}")
    return [Pattern(re.compile(re.escape(text)))]


_NAMED: Final[Mapping[str, Callable[[str], list[Choice]]]] = {
    "time": _hours,
    "weekday": _weekdays,
    "origin": _origin,
}
