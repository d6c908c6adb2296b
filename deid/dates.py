"""Dates that move: whole days per patient, back in time, every interval preserved (PS3.15 E.3.6).

One patient's dates all move by the same number of days, in every object, study and depth, so
that intervals stay true; times of day stay. The number comes from the patient's identifier under
the profile's key: nothing is stored, and every node agrees.

It is a whole number of weeks, from one to 520, always into the past. Weeks, because a study of
staffing or dose by weekday stays right, and because the weekday is no secret: who sees enough
outpatient studies of one patient sees the week's rhythm anyway. Into the past, because a date in
the future breaks plausibility checks.

A date that is no date, or only a part of one (a year), cannot move by days: it is emptied.
"""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

WEEKS: Final = 520
"""The largest shift: close to ten years."""
OLDEST_YEARS: Final = 89
"""Ages above are shared by few people and written as 90 (HIPAA 164.514(b)(2)(i)(C))."""
VRS: Final = frozenset({"DA", "DT", "TM"})

_DA: Final = r"[0-9]{8}|[0-9]{4}\.[0-9]{2}\.[0-9]{2}"
_CLOCK: Final = r"[0-9]{2}(?:[0-5][0-9](?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?|[0-5][0-9])?"
_ZONE: Final = r"[+-][0-9]{4}"
_ONE_DA: Final = re.compile(_DA)
_ONE_TM: Final = re.compile(
    r"(?:[01][0-9]|2[0-3])(?::?[0-5][0-9](?::?(?:[0-5][0-9]|60)(?:\.[0-9]{1,6})?)?)?"
)
_ONE_DT: Final = re.compile(rf"([0-9]{{8}})((?:{_CLOCK})?(?:{_ZONE})?)")
_PARTIAL_DT: Final = re.compile(rf"([0-9]{{4}}(?:[0-9]{{2}})?)(?:{_ZONE})?")
_DA_RANGE: Final = re.compile(rf"({_DA})?-({_DA})?")
_DT_RANGE: Final = re.compile(
    rf"([0-9]{{8}}(?:{_CLOCK})?(?:{_ZONE})?)?-([0-9]{{8}}(?:{_CLOCK})?(?:{_ZONE})?)?"
)
_TM_RANGE: Final = re.compile(rf"(?:{_ONE_TM.pattern})?-(?:{_ONE_TM.pattern})?")
_YEARS: Final = re.compile(r"([0-9]{3})Y")
_AGE: Final = re.compile(r"[0-9]{3}[DWMY]")
_OFFSET: Final = re.compile(_ZONE)


def days_back(digest: bytes) -> int:
    """Turn a keyed digest of 8 bytes or more into a shift: 7 to 3640 days, whole weeks."""
    return 7 * (1 + int.from_bytes(digest[:8], "big") % WEEKS)


def shifted(vr: str, value: str, days: int) -> str:
    """Move each value of a DA, DT or TM `days` into the past.

    Times and offsets from UTC stay. Ranges move at both ends. What is no whole date of its VR
    comes back empty, beside the others in their places.
    """
    move = {"DA": _moved_da, "DT": _moved_dt, "TM": _kept_tm}[vr]
    return _each(value, lambda one: move(one, days))


def kept(vr: str, value: str) -> str:
    """Give each value of a DA, DT or TM back as it is; "" for one that is none of its VR."""

    def one(text: str) -> str:
        if vr == "DT" and (_PARTIAL_DT.fullmatch(text) or _ONE_DT.fullmatch(text)):
            return text
        return text if shifted(vr, text, 0) else ""

    return _each(value, one)


def capped(age: str) -> str:
    """Write ages (AS) above 89 years as 090Y; "" for a value that is no age."""

    def one(text: str) -> str:
        years = _YEARS.fullmatch(text)
        if years and int(years[1]) > OLDEST_YEARS:
            return f"{OLDEST_YEARS + 1:03}Y"
        return text if _AGE.fullmatch(text) else ""

    return _each(age, one)


def is_utc_offset(value: str) -> bool:
    """Whether a value of TimezoneOffsetFromUTC is one; it tells a continent, not a person."""
    return _OFFSET.fullmatch(value.strip("\0 ")) is not None


def _each(value: str, change: Callable[[str], str]) -> str:
    parts = [change(part.strip("\0 ")) for part in value.split("\\")]
    return "\\".join(parts) if any(parts) else ""


def _day(text: str, days: int) -> str:
    """Move one calendar day; "" where there is no such day, before or after."""
    digits = text.replace(".", "")
    try:
        moved = date(int(digits[:4]), int(digits[4:6]), int(digits[6:])) - timedelta(days)
    except (ValueError, OverflowError):
        return ""
    return moved.strftime("%Y%m%d").zfill(8)


def _range(first: str | None, last: str | None, move: Callable[[str], str]) -> str:
    ends = [move(end) if end else "" for end in (first, last)]
    lost = any(end and not new for end, new in zip((first, last), ends, strict=True))
    return "" if lost or not any(ends) else "-".join(ends)


def _moved_da(text: str, days: int) -> str:
    if _ONE_DA.fullmatch(text):
        return _day(text, days)
    found = _DA_RANGE.fullmatch(text)
    return _range(found[1], found[2], lambda end: _day(end, days)) if found else ""


def _moved_dt(text: str, days: int) -> str:
    def one(end: str) -> str:
        found = _ONE_DT.fullmatch(end)
        day = _day(found[1], days) if found else ""
        return day + found[2] if found and day else ""

    if _ONE_DT.fullmatch(text):
        return one(text)
    found = _DT_RANGE.fullmatch(text)
    return _range(found[1], found[2], one) if found else ""


def _kept_tm(text: str, days: int) -> str:
    del days  # a time of day stays
    good = _ONE_TM.fullmatch(text) or (len(text) > 1 and _TM_RANGE.fullmatch(text))
    return text if good else ""
