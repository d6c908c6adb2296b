"""Waits double, spread, become long, and end in a person's hands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom.errors import Refused, Unreachable
from routing.retry import Policy, tries_again, wait_s

CHANCE = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 49), CHANCE)
def test_a_short_wait_stays_within_a_quarter_of_its_doubling(attempts: int, chance: float):
    """The n-th wait is first * 2^(n-1), at most the longest, spread by 25 % either way."""
    policy = Policy(attempts=50, first_wait_s=2, longest_wait_s=300)
    plain = min(2 * 2 ** (attempts - 1), 300)
    assert 0.75 * plain <= wait_s(policy, attempts, chance) <= 1.25 * plain


@given(st.integers(3, 10_000), CHANCE)
def test_long_waits_grow_from_minutes_to_an_hour(attempts: int, chance: float):
    """Behind the last quick attempt a job waits 5 min, then twice as long, never over an hour."""
    plain = min(300 * 2 ** min(attempts - 3, 20), 3600)
    assert 0.75 * plain <= wait_s(Policy(attempts=3), attempts, chance) <= 1.25 * plain


@given(
    st.integers(1, 10),
    st.floats(0.1, 100),
    st.floats(0, 100),
    st.lists(CHANCE, min_size=1, max_size=50),
)
def test_a_job_that_always_fails_is_held_when_its_hours_are_over(
    attempts, first_s, give_up_h, spread
):
    """It is given up after give_up_h and no more than one wait later, after a number of tries."""
    policy = Policy(attempts, first_s, give_up_s=give_up_h * 3600)
    at, n = 0.0, 1
    while tries_again(policy, Unreachable("x"), n, at):
        assert n < 2000
        at += wait_s(policy, n, spread[n % len(spread)])
        n += 1
    assert n >= attempts
    assert at >= policy.give_up_s or n == attempts
    quick_s = 1.25 * policy.longest_wait_s * attempts
    assert at <= policy.give_up_s + quick_s + 1.25 * policy.longest_slow_wait_s


@pytest.mark.parametrize(
    ("give_up_h", "failing_h", "again"),
    [(72, 0, True), (72, 71.9, True), (72, 72, False), (0, 0, False)],
)
def test_after_the_quick_attempts_hours_count(give_up_h, failing_h, again):
    """A job is tried on for give_up_h since its first failure; 0 holds it after the quick ones."""
    policy = Policy(attempts=3, give_up_s=give_up_h * 3600)
    assert tries_again(policy, Unreachable("x"), 2, 1e9)
    assert tries_again(policy, Unreachable("x"), 3, failing_h * 3600) is again


def test_only_faults_that_may_pass_are_tried_again():
    """A refusal is held at once, however young the job is."""
    assert not tries_again(Policy(), Refused("x"), 1, 0)
