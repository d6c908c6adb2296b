"""Rectangles of pixels."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from deid.pixels.boxes import Box, clip, distinct, grow, outside, turn_back

COLUMNS, ROWS = 23, 17


@st.composite
def boxes(draw):
    x0, y0 = draw(st.integers(0, COLUMNS - 1)), draw(st.integers(0, ROWS - 1))
    return Box(x0, y0, draw(st.integers(x0 + 1, COLUMNS)), draw(st.integers(y0 + 1, ROWS)))


def mask(listed):
    covered = np.zeros((ROWS, COLUMNS), int)
    for x0, y0, x1, y1 in listed:
        covered[y0:y1, x0:x1] += 1
    return covered


@given(st.lists(boxes(), min_size=1, max_size=6))
def test_outside_covers_the_rest_once(kept):
    """What kept boxes leave free is covered exactly once, and nothing of them is."""
    assert ((mask(kept) > 0).astype(int) + mask(outside(kept, COLUMNS, ROWS)) == 1).all()


@given(boxes(), st.integers(0, 7))
def test_boxes_turn_back_with_the_image(box, quarters):
    """A box found in a turned image lands on the same pixels of the image itself."""
    turned = np.rot90(mask([box]), quarters)
    rows, columns = np.nonzero(turned)
    seen = Box(int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
    assert turn_back(seen, quarters, COLUMNS, ROWS) == box


@given(st.lists(boxes(), max_size=8))
def test_distinct_boxes_cover_the_same(listed):
    """Dropping boxes inside others uncovers no pixel."""
    kept = distinct(listed)
    assert ((mask(kept) > 0) == (mask(listed) > 0)).all()
    assert len(kept) <= len(set(listed))


def test_boxes_are_cut_to_the_image():
    """A grown box ends at the image's edge; one outside of it is none."""
    assert clip(grow(Box(0, 0, 5, 5), 3), 6, 20) == Box(0, 0, 6, 8)
    assert clip(Box(30, 2, 40, 5), COLUMNS, ROWS) is None
