"""Resampling is exact where it can be, values are levelled as stated, layouts lose nothing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ai.contract import Input, InputKind, Normalise, Preparation
from ai.datatypes import DTYPES
from ai.inputs import levels, resample, tensor
from ai.inputs.axis import Axis, plan
from ai.inputs.levels import Levels
from dicom.errors import Unsuitable

SIZES = st.integers(1, 48)
SPACINGS = st.floats(0.3, 4)
PREPARATIONS = st.builds(
    Preparation,
    spacing_mm=st.none() | st.tuples(SPACINGS),
    size=st.none() | st.tuples(st.integers(0, 64)),
    fit=st.sampled_from(["pad", "stretch"]),
)


def _resampled(values, axis):
    return resample.along(np.asarray(values, np.float32), 0, resample.taps(axis))


@settings(max_examples=200, deadline=None)
@given(stored=st.integers(4, 48), wanted_mm=SPACINGS, slope=st.floats(-50, 50))
def test_a_slope_stays_the_same_slope(stored, wanted_mm, slope):
    """A linear function of place is reproduced wherever no end of the axis is near."""
    axis = plan(stored, 1.0, Preparation(spacing_mm=(wanted_mm,)), -1)
    made = _resampled(slope * (np.arange(stored) + 0.5) + 3, axis)
    places = axis.to_stored(np.arange(axis.given) + 0.5)
    margin = 0.5 + max(axis.scale - 1, 0) / 2
    inner = (places >= margin) & (places <= stored - margin)
    assert made[inner] == pytest.approx(slope * places[inner] + 3, abs=2e-3)


@settings(max_examples=200, deadline=None)
@given(stored=SIZES, preparation=PREPARATIONS, is_flipped=st.booleans())
def test_a_constant_stays_the_same_constant(stored, preparation, is_flipped):
    """Weights add up to one everywhere, so that no edge darkens or brightens."""
    axis = plan(stored, 1.0, preparation, -1)
    axis = axis.flipped() if is_flipped else axis
    taps = resample.taps(axis)
    assert np.allclose(taps.weights.sum(axis=1), 1, atol=1e-5)
    assert taps.indices.min() >= 0
    assert taps.indices.max() < stored
    made = _resampled(np.full(stored, 7.25), axis)
    assert made == pytest.approx(np.full(axis.given, 7.25), rel=1e-5)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_fine_stripes_fade_where_pixels_become_larger(scale):
    """What is too fine for the new pixels becomes its mean, not a false pattern."""
    axis = Axis(48, 48 // scale, scale)
    made = _resampled([0, 1] * 24, axis)
    assert made[1:-1] == pytest.approx(np.full(len(made) - 2, 0.5), abs=1e-5)


@pytest.mark.parametrize(
    ("stored", "given", "before"),
    [(5, 9, 2), (5, 8, 1), (9, 5, -2), (8, 5, -2), (6, 6, 0)],
)
def test_padding_moves_pixels_by_whole_ones(stored, given, before):
    """Centred in a larger or a smaller axis, each stored pixel keeps its value."""
    axis = plan(stored, 0.0, Preparation(size=(given,)), -1)
    values = np.arange(1, stored + 1, dtype=np.int16)[np.newaxis]
    flat = Axis(1, 1)
    made = resample.plane(values, (flat, axis), (resample.taps(flat), resample.taps(axis)), -7)
    expected = [values[0, at - before] if 0 <= at - before < stored else -7 for at in range(given)]
    assert made[0].tolist() == expected
    assert made.dtype == np.int16


@settings(max_examples=200, deadline=None)
@given(
    stored=SIZES,
    preparation=PREPARATIONS,
    is_flipped=st.booleans(),
    place=st.floats(-5, 70),
)
def test_a_place_goes_there_and_back(stored, preparation, is_flipped, place):
    """The two directions of an axis undo each other, and mirroring twice is nothing."""
    axis = plan(stored, 1.0, preparation, -1)
    axis = axis.flipped() if is_flipped else axis
    assert float(axis.to_given(axis.to_stored(place))) == pytest.approx(place, abs=1e-6)
    assert axis.flipped().flipped() == axis


@settings(max_examples=100, deadline=None)
@given(stored=SIZES, preparation=PREPARATIONS)
def test_a_mirrored_axis_gives_the_mirrored_pixels(stored, preparation):
    """The same values in reverse order, to the bit."""
    axis = plan(stored, 1.0, preparation, -1)
    values = np.random.default_rng(1).normal(size=stored)
    assert np.array_equal(_resampled(values, axis)[::-1], _resampled(values, axis.flipped()))


def test_the_middle_stays_in_the_middle():
    """What does not come out even is shared by both ends of a resampled axis."""
    axis = plan(10, 1.0, Preparation(spacing_mm=(3.0,)), -1)
    assert (axis.given, axis.scale, axis.start) == (3, 3.0, 0.5)
    assert axis.to_stored(1.5) == 5


@pytest.mark.parametrize(
    ("normalise", "window", "expected"),
    [
        (Normalise.NONE, None, [-1000, 0, 400, 3000]),
        (Normalise.NONE, (-500, 400), [-500, 0, 400, 400]),
        (Normalise.UNIT, (-500, 500), [0, 0.5, 0.9, 1]),
        (Normalise.UNIT, None, [0, 0.25, 0.35, 1]),
        (Normalise.SYMMETRIC, (-500, 500), [-1, 0, 0.8, 1]),
        (Normalise.UNIT, (-500.5, 499.5), [0, 0.5005, 0.9005, 1]),
    ],
)
@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_values_are_levelled(normalise, window, expected, dtype):
    """Window, then range, for whole numbers and for fractions alike."""
    values = np.array([-1000, 0, 400, 3000], dtype)
    steps = levels.over(window or (-1000, 3000), Preparation(window=window, normalise=normalise))
    assert steps.apply(values) == pytest.approx(np.array(expected), abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(cuts=st.lists(st.integers(1, 999), max_size=5), middle=st.floats(-1e4, 1e4))
def test_a_z_score_is_over_all_pieces_together(cuts, middle):
    """Mean 0 and deviation 1, however the whole is cut into pieces."""
    values = np.random.default_rng(2).normal(middle, 30, 1000).astype(np.float32)
    pieces = [piece for piece in np.split(values, sorted(cuts)) if piece.size]
    made = levels.scored(Levels(), pieces).apply(values).astype(np.float64)
    assert made.mean() == pytest.approx(0, abs=1e-3)
    assert made.std() == pytest.approx(1, abs=1e-3)


def test_alike_values_have_no_range_to_divide_by():
    """A flat image becomes its lowest value, not a division by zero."""
    values = np.full(5, 7.0, np.float32)
    for normalise, lowest in ((Normalise.UNIT, 0), (Normalise.SYMMETRIC, -1)):
        steps = levels.over((7, 7), Preparation(normalise=normalise))
        assert steps.apply(values).tolist() == [lowest] * 5
    assert levels.scored(Levels(), [values]).apply(values).tolist() == [0] * 5


@pytest.mark.parametrize("datatype", sorted(DTYPES))
@pytest.mark.parametrize("values", [[-1e30, -0.6, 0.5, 1.5, 200.4, 1e30], [-40000, -1, 0, 300]])
def test_a_change_of_type_rounds_and_clips(datatype, values):
    """Whole numbers are the nearest ones that their type holds; nothing wraps round."""
    to = DTYPES[datatype]
    with np.errstate(over="ignore"):  # half precision has no 1e30
        made = tensor.cast(np.array(values, np.float32), to)
    assert made.dtype == to
    if to.kind in "iu":
        limits = np.iinfo(to)
        clipped = [min(max(round(value), limits.min), limits.max) for value in values]
        assert made.tolist()[1:-1] == clipped[1:-1]
        # A float has no value for the greatest of 64 bits: the nearest below it will do.
        assert made.tolist()[0] == clipped[0]
        assert clipped[-1] * (1 - 2**-52) <= made.tolist()[-1] <= clipped[-1]


@pytest.mark.parametrize("source", [np.int16, np.uint8, np.uint16])
@pytest.mark.parametrize("datatype", ["UINT8", "INT8", "INT16", "UINT16", "INT32"])
def test_whole_numbers_clip_into_another_type(source, datatype):
    """From one integer type to another, ends included."""
    held, limits = np.iinfo(source), np.iinfo(DTYPES[datatype])
    values = np.array([held.min, 0, 100, held.max], source)
    expected = [min(max(int(value), limits.min), limits.max) for value in values]
    assert tensor.cast(values, DTYPES[datatype]).tolist() == expected


@pytest.mark.parametrize(
    ("layout", "shape", "expected"),
    [
        ("zyx", (2, 3, 4), (2, 3, 4)),
        ("nyx", (2, 3, 4), (2, 3, 4)),
        ("1czyx", (2, 3, 4), (1, 1, 2, 3, 4)),
        ("nczyx", (2, 3, 4), (1, 1, 2, 3, 4)),
        ("xyz", (2, 3, 4), (4, 3, 2)),
        ("yxz1", (2, 3, 4), (3, 4, 2, 1)),
        ("n1yx", (2, 3, 4), (2, 1, 3, 4)),
        ("yx", (1, 3, 4), (3, 4)),
        ("1cyx", (1, 3, 4), (1, 1, 3, 4)),
        ("nyxc", (2, 3, 4, 3), (2, 3, 4, 3)),
        ("ncyx", (2, 3, 4, 3), (2, 3, 3, 4)),
        ("cxyn", (2, 3, 4, 3), (3, 4, 3, 2)),
    ],
)
def test_a_layout_is_a_permutation(layout, shape, expected):
    """Every value stands where its letters say, once."""
    items = np.arange(np.prod(shape)).reshape(shape)
    made = tensor.laid_out(items, layout)
    assert made.shape == expected
    assert made.flags.c_contiguous
    letters = [letter.replace("n", "z") if "z" not in layout else letter for letter in layout]
    names = "zyxc"[: len(shape)]
    kept = made.squeeze(axis=tuple(at for at, letter in enumerate(letters) if letter not in names))
    held = [letter for letter in letters if letter in names]
    back = kept.transpose([held.index(name) for name in names if name in held])
    assert np.array_equal(back.reshape(shape), items)


def test_grey_is_repeated_for_a_model_that_takes_colours():
    """A declared length of three along c makes three equal colours of grey."""
    items = np.arange(24).reshape(2, 3, 4)
    declared = Input("v", InputKind.IMAGES, Preparation(layout="ncyx"), shape=(-1, 3, -1, -1))
    made = tensor.laid_out(items, tensor.layout(declared), tensor.colours(declared))
    assert made.shape == (2, 3, 3, 4)
    assert all(np.array_equal(made[:, colour], items) for colour in range(3))


def test_a_layout_without_items_holds_one_image():
    """Several images do not fit where the layout has no axis for them."""
    with pytest.raises(Unsuitable, match="room for one image, 2 are given"):
        tensor.laid_out(np.zeros((2, 3, 4)), "yx")


def test_words_hold_no_images():
    """A tensor of strings cannot be an input of images."""
    with pytest.raises(Unsuitable, match="BYTES, which holds no images"):
        tensor.dtype(Input("v", InputKind.VOLUME, datatype="BYTES"), np.dtype(np.int16))
