"""Outlines enclose what they were traced around."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ai.report.outline import _rings, outlines


def _area(ring):
    columns, rows = np.array(ring, dtype=float).T
    return 0.5 * float(np.sum(columns[:-1] * rows[1:] - columns[1:] * rows[:-1]))


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_rings_are_closed_and_enclose_the_region(inside):
    """Outer rings minus holes have as many pixels as the region, whatever its shape."""
    rings = list(_rings(inside))
    assert all(ring[0] == ring[-1] for ring in rings)
    assert sum(_area(ring) for ring in rings) == inside.sum()


def test_a_slope_becomes_a_line():
    """A circle of 8,000 pixels is a line of few points, at most a pixel from its border."""
    y, x = np.mgrid[:120, :120]
    inside = (x - 60) ** 2 + (y - 60) ** 2 <= 50**2
    (ring,) = outlines(inside)
    assert len(ring) < 100
    away = np.hypot(ring[:, 0] - 60.5, ring[:, 1] - 60.5) - 50
    assert np.abs(away).max() < 1.5
    assert abs(_area(ring) / inside.sum() - 1) < 0.02


def test_touching_corners_stay_apart():
    """Two pixels that touch at a corner have an outline each."""
    assert len(outlines(np.eye(2, dtype=np.bool_))) == 2


def test_a_ring_is_cut_down_to_what_fits():
    """A comb with thousands of teeth gets no more points than one element can hold."""
    comb = np.zeros((20, 2400), dtype=np.bool_)
    comb[10:] = True
    comb[:, ::2] = True
    assert len(outlines(comb, most_points=1000)[0]) <= 1000
