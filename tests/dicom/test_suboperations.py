"""Counts of sub-operations, and the last status that follows from them (PS3.4 C.4.2.1.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom import status
from dicom.suboperations import Outcome, Tally, judge


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        (0x0000, Outcome.COMPLETED),
        (0xB000, Outcome.WARNING),
        (0xB007, Outcome.WARNING),
        (0x0111, Outcome.WARNING),
        (0x0107, Outcome.FAILED),
        (0xA700, Outcome.FAILED),
        (0xA900, Outcome.FAILED),
        (0xC123, Outcome.FAILED),
        (0xFE00, Outcome.FAILED),
        (0x1234, Outcome.FAILED),
    ],
)
def test_an_answer_is_counted_as_what_it_is(code, outcome):
    """Success is completed, a warning or a duplicate a warning, and all else a failure."""
    assert judge(code) is outcome


@given(st.lists(st.sampled_from(sorted(Outcome)), max_size=40), st.integers(0, 5))
def test_counts_always_sum_up(outcomes, left):
    """However sub-operations end, the four counts are all of them; failures are named in order."""
    tally = Tally(len(outcomes) + left)
    for number, outcome in enumerate(outcomes):
        tally.note(outcome, str(number))
        assert sum(tally.counts()) == tally.total
    assert tally.counts().remaining == left
    failed = [str(n) for n, one in enumerate(outcomes) if one is Outcome.FAILED]
    assert tally.failed_uids == failed


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ("", status.SUCCESS),
        ("ccc", status.SUCCESS),
        ("ccw", status.SOME_FAILED),
        ("www", status.SOME_FAILED),
        ("ccf", status.SOME_FAILED),
        ("wf", status.SOME_FAILED),
        ("fff", status.UNABLE_TO_PERFORM),
    ],
)
def test_the_last_status_follows_from_the_counts(outcomes, expected):
    """All completed or none found is a success, all failed a refusal, anything else a warning."""
    names = {"c": Outcome.COMPLETED, "w": Outcome.WARNING, "f": Outcome.FAILED}
    tally = Tally(len(outcomes))
    for letter in outcomes:
        tally.note(names[letter], "1.2")
    assert tally.final() == expected


def test_more_than_65535_are_told_as_so_many():
    """The counts of a response have 16 bits."""
    assert Tally(70_000).counts().remaining == 65_535
