"""In some picture of a frame pale text can be seen, whatever else the frame holds."""

import numpy as np
import pytest

from deid.pixels.image import Image
from deid.pixels.render import renderings

ROWS, COLUMNS = 128, 200


def image(**changes):
    facts = {
        "syntax": "1.2.840.10008.1.2.1",
        "rows": ROWS,
        "columns": COLUMNS,
        "frames": 1,
        "samples": 1,
        "photometric": "MONOCHROME2",
        "planar": 0,
        "bits_allocated": 16,
        "bits_stored": 16,
        "high_bit": 15,
        "signed": False,
        "little": True,
        "swapped": False,
    }
    return Image(**(facts | changes))


@pytest.fixture
def strokes(make):
    return make.written(ROWS, COLUMNS, "DOE^JANE", 20, (60, 50))


def contrast(seen, strokes):
    """How far strokes are from what is next to them, in grey levels."""
    light = seen if seen.ndim == 2 else seen.mean(axis=2)
    around = np.zeros_like(strokes)
    rows, columns = np.nonzero(strokes)
    around[rows.min() : rows.max(), columns.min() : columns.max()] = True
    return abs(light[strokes].mean() - light[around & ~strokes].mean())


def best(shown, about, photometric, strokes):
    """The best contrast of all pictures that stand upright, and of those that lie."""
    found = {0: 0.0, 1: 0.0}
    for seen, quarters, _ in renderings(shown, about, photometric):
        back = np.rot90(seen, -quarters)
        found[quarters % 2] = max(found[quarters % 2], contrast(back, strokes))
    return min(found.values())


@pytest.mark.parametrize(
    ("odd", "area"),
    [
        (0, np.s_[0:1, 0:1]),
        (65535, np.s_[120:121, 190:191]),
        (65535, np.s_[120:124, 180:190]),
        (0, np.s_[:, :20]),
    ],
)
def test_values_far_off_do_not_hide_pale_text(make, strokes, odd, area):
    """A broken pixel, or a margin of padding, takes no contrast from text elsewhere."""
    shown = make.phantom(ROWS, COLUMNS, 900) + 30000
    shown[strokes] += 70
    shown[area] = odd
    assert best(shown.astype("u2"), image(), "MONOCHROME2", strokes) > 40


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize(("bits", "top"), [(8, 40), (12, 150), (16, 150)])
def test_dark_colours_are_spread(make, strokes, photometric, bits, top):
    """Colours of many bits, of which the image uses few, are shown from lowest to highest."""
    light = make.phantom(ROWS, COLUMNS, top // 2)
    light[strokes] = top
    grey = light if photometric == "RGB" else np.full_like(light, 1 << (bits - 1))
    shown = np.stack([light, grey, grey], axis=-1).astype("u1" if bits == 8 else "u2")
    about = image(samples=3, photometric=photometric, bits_stored=bits, high_bit=bits - 1)
    whole = next(renderings(shown, about, photometric)).picture
    assert contrast(whole, strokes) > 80
    assert best(shown, about, photometric, strokes) > 80


def test_the_order_of_values_stays(strokes):
    """What is brighter stays brighter, and nothing is shown where nothing is."""
    values = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    whole = next(renderings(values, image(), "MONOCHROME2")).picture
    assert (np.diff(whole.ravel().astype(int)) >= 0).all()
    assert (whole.min(), whole.max()) == (0, 255)
    flat = np.full((ROWS, COLUMNS), 7, np.uint16)
    assert all(np.ptp(each.picture) == 0 for each in renderings(flat, image(), "MONOCHROME2"))
