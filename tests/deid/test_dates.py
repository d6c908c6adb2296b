"""Dates move by whole weeks, intervals stay, and what is no date does not pass."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid import dates
from deid.pseudonym import Pseudonyms

KEY = bytes(range(50, 90))

MOVED = [
    ("DA", "20200110", "20200103"),
    ("DA", "2020.01.10", "20200103"),
    ("DA", "20200110\\20200117", "20200103\\20200110"),
    ("DA", "20200110\\1999\\20200117", "20200103\\\\20200110"),
    ("DA", "20200110-20200117", "20200103-20200110"),
    ("DA", "20200110-", "20200103-"),
    ("DA", "-20200110", "-20200103"),
    ("DA", "20200301", "20200223"),
    ("DA", "2020", ""),
    ("DA", "202001", ""),
    ("DA", "20200230", ""),
    ("DA", "00000000", ""),
    ("DA", "00010101", ""),
    ("DA", "20200110 Doe", ""),
    ("DA", "-", ""),
    ("DT", "20200110", "20200103"),
    ("DT", "20200110123000.123456+0100", "20200103123000.123456+0100"),
    ("DT", "2020011012-0500", "2020010312-0500"),
    ("DT", "20200110-0500", "20200103-0500"),
    ("DT", "20200110-20200117", "20200103-20200110"),
    ("DT", "202001101230-0500-202001171230-0500", "202001031230-0500-202001101230-0500"),
    ("DT", "2020", ""),
    ("DT", "202001", ""),
    ("DT", "20200110996100", ""),
    ("TM", "123000.5", "123000.5"),
    ("TM", "12:30:00", "12:30:00"),
    ("TM", "1200-1300", "1200-1300"),
    ("TM", "Doe", ""),
    ("TM", "2560", ""),
]
KEPT = [
    ("DA", "20200110", "20200110"),
    ("DA", "Doe", ""),
    ("DA", "20201399", ""),
    ("DT", "2020", "2020"),
    ("DT", "202001+0100", "202001+0100"),
    ("DT", "20200110123000", "20200110123000"),
    ("DT", "at noon", ""),
    ("TM", "07", "07"),
]
AGES = [("045Y", "045Y"), ("089Y", "089Y"), ("090Y", "090Y"), ("103Y", "090Y"), ("012M", "012M"),
        ("45", ""), ("Doe", "")]  # fmt: skip


@pytest.mark.parametrize(("vr", "before", "after"), MOVED)
def test_each_form_of_a_date_moves_or_vanishes(vr, before, after):
    """Whole dates move in every written form; times stay; partial and invalid ones are emptied."""
    assert dates.shifted(vr, before, 7) == after


@pytest.mark.parametrize(("vr", "before", "after"), KEPT)
def test_a_kept_date_must_be_one(vr, before, after):
    """Full dates keeps dates, and nothing that only stands where a date should."""
    assert dates.kept(vr, before) == after


@pytest.mark.parametrize(("before", "after"), AGES)
def test_ages_above_89_are_capped(before, after):
    """Few people are older than 89: their age is written as 90."""
    assert dates.capped(before) == after


days = st.dates(min_value=date(1930, 1, 1), max_value=date(2100, 1, 1))


@given(days, days, st.text(min_size=1))
def test_intervals_and_weekdays_survive(first, second, patient):
    """One patient's dates keep their distances and weekdays, and none stays where it was."""
    shift = Pseudonyms(KEY).days(patient, "")
    moved = [
        date.fromisoformat(dates.shifted("DA", each.strftime("%Y%m%d"), shift))
        for each in (first, second)
    ]
    assert moved[0] - moved[1] == first - second
    assert moved[0].weekday() == first.weekday()
    assert 7 <= (first - moved[0]).days <= 7 * dates.WEEKS


def test_a_shift_depends_on_patient_key_and_project():
    """Two nodes agree on a patient's shift; another patient, key or project has another."""
    one = [Pseudonyms(KEY).days(str(n), "") for n in range(40)]
    assert one == [Pseudonyms(KEY).days(f" {n} ", "") for n in range(40)]
    assert len(set(one)) > 30
    assert one != [Pseudonyms(KEY[::-1]).days(str(n), "") for n in range(40)]
    assert one != [Pseudonyms(KEY, "b").days(str(n), "") for n in range(40)]


@given(st.sampled_from(["DA", "DT", "TM"]), st.text(max_size=40), st.integers(7, 3640))
def test_no_text_comes_through_as_a_date(vr, value, shift):
    """Whatever stands in a date, only digits and marks of a date come out."""
    assert set(dates.shifted(vr, value, shift)) <= set("0123456789.:+-\\")
