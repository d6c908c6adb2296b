"""A Series or a Study is complete for a stated reason, and not before."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.entity import Origin, SeriesKey
from routing.settle import (
    Announced,
    Pending,
    PendingStudy,
    Reason,
    Timing,
    due,
    due_study,
    gaps,
    is_there,
)

TIMING = Timing(quiet_s=30, release_s=1, incomplete_s=300, study_quiet_s=120)
LAST_AT = 1000.0
COUNTS = st.builds(
    lambda source, count, missing: Announced(source, count, min(count, missing)),
    st.sampled_from(["mpps", "commitment", "query"]),
    st.integers(0, 20),
    st.integers(0, 20),
)


def pending(*, released: bool, origin: Origin = Origin.DIMSE, **more: object) -> Pending:
    return replace(Pending(SeriesKey("1.2", "1.2.3"), origin, LAST_AT, released), **more)


def said(count: int, missing: int = 0, source: str = "mpps") -> Announced:
    return Announced(source, count, missing)


@pytest.mark.parametrize(
    ("released", "there", "announced", "holes", "after_s", "words"),
    [
        (True, 9, [], [], 1, "released"),
        (False, 9, [], [], 30, "quiet"),
        # What was announced is there: no waiting, whatever the associations do.
        (False, 9, [said(9)], [], 0, "expected, all 9 announced are there (mpps)"),
        (False, 9, [said(9)], [(3, 4)], 0, "expected, all 9 announced are there (mpps)"),
        (
            False, 9, [said(9), said(9, 0, "query")], [], 0,
            "expected, all 9 announced are there (mpps, query)",
        ),
        # More is there than was announced: it spoke of a part.
        (True, 9, [said(5)], [], 1, "released"),
        (False, 9, [said(5)], [], 30, "quiet"),
        (False, 9, [said(9), said(5, 0, "query")], [], 0,
         "expected, all 9 announced are there (mpps, query)"),
        # Something is missing: that is waited for, and then said.
        (True, 117, [said(120, 3)], [], 300, "released, 3 of 120 announced missing (mpps)"),
        (False, 117, [said(120, 3)], [], 300, "quiet, 3 of 120 announced missing (mpps)"),
        # As many are there, but not those that were named.
        (True, 9, [said(9, 2)], [], 300, "released, 2 of 9 announced missing (mpps)"),
        (True, 9, [said(9), said(12, 3, "query")], [], 300,
         "released, 3 of 12 announced missing (query)"),
        (True, 9, [], [(17, 19)], 300, "released, InstanceNumber 17-19 missing"),
        (False, 9, [], [(4, 4), (17, 19)], 300, "quiet, InstanceNumber 4, 17-19 missing"),
        (False, 9, [said(12, 3)], [(4, 4)], 300,
         "quiet, 3 of 12 announced missing (mpps), InstanceNumber 4 missing"),
        (False, 90, [], [(n, n) for n in range(2, 16, 2)], 300,
         "quiet, InstanceNumber 2, 4, 6, 8, 10 and 2 more gaps missing"),
    ],
)  # fmt: skip
def test_a_series_is_due(
    *,
    released: bool,
    there: int,
    announced: list[Announced],
    holes: list[tuple[int, int]],
    after_s: float,
    words: str,
):
    """How long a Series is waited for follows from what is known to be missing; and is said."""
    series = pending(
        released=released, instances=there, announced=tuple(announced), gaps=tuple(holes)
    )
    complete = due(series, TIMING)
    assert complete.at == LAST_AT + after_s
    assert complete.words == words
    assert complete.reason == words.partition(",")[0]
    assert complete.expected == max((one.count for one in announced), default=None)


def test_a_whole_study_makes_its_series_complete():
    """Where all that was announced of the Study is there, nothing more can come to a Series."""
    complete = due(pending(released=False, instances=2, study_is_there=True), TIMING)
    assert (complete.at, complete.reason) == (LAST_AT, Reason.EXPECTED)


def test_a_result_is_complete_at_once():
    """What a model wrote needs no waiting."""
    complete = due(pending(released=False, origin=Origin.AI), TIMING)
    assert (complete.at, complete.reason) == (LAST_AT, Reason.RESULT)


@pytest.mark.parametrize(
    ("open_series", "announced", "after_s", "words"),
    [
        (0, [], 120, "quiet"),
        (1, [], None, ""),
        (0, [said(9)], 0, "expected, all 9 announced are there (mpps)"),
        (1, [said(9)], None, ""),
        (0, [said(12, 3)], 300, "quiet, 3 of 12 announced missing (mpps)"),
        (0, [said(4)], 120, "quiet"),
    ],
)
def test_a_study_is_due(
    open_series: int, announced: list[Announced], after_s: float | None, words: str
):
    """A Study waits for its Series, then for quiet, unless its announced number is there."""
    study = PendingStudy("1.2", open_series, 3, 9, LAST_AT, tuple(announced))
    complete = due_study(study, TIMING)
    assert (complete is None) is (after_s is None)
    assert complete is None or complete.at == LAST_AT + (after_s or 0)
    assert (complete.words if complete else "") == words


@given(
    st.booleans(),
    st.lists(COUNTS, max_size=3),
    st.integers(0, 20),
    st.builds(Timing, *[st.floats(0, 600)] * 4),
)
def test_the_moment_is_bounded_and_said(
    released: bool, announced: list[Announced], there: int, timing: Timing
):
    """A Series settles within the longest of the times, later only if something is missing."""
    series = pending(released=released, instances=there, announced=tuple(announced))
    complete = due(series, timing)
    is_short = any(one.missing for one in announced)
    assert LAST_AT <= complete.at <= LAST_AT + timing.longest_s
    assert ("missing" in complete.words) is is_short is bool(complete.missing)
    usual = due(replace(series, announced=()), timing)
    if is_short:
        assert complete.at == max(usual.at, LAST_AT + timing.incomplete_s)
    else:
        assert complete.at in {LAST_AT, usual.at}
        assert (complete.reason is Reason.EXPECTED) is is_there(announced, there)


@pytest.mark.parametrize(
    ("numbers", "holes"),
    [
        ([1, 2, 3], []),
        ([0, 1, 2], []),
        ([101, 102, 103], []),
        ([], []),
        ([7], []),
        ([1, 9], []),
        ([1, 3, 5, 7], []),  # a regular numbering
        ([3, 4, 5, 7, 8], [(6, 6)]),
        ([8, 7, 5, 4, 3], [(6, 6)]),
        ([*range(1, 17), *range(20, 31)], [(17, 19)]),
        ([1, 2, 3, 40, 41], []),  # more missing than there
        ([1, 2, 2, 4, 5], []),  # not of this Series alone
        ([1, 2, None, 4, 5], []),
        ([None, None], []),
        ([-2, -1, 0, 2, 3], [(1, 1)]),
    ],
)
def test_gaps(numbers: list[int | None], holes: list[tuple[int, int]]):
    """Holes are told where the numbering looks like one of single steps."""
    assert list(gaps(numbers)) == holes


@given(st.integers(-5, 300), st.integers(5, 200), st.sets(st.integers(1, 198), max_size=60))
def test_what_is_taken_out_of_a_row_is_found(first: int, count: int, out: set[int]):
    """Of 1 to n, exactly what was taken out is told, unless that is about half of it."""
    inner = {n for n in out if 0 < n < count - 1}
    numbers = [first + n for n in range(count) if n not in inner]
    found = {n for low, high in gaps(numbers) for n in range(low, high + 1)}
    if found:
        assert found == {first + n for n in inner}
    elif inner:
        assert 2 * len(inner) >= count or is_regular(numbers)


def is_regular(numbers: Sequence[int]) -> bool:
    return len({after - before for before, after in pairwise(numbers)}) == 1
