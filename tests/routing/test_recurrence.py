"""When an export is due next, by the clock on the wall or every so often."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from routing.recurrence import due_next

BERLIN = ZoneInfo("Europe/Berlin")


def at(text):
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize(
    ("when", "every", "now", "wanted"),
    [
        ("02:30", None, "2026-11-21T02:29:59", "2026-11-21T02:30:00"),
        ("02:30", None, "2026-11-21T02:30:00", "2026-11-22T02:30:00"),
        ("02:30", None, "2026-11-21T23:00:00", "2026-11-22T02:30:00"),
        ("00:00", None, "2026-12-31T12:00:00", "2027-01-01T00:00:00"),
        (None, "1h", "2026-11-21T02:30:00", "2026-11-21T03:00:00"),
        (None, "30m", "2026-11-21T02:30:00", "2026-11-21T03:00:00"),
        ("02:45", "1h", "2026-11-21T02:30:00", "2026-11-21T02:45:00"),
        ("02:45", "1h", "2026-11-21T02:45:00", "2026-11-21T03:00:00"),
    ],
)
def test_it_is_due_at_the_next_such_moment(when, every, now, wanted):
    """A moment that is now is over: the next one counts."""
    assert due_next(when, every, at(now), BERLIN) == at(wanted)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2 * 10**9), st.integers(0, 23), st.integers(0, 59))
def test_a_time_of_day_comes_within_a_day_and_a_bit(now, hour, minute):
    """Also where the clock is put forward or back; and never in the past."""
    found = due_next(f"{hour:02}:{minute:02}", None, now, BERLIN)
    assert now < found <= now + 26 * 3600
