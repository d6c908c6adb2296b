"""Waits double, spread, and end."""

from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import Refused, Unreachable
from routing.retry import Policy, tries_again, wait_s


@given(st.integers(1, 40), st.floats(0, 1, exclude_max=True))
def test_wait_stays_within_a_quarter_of_its_doubling(attempts: int, chance: float):
    """The n-th wait is first * 2^(n-1), at most the longest, spread by 25 % either way."""
    policy = Policy(attempts=50, first_wait_s=2, longest_wait_s=300)
    plain = min(2 * 2 ** (attempts - 1), 300)
    assert 0.75 * plain <= wait_s(policy, attempts, chance) <= 1.25 * plain


def test_only_faults_that_may_pass_are_tried_again():
    """A refusal is held at once; an unreachable peer is tried up to the limit."""
    policy = Policy(attempts=3)
    assert [tries_again(policy, Unreachable("x"), n) for n in (1, 2, 3)] == [True, True, False]
    assert not tries_again(policy, Refused("x"), 1)
