"""Dates and times as text and back (PS3.5 6.2: DA, TM, DT).

A text of lower precision stands for a span: its first moment, or its last one where `late`.
Offsets from UTC in DT are read over: moments are compared as the clocks on the wall showed them.
"""

import calendar
import datetime as dt
import re
from typing import Final

_DA: Final = re.compile(r"(\d{4})(\d\d)(\d\d)|(\d{4})\.(\d\d)\.(\d\d)", re.ASCII)
_TM: Final = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{1,6}))?)?)?", re.ASCII)
_CLOCK: Final = r"\d\d(?:\d\d(?:\d\d(?:\.\d{1,6})?)?)?"
DT_FORM: Final = rf"\d{{4}}(?:\d\d(?:\d\d(?:{_CLOCK})?)?)?(?:[+-](?:0\d|1[0-4])[0-5]\d)?"
"""The form of a DT, for use within a larger expression: a range has hyphens as well."""
_DT: Final = re.compile(r"(\d{4})(\d\d)?(\d\d)?([\d.]*)(?:[+-]\d{4})?", re.ASCII)


def date_of(text: str) -> dt.date | None:
    """Read a DA, also in the old form with dots; None where it is no date."""
    found = _DA.fullmatch(text.strip())
    if found is None:
        return None
    year, month, day = (int(part) for part in found.groups() if part is not None)
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def time_of(text: str, *, late: bool = False) -> dt.time | None:
    """Read a TM, also in the old form with colons; None where it is no time.

    The leap second 60 is read as 59.
    """
    found = _TM.fullmatch(text.strip())
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    unsaid, digit = ("59", "9") if late else ("0", "0")
    second = "59" if second == "60" else second or unsaid
    microsecond = (fraction or "").ljust(6, digit)
    try:
        return dt.time(int(hour), int(minute or unsaid), int(second), int(microsecond))
    except ValueError:
        return None


def datetime_of(text: str, *, late: bool = False) -> dt.datetime | None:
    """Read a DT; None where it is none."""
    text = text.strip()
    found = _DT.fullmatch(text) if re.fullmatch(DT_FORM, text, re.ASCII) else None
    if found is None:
        return None
    year, month, day, rest = found.groups()
    month = month or ("12" if late else "01")
    if not 1 <= int(month) <= 12 or int(year) == 0:
        return None
    last = str(calendar.monthrange(int(year), int(month))[1])
    date = date_of(f"{year}{month}{day or (last if late else '01')}")
    time = time_of(rest or ("23" if late else "00"), late=late)
    if date is None or time is None:
        return None
    return dt.datetime.combine(date, time)


def to_da(date: dt.date) -> str:
    """Write a DA."""
    return f"{date.year:04d}{date.month:02d}{date.day:02d}"


def to_tm(time: dt.time) -> str:
    """Write a TM to the second, with a fraction only where there is one."""
    fraction = f".{time.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{time.hour:02d}{time.minute:02d}{time.second:02d}{fraction}"


def to_dt(moment: dt.datetime) -> str:
    """Write a DT without an offset."""
    return to_da(moment.date()) + to_tm(moment.time())
