"""Dates and times as PS3.5 6.2 writes them."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom import moments


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("093015", "09:30:15", "09:30:15.999999"),
        ("093015.5", "09:30:15.500000", "09:30:15.599999"),
        ("0930", "09:30:00", "09:30:59.999999"),
        ("09", "09:00:00", "09:59:59.999999"),
        ("09:30:15", "09:30:15", "09:30:15.999999"),
        ("235960", "23:59:59", "23:59:59.999999"),
        ("093015 ", "09:30:15", "09:30:15.999999"),
    ],
)
def test_a_time_of_lower_precision_stands_for_a_span(text: str, first: str, last: str) -> None:
    """A TM without seconds or minutes reads as its first moment, or its last one when late."""
    assert moments.time_of(text) == dt.time.fromisoformat(first)
    assert moments.time_of(text, late=True) == dt.time.fromisoformat(last)


@pytest.mark.parametrize("text", ["", "9", "24", "0960", "093061", "09301", "noon", "٠٩٣٠", "-"])
def test_what_is_no_time_reads_as_none(text: str) -> None:
    """Text outside TM gives None."""
    assert moments.time_of(text) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("20040229", dt.date(2004, 2, 29)),
        ("2004.02.29", dt.date(2004, 2, 29)),
        ("20030229", None),
        ("20041301", None),
        ("2004-01-01", None),
        ("200401", None),
        ("", None),
    ],
)
def test_a_date_is_a_day_of_the_calendar(text: str, read: dt.date | None) -> None:
    """A DA is read, also in its old form; a day that never was gives None."""
    assert moments.date_of(text) == read


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2004", "2004-01-01T00:00:00", "2004-12-31T23:59:59.999999"),
        ("200402", "2004-02-01T00:00:00", "2004-02-29T23:59:59.999999"),
        ("2004022912", "2004-02-29T12:00:00", "2004-02-29T12:59:59.999999"),
        ("20040229123000.25-0500", "2004-02-29T12:30:00.250000", "2004-02-29T12:30:00.259999"),
    ],
)
def test_a_datetime_of_lower_precision_stands_for_a_span(text: str, first: str, last: str) -> None:
    """A DT cut off anywhere reads as its first moment, or its last one when late."""
    assert moments.datetime_of(text) == dt.datetime.fromisoformat(first)
    assert moments.datetime_of(text, late=True) == dt.datetime.fromisoformat(last)


@pytest.mark.parametrize("text", ["", "204", "200413", "00000101", "20040101+9900", "2004022930"])
def test_what_is_no_datetime_reads_as_none(text: str) -> None:
    """Text outside DT gives None."""
    assert moments.datetime_of(text) is None


@given(st.datetimes())
def test_writing_then_reading_gives_the_same_moment(moment: dt.datetime) -> None:
    """What is written as DA, TM or DT reads back as the same."""
    assert moments.date_of(moments.to_da(moment.date())) == moment.date()
    assert moments.time_of(moments.to_tm(moment.time())) == moment.time()
    assert moments.datetime_of(moments.to_dt(moment)) == moment


@given(st.text(max_size=30))
def test_no_text_makes_reading_raise(text: str) -> None:
    """Any text is read or refused, never an exception."""
    moments.date_of(text)
    moments.time_of(text, late=True)
    moments.datetime_of(text, late=True)
