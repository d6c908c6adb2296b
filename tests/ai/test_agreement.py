"""Agreement of a shadow with the live version: bias, limits, and only what both said."""

import pytest

from ai.agreement import agreement


def test_differences_are_summed_up():
    """Bias, limits of agreement and the largest difference of known numbers."""
    pairs = [({"v": 10.0}, {"v": 11.0}), ({"v": 20.0}, {"v": 23.0}), ({"v": 30.0}, {"v": 32.0})]
    (found,) = agreement(pairs)
    assert (found.output, found.pairs, found.bias, found.largest) == ("v", 3, 2.0, 3.0)
    assert (found.low, found.high) == pytest.approx((2 - 1.96, 2 + 1.96))


def test_only_what_both_said_counts():
    """An output of one alone, and what is not finite, is left out."""
    pairs = [({"a": 1.0}, {"b": 1.0}), ({"a": 1.0, "b": 2.0}, {"b": 2.0, "a": float("nan")})]
    (found,) = agreement(pairs)
    assert (found.output, found.pairs, found.low, found.high) == ("b", 1, 0.0, 0.0)
    assert agreement([]) == []
