"""A Series is complete for a stated reason, and not before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.entity import Origin, SeriesKey
from routing.settle import Pending, Reason, Timing, judge

TIMING = Timing(quiet_s=30, release_s=1)


def pending(*, released: bool, origin: Origin = Origin.DIMSE) -> Pending:
    return Pending(SeriesKey("1.2", "1.2.3"), origin, 1000.0, released)


@pytest.mark.parametrize(
    ("released", "after_s", "reason"),
    [
        (True, 0.5, None),
        (True, 1.0, Reason.RELEASED),
        (True, 31, Reason.RELEASED),
        (False, 1.0, None),
        (False, 29.9, None),
        (False, 30.0, Reason.QUIET),
    ],
)
def test_judge(released: bool, after_s: float, reason: Reason | None):
    """A release shortens the quiet time; an aborted or open association does not."""
    assert judge(pending(released=released), TIMING, 1000.0 + after_s) is reason


def test_a_result_is_complete_at_once():
    """What a model wrote needs no waiting."""
    assert judge(pending(released=False, origin=Origin.AI), TIMING, 1000.0) is Reason.RESULT


@given(st.booleans(), st.floats(0, 100), st.floats(0, 100))
def test_once_complete_stays_complete(released: bool, first_s: float, more_s: float):
    """Without news, time never makes a complete Series incomplete."""
    series = pending(released=released)
    if judge(series, TIMING, 1000 + first_s) is not None:
        assert judge(series, TIMING, 1000 + first_s + more_s) is not None
