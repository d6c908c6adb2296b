"""Drift: the same population stays silent, another one is heard, whatever the numbers are."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai import drift

FLOATS = st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=60)


@pytest.fixture
def chance():
    return np.random.default_rng(7)


def test_the_same_population_is_below_the_alarm(chance):
    """Of 200 pairs of samples of 200 and 100, next to none reaches 0.25, and most say nearly 0."""
    found = [drift.psi(chance.normal(size=200), chance.normal(size=100)) for _ in range(200)]
    assert np.mean(np.array(found) > drift.ALARM) < 0.01
    assert np.median(found) < 0.05


@pytest.mark.parametrize(
    "moved",
    [lambda x: x + 1, lambda x: x * 3, lambda x: -5 + 0 * x, lambda x: np.where(x > 0, x, 9)],
    ids=["shifted", "wider", "one value", "a half gone"],
)
def test_another_population_is_above_it(chance, moved):
    """A standard deviation's shift, a wider spread, a constant, and a half that has gone."""
    then = chance.normal(size=200)
    assert drift.psi(then, moved(chance.normal(size=100))) > drift.ALARM


def test_a_known_value():
    """Two bins of 50 % each become 75 % and 25 %: (0.25 ln 1.5) + (-0.25 ln 0.5), less chance."""
    then, now = [0.0] * 5000 + [1.0] * 5000, [0.0] * 7500 + [1.0] * 2500
    expected = 0.25 * math.log(1.5) - 0.25 * math.log(0.5)
    assert drift.psi(then, now, bins=2) == pytest.approx(expected, abs=2e-3)


def test_few_values_say_nothing():
    """A sample of 19 is no population."""
    assert drift.psi([0.0] * 19, [9.0] * 500) == 0.0


@given(FLOATS, FLOATS)
def test_any_numbers_have_an_index(then, now):
    """NaN and infinity are left out; the index is finite and not negative."""
    index = drift.psi(then, now)
    assert math.isfinite(index)
    assert index >= 0


def test_what_moved_most_comes_first(chance):
    """Numbers that only one sample has are left out."""
    then = [{"a": float(x), "b": float(x), "old": 1.0} for x in chance.normal(size=100)]
    now = [{"a": float(x), "b": float(x) + 3, "new": 1.0} for x in chance.normal(size=100)]
    first, second = drift.compare(then, now)
    assert (first.name, second.name) == ("b", "a")
    assert first.psi > drift.ALARM > second.psi
    assert first.now - first.then == pytest.approx(3, abs=0.5)


def test_embeddings_of_another_population_move(chance):
    """A shift in six of 64 dimensions is seen in the projections; other samples are not."""
    base, shift = chance.normal(size=(150, 64)), np.zeros(64)
    shift[:6] = 2.5
    then = [drift.of_embedding("e", row) for row in base]
    same = [drift.of_embedding("e", row) for row in chance.normal(size=(150, 64))]
    moved = [drift.of_embedding("e", row + shift) for row in chance.normal(size=(150, 64))]
    assert drift.of_embedding("e", base[0]) == then[0]
    assert drift.compare(then, same)[0].psi < drift.ALARM
    assert drift.compare(then, moved)[0].psi > drift.ALARM


def test_values_are_described(chance):
    """Mean, spread and percentiles, of what is finite; nothing for nothing."""
    values = np.append(chance.normal(100, 5, 10_000), [np.nan, np.inf])
    said = drift.of_values(values)
    assert said["input.mean"] == pytest.approx(100, abs=0.5)
    assert said["input.sd"] == pytest.approx(5, abs=0.2)
    assert said["input.p5"] < said["input.p50"] < said["input.p95"]
    assert drift.of_values(np.array([])) == {}
    assert drift.of_embedding("e", [0.0, 0.0]) == {}
