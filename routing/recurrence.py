"""When something that is done again and again is due next: at a time of day, or every so often."""

from datetime import datetime, timedelta, tzinfo
from typing import Final

_UNITS_S: Final = {"m": 60, "h": 3600, "d": 86_400}


def due_next(at: str | None, every: str | None, now: float, zone: tzinfo | None = None) -> float:
    """Give the first moment after `now`, seconds since the epoch, at which it is due.

    `at` is "HH:MM" on the clock of `zone`, the machine's own where that is None; `every` is "30m",
    "6h" or "1d", counted from the epoch so that every machine agrees. One of
    them is given, or both: then it is what comes first.
    """
    if every is None:
        assert at is not None
        return _next_time_of_day(at, now, zone)
    step_s = int(every[:-1]) * _UNITS_S[every[-1]]
    following = (now // step_s + 1) * step_s
    return following if at is None else min(following, _next_time_of_day(at, now, zone))


def _next_time_of_day(at: str, now: float, zone: tzinfo | None) -> float:
    hour, minute = map(int, at.split(":"))
    today = datetime.fromtimestamp(now, zone).date()
    for days in range(3):  # where the clock is put forward, a time of day may come a little later
        day = today + timedelta(days)
        moment = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone).timestamp()
        if moment > now:
            return moment
    raise AssertionError("every day has this time of day, or the next one has")
