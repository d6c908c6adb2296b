"""Synthetic radiographs hold what they say, and sets of them share no patient."""

import numpy as np
import pytest

from ai.training import dataset
from ai.training.synthetic import FIELD_OF_VIEW_MM, FINDINGS, SIZE, Finding, draw, patient


@pytest.mark.parametrize("finding", FINDINGS)
def test_the_same_numbers_draw_the_same_pixels(finding):
    """An image follows from its numbers alone; another take is another image."""
    one, same, other = (draw(1, 2, take, finding).pixels for take in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 0.05
    assert one.shape == (SIZE, SIZE)
    assert one.dtype == np.float32
    assert 0 <= one.min() < one.max() <= 1


@pytest.mark.parametrize("number", range(6))
def test_a_nodule_is_where_the_truth_says(number):
    """Its disc is brighter than the ring around it."""
    found = draw(3, number, 0, Finding.NODULE)
    radius = found.diameter_mm / 2 * SIZE / FIELD_OF_VIEW_MM
    y, x = np.indices(found.pixels.shape) + 0.5
    away = np.hypot(y - found.place[0], x - found.place[1])
    inside = found.pixels[away < 0.6 * radius].mean()
    around = np.median(found.pixels[(away > 1.3 * radius) & (away < 2.2 * radius)])
    assert inside > around + 0.05


def test_only_nodules_have_a_place():
    """Other findings have no single one."""
    assert [draw(1, 1, 0, finding).place is None for finding in FINDINGS] == [
        finding is not Finding.NODULE for finding in FINDINGS
    ]


def test_a_patient_keeps_the_anatomy():
    """The number says who it is; hearts are of normal size unless the finding says otherwise."""
    assert patient(1, 5) == patient(1, 5)
    assert patient(1, 5) != patient(1, 6)
    assert all(patient(2, number).heart_ratio < 0.5 for number in range(50))


def test_no_patient_is_in_two_sets():
    """The split is by patient, complete, and brings all classes equally often."""
    parts = dataset.split(200, seed=3, first=1000)
    sets = [parts.train, parts.validation, parts.calibration, parts.test]
    people = [{case.patient for case in part} for part in sets]
    assert sum(map(len, people)) == len(set().union(*people)) == 200
    assert set().union(*people) == set(range(1000, 1200))
    assert [len(part) for part in sets] == [240, 60, 40, 60]
    counts = [sum(case.finding is each for part in sets for case in part) for each in FINDINGS]
    assert counts == [80] * 5


def test_images_have_their_cases_classes():
    """Arrays are (n, 1, y, x) and class numbers in the order of FINDINGS."""
    cases = dataset.split(100, seed=1).calibration
    made = dataset.images(cases, seed=1)
    assert made.pixels.shape == (len(cases), 1, SIZE, SIZE)
    assert [FINDINGS[label] for label in made.labels] == [case.finding for case in cases]
    nodules = made.labels == FINDINGS.index(Finding.NODULE)
    assert (np.isfinite(made.places).all(axis=1) == nodules).all()
