"""Whether windows are open, and when one opens, also in the nights in which clocks change."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.windows import Window, read
from routing.windows import is_open, opens_at

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
ZONES = [BERLIN, LORD_HOWE, ZoneInfo("America/New_York"), ZoneInfo("UTC"), ZoneInfo("Asia/Kolkata")]


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def shown(moment: float, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(moment, zone).strftime("%a %Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("windows", "moment", "opens"),
    [
        (["22:00-06:00"], "2026-03-04 12:00", "Wed 2026-03-04 22:00:00"),
        (["22:00-06:00"], "2026-03-04 05:59:59", None),
        (["22:00-06:00"], "2026-03-04 06:00", "Wed 2026-03-04 22:00:00"),
        (["Mon-Fri 19:00-07:00"], "2026-03-07 06:59", None),  # Saturday: Friday's night
        (["Mon-Fri 19:00-07:00"], "2026-03-07 07:00", "Mon 2026-03-09 19:00:00"),
        (["Mon-Fri 19:00-07:00"], "2026-03-09 06:00", "Mon 2026-03-09 19:00:00"),
        (["Sat,Sun 00:00-24:00"], "2026-03-06 23:59", "Sat 2026-03-07 00:00:00"),
        (["Sat,Sun 00:00-24:00"], "2026-03-08 23:59:59.5", None),
        (["Wed 09:00-10:00"], "2026-03-04 10:00", "Wed 2026-03-11 09:00:00"),
        (["Sat,Sun 00:00-24:00", "20:00-21:00"], "2026-03-04 12:00", "Wed 2026-03-04 20:00:00"),
        # Clocks go forward from 2:00 to 3:00 on 29 March, and back from 3:00 to 2:00 on 25 October.
        (["02:30-06:00"], "2026-03-29 01:59", "Sun 2026-03-29 03:00:00"),
        (["02:00-03:00"], "2026-03-29 01:59", "Mon 2026-03-30 02:00:00"),
        (["02:00-02:30"], "2026-10-25 02:31", "Sun 2026-10-25 02:00:00"),
        (["01:00-02:30"], "2026-10-25 02:45", "Sun 2026-10-25 02:00:00"),
        ([], "2026-03-04 12:00", None),
    ],
)
def test_windows_open(windows, moment, opens):
    """An open window says so; of those to come, the first counts."""
    table, now = [read(text) for text in windows], at(moment)
    found = opens_at(table, now, BERLIN)
    assert is_open(table, now, BERLIN) is (opens is None)
    assert found == now if opens is None else shown(found) == opens


WINDOWS = st.lists(
    st.builds(
        Window,
        st.frozensets(st.integers(0, 6), min_size=1),
        st.integers(0, 1439),
        st.integers(1, 1440),
    ).filter(lambda window: window.low_min != window.high_min),
    min_size=1,
    max_size=3,
)
CHANGE = at("2026-10-25 00:00")


@settings(max_examples=60, deadline=None)
@example([Window(frozenset({6}), 90, 150)], 2 * 3600 + 45 * 60, BERLIN)
@given(WINDOWS, st.integers(-86400, 2 * 86400), st.sampled_from(ZONES))
def test_no_minute_before_the_answer_is_open(windows, offset, zone):
    """Whatever the windows and the zone, the answer is open and every minute before it is shut."""
    now = float(CHANGE + offset // 60 * 60)
    found = opens_at(windows, now, zone)
    assert is_open(windows, found, zone)
    assert now <= found <= now + 9 * 86400
    before = range(int(now), int(found), 60)
    assert not any(is_open(windows, float(moment), zone) for moment in before)
