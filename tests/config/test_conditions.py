"""A line of a `when` table holds for what docs/configuration.md says, and never surprises."""

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.datadict import keyword_dict

from config.conditions import ROUTE_KEYS, Unreadable, read, shown

PAGE = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
ROW = re.compile(r"^\| `(\w+ = [^`]+)` \| [^|]+ \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)
VALUE = re.compile(r"`([^`]*)`|\babsent\b")
ROWS = [
    (condition, found[1], holds)
    for condition, *cells in ROW.findall(PAGE)
    for cell, holds in zip(cells, (True, False), strict=True)
    for found in VALUE.finditer(cell)
]

KEYWORDS = st.sampled_from(
    [*ROUTE_KEYS, "Modality", "Rows", "SliceThickness", "StudyDate", "StudyTime", "PatientID",
     "AcquisitionDateTime", "NumberOfFrames", "PixelData", "ReferencedSeriesSequence", "Modalty"]
)  # fmt: skip
TEXTS = st.text() | st.from_regex(r"[0-9:. \-*?\[\]]{0,16}", fullmatch=True)
SCALARS = st.one_of(
    TEXTS,
    st.sampled_from(["mon-fri", "fri-mon", "22:00-06:00", "20260101-", "-1200", "dimse", "C*[T"]),
    st.integers(),
    st.integers().map(lambda n: n * 10**400),
    st.floats(),
    st.booleans(),
    st.dates(),
)
WANTED = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["from", "to", "not", "or"]), inner, max_size=3)
    ),
    max_leaves=6,
)
VALUES = st.lists(TEXTS | st.integers().map(str) | st.floats().map(str), max_size=3)


def _read(keyword: str, wanted: Any) -> Any:
    try:
        return read(keyword, wanted)
    except Unreadable as fault:
        problems = fault.problems
    assert problems
    assert all(words for _, words in problems)
    return None


def test_the_page_has_an_example_of_every_form():
    """The table is read: each route key stands in it, and each form beside plain text."""
    conditions = {condition for condition, _, _ in ROWS}
    assert len(conditions) > 20
    assert set(ROUTE_KEYS) <= {condition.split()[0] for condition in conditions}


@pytest.mark.parametrize(("condition", "value", "holds"), ROWS)
def test_the_examples_of_the_page(condition, value, holds):
    """Each example of docs/configuration.md holds for what the page says, and not for the rest."""
    ((keyword, wanted),) = tomllib.loads(condition).items()
    values = [] if value is None else value.split("\\")
    assert read(keyword, wanted).holds(lambda _: values) is holds


@given(keyword=KEYWORDS, wanted=WANTED, values=VALUES)
def test_whatever_stands_there_is_read_or_told(keyword, wanted, values):
    """Any TOML value is a condition or a list of problems; a condition answers for any values."""
    condition = _read(keyword, wanted)
    if condition is not None:
        assert condition.holds(lambda _: values) in {True, False}


@given(keyword=KEYWORDS, wanted=WANTED, values=VALUES)
def test_not_is_the_contrary(keyword, wanted, values):
    """A condition and its `not` never both hold, and one of them does, absent attributes or not."""
    condition, contrary = _read(keyword, wanted), _read(keyword, {"not": wanted})
    if condition is not None and not condition.negated:
        assert contrary.holds(lambda _: values) is not condition.holds(lambda _: values)


@given(keyword=KEYWORDS, wanted=WANTED)
def test_a_condition_is_shown_as_it_can_be_written(keyword, wanted):
    """What is shown of a condition is TOML, and reads as the same condition."""
    condition = _read(keyword, wanted)
    if condition is not None:
        again = tomllib.loads(f"{keyword} = {condition.words}")[keyword]
        assert again == wanted
        assert read(keyword, again) == condition


@given(st.text())
def test_any_text_is_shown_as_toml(text):
    """Quotes, backslashes and control characters are escaped."""
    assert tomllib.loads(f"x = {shown(text)}")["x"] == text


@given(
    st.floats(allow_nan=False, min_value=-1e9, max_value=1e9),
    st.floats(allow_nan=False, min_value=-1e9, max_value=1e9),
    st.floats(allow_nan=False, min_value=-1e9, max_value=1e9),
)
def test_a_range_of_numbers_is_what_python_compares(low, high, value):
    """Numbers are compared as numbers, both ends included."""
    condition = _read("SliceThickness", {"from": low, "to": high})
    assert (condition is None) == (low > high)
    if condition is not None:
        assert condition.holds(lambda _: [f" {value!r} "]) is (low <= value <= high)


DATES = st.dates(min_value=date(1900, 1, 1))


@given(DATES, DATES, DATES)
def test_a_range_of_dates_is_what_the_calendar_says(low, high, value):
    """Dates are compared as dates, both ends included, and those from before DICOM 3.0 too."""
    condition = _read("StudyDate", f"{low:%Y%m%d}-{high:%Y%m%d}")
    assert (condition is None) == (low > high)
    for text in (f"{value:%Y%m%d}", f"{value:%Y.%m.%d}") if condition else ():
        assert condition.holds(lambda _, text=text: [text]) is (low <= value <= high)


@given(st.integers(0, 1439), st.integers(0, 1439), st.integers(0, 1439))
def test_hours_go_over_midnight(low, high, now):
    """A window holds from its beginning until just before its end, round the clock."""
    told = [f"{minute // 60:02}:{minute % 60:02}" for minute in (low, high, now)]
    condition = _read("time", f"{told[0]}-{told[1]}")
    assert (condition is None) == (low == high)
    if condition is not None:
        assert condition.holds(lambda _: [told[2]]) is ((now - low) % 1440 < (high - low) % 1440)


@pytest.mark.parametrize(
    ("wanted", "days"),
    [("mon-fri", 5), ("fri-mon", 4), ("sun", 1), ("mon-sun", 7), ("sat-sat", 1)],
)
def test_weekdays_go_over_the_weekend(wanted, days):
    """A span of days has both its ends, and may pass Sunday."""
    condition = read("weekday", wanted)
    held = [condition.holds(lambda _, day=day: [day]) for day in
            ("mon", "tue", "wed", "thu", "fri", "sat", "sun")]  # fmt: skip
    assert sum(held) == days


def test_every_problem_of_a_condition_is_told():
    """A list with several slips tells each at its place."""
    with pytest.raises(Unreadable) as caught:
        read("Rows", {"not": [1, True, {"from": 2, "to": 1}, {"or": 3}]})
    assert [place for place, _ in caught.value.problems] == [("not", 1), ("not", 2), ("not", 3)]


def test_a_pattern_does_not_run_wild():
    """Wildcards in a row are matched in linear time, whatever the sender writes."""
    condition = read("SeriesDescription", "*a" * 12 + "b")
    assert condition.holds(lambda _: ["a" * 5000]) is False


def test_every_keyword_of_the_standard_is_read_or_told():
    """There is no keyword in PS3.6 that a condition stumbles over."""
    for keyword in filter(None, keyword_dict):
        _read(keyword, "x")
