"""Figures about probabilities are right, and calibration keeps what it promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai.training import metrics


@pytest.mark.parametrize(
    ("scores", "positive", "area"),
    [
        ([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], 1.0),
        ([0.9, 0.8, 0.2, 0.1], [0, 0, 1, 1], 0.0),
        ([0.5, 0.5, 0.5, 0.5], [0, 1, 0, 1], 0.5),
        ([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1], 0.75),
    ],
)
def test_the_area_under_the_curve_is_that_of_ranks(scores, positive, area):
    """It is the share of pairs in the right order, a tie counting half."""
    assert metrics.auc(np.array(scores), np.array(positive, bool)) == pytest.approx(area)


def test_an_area_needs_both_kinds():
    """Without positives or negatives there is no such figure."""
    with pytest.raises(ValueError, match="positives and negatives"):
        metrics.auc(np.array([0.5]), np.array([True]))


def test_the_calibration_error_is_the_gap_of_confidence():
    """Sure of 0.9 and right in half of the images is off by 0.4; right as often as said by 0."""
    sure = np.tile([0.9, 0.1], (10, 1))
    assert metrics.ece(sure, np.repeat([0, 1], 5)) == pytest.approx(0.4)
    assert metrics.ece(sure, np.array([0] * 9 + [1])) == pytest.approx(0.0, abs=1e-9)


def test_the_temperature_that_made_the_labels_is_found():
    """Labels drawn at a temperature of 2.5 give about that temperature back."""
    chance = np.random.default_rng(4)
    logits = chance.normal(0, 4, (6000, 5))
    uniform = chance.random((6000, 1))
    labels = (metrics.softmax(logits, 2.5).cumsum(axis=1) < uniform).sum(axis=1).clip(0, 4)
    assert metrics.fit_temperature(logits, labels) == pytest.approx(2.5, rel=0.08)


@given(st.integers(0, 1000), st.integers(30, 200), st.sampled_from([0.5, 0.8, 0.9]))
def test_conformal_sets_hold_the_truth_of_what_they_were_fitted_on(seed, count, coverage):
    """At least the stated share of calibration images has its truth in its set."""
    chance = np.random.default_rng(seed)
    probabilities = chance.dirichlet(np.ones(5), count)
    labels = chance.integers(0, 5, count)
    threshold = metrics.conformal_threshold(probabilities, labels, coverage)
    found = metrics.measure(probabilities, np.concatenate([np.arange(5), labels[5:]]), threshold)
    true = probabilities[np.arange(count), labels]
    assert (true >= threshold).mean() >= coverage
    assert 0 <= found.set_size <= 5


def test_too_few_images_make_sets_of_everything():
    """With nine images nothing can be left out at a coverage of 95 %."""
    probabilities, labels = np.full((9, 5), 0.2), np.zeros(9, int)
    assert metrics.conformal_threshold(probabilities, labels, 0.95) == 0


def test_the_confusion_has_truths_in_rows():
    """Two of class 0, one of them called 1."""
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8]])
    found = metrics.measure(probabilities, np.array([0, 0, 1]), 0.5)
    assert found.confusion == ((1, 1), (0, 1))
    assert found.accuracy == pytest.approx(2 / 3)
