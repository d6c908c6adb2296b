"""When a rule's jobs may be done: whether its windows are open at a moment, and when one opens.

Windows are hours on the wall: where the clock is put forward or back at night, they are as much
shorter or longer.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Final

from config.windows import DAY_MIN, Window

_LONGEST: Final = 9
"""Days to look ahead: every day of the week is among them, also where the clock hides one."""
_STEP_S: Final = 900
"""Clocks are put forward or back at a quarter of an hour, as zones have it."""


def is_open(windows: Sequence[Window], moment: float, zone: tzinfo | None = None) -> bool:
    """Say whether a moment, seconds since the epoch, lies in any window; without one it does.

    `zone` is the machine's own where it is None.
    """
    if not windows:
        return True
    local = datetime.fromtimestamp(moment, zone)
    day, minute = local.weekday(), local.hour * 60 + local.minute
    return any(_holds(window, day, minute) for window in windows)


def opens_at(windows: Sequence[Window], moment: float, zone: tzinfo | None = None) -> float:
    """Give the first moment from this one on that lies in a window."""
    if is_open(windows, moment, zone):
        return moment
    for at in sorted(set(_openings(windows, moment, zone))):
        if at > moment and is_open(windows, at, zone):
            return at
    raise AssertionError("every window opens within a week")


def _holds(window: Window, day: int, minute: int) -> bool:
    if not window.is_over_midnight:
        return day in window.days and window.low_min <= minute < window.high_min
    begun_today = day in window.days and minute >= window.low_min
    return begun_today or ((day - 1) % 7 in window.days and minute < window.high_min)


def _openings(windows: Sequence[Window], moment: float, zone: tzinfo | None) -> Iterator[float]:
    """Yield each moment of the coming days at which a window may open."""
    first = datetime.fromtimestamp(moment, zone).date()
    for ahead in range(_LONGEST):
        day = first + timedelta(days=ahead)
        midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001  (the zone follows)
        for window in windows:
            if day.weekday() in window.days:
                begin = midnight + timedelta(minutes=window.low_min)
                # An hour that comes twice begins twice.
                yield from (_moment(begin.replace(fold=fold), zone) for fold in (0, 1))
        yield from _changes(midnight, zone)


def _changes(midnight: datetime, zone: tzinfo | None) -> Iterator[float]:
    """Yield the moments of a day at which the clock on the wall jumps, perhaps into a window."""
    begin, end = _moment(midnight, zone), _moment(midnight + timedelta(minutes=DAY_MIN), zone)
    if _offset(begin, zone) == _offset(end, zone):
        return
    at = begin
    while at < end:
        if _offset(at, zone) != _offset(at + _STEP_S, zone):
            yield at + _STEP_S
        at += _STEP_S


def _moment(local: datetime, zone: tzinfo | None) -> float:
    return local.replace(tzinfo=zone).timestamp()


def _offset(moment: float, zone: tzinfo | None) -> timedelta | None:
    return datetime.fromtimestamp(moment, zone).astimezone(zone).utcoffset()
