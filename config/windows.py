"""What a rule's `during` says: the hours of the week at which its jobs are done."""

import re
from dataclasses import dataclass
from typing import Final

from config.conditions import WEEKDAYS

DAY_MIN: Final = 24 * 60
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00)")
_HINT: Final = 'such as "22:00-06:00", "Sat,Sun 00:00-24:00" or "Mon-Fri 19:00-07:00"'


@dataclass(frozen=True, slots=True)
class Window:
    """Hours that begin on certain days of the week; ends before they begin are of the day after."""

    days: frozenset[int]
    """On which it begins: 0 is Monday."""
    low_min: int
    """From so many minutes after midnight, by the clock on the wall..."""
    high_min: int
    """...until just before so many."""

    @property
    def is_over_midnight(self) -> bool:
        """Whether it ends on the day after it began."""
        return self.high_min <= self.low_min


def read(text: str) -> Window:
    """Read a window. Raises ValueError with words for whoever wrote the config file."""
    days, _, hours = text.strip().rpartition(" ")
    low, dash, high = (part.strip() for part in hours.partition("-"))
    if not dash or not _TIME.fullmatch(low) or not _TIME.fullmatch(high) or low == "24:00":
        raise ValueError(f"must be a time of day from and to, {_HINT}")
    if low == high:
        raise ValueError('begins where it ends; the whole day is "00:00-24:00"')
    if high == "00:00":
        high = "24:00"
    return Window(_days(days.strip()), _minutes(low), _minutes(high))


def _minutes(time: str) -> int:
    hours, minutes = time.split(":")
    return int(hours) * 60 + int(minutes)


def _days(text: str) -> frozenset[int]:
    if not text:
        return frozenset(range(7))
    found: set[int] = set()
    for part in text.split(","):
        low, dash, high = (day.strip().lower() for day in part.partition("-"))
        if low not in WEEKDAYS or high not in (WEEKDAYS if dash else {""}):
            known = ", ".join(day.capitalize() for day in WEEKDAYS)
            raise ValueError(f"{part.strip()!r} is no day: {known}, or from and to, {_HINT}")
        first = WEEKDAYS.index(low)
        count = (WEEKDAYS.index(high) - first) % 7 + 1 if dash else 1
        found.update((first + i) % 7 for i in range(count))
    return frozenset(found)
