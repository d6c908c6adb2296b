"""What a model says about what it was given lands where it belongs in the stored images."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from ai.contract import Code, Contract, Input, InputKind, Normalise, Preparation, Wants
from ai.header import Reference, Source
from ai.inputs import stack
from ai.inputs.axis import plan
from ai.inputs.grid import ImagesGrid
from ai.prepared import Spot
from ai.volume import Volume
from dicom.errors import BadAnswer

SOURCE = Source("1.2", "1.2.3", (Reference("1.2.4", "1.2.5"),), Dataset())
FLIPS = st.lists(st.sampled_from("xyz"), max_size=3, unique=True)
MOVED = st.builds(
    Preparation,
    size=st.none() | st.tuples(*[st.sampled_from([0, 20, 24, 31, 32, 40])] * 3),
    layout=st.sampled_from(["zyx", "1czyx", "xyz"]),
)
SCALED = st.builds(
    Preparation,
    spacing_mm=st.none() | st.tuples(*[st.floats(0.6, 1.25)] * 3),
    size=st.none() | st.tuples(*[st.sampled_from([0, 24, 30, 36])] * 3),
    fit=st.just("stretch"),
)
ANY = st.builds(
    Preparation,
    spacing_mm=st.none() | st.tuples(*[st.floats(0.4, 3)] * 3),
    size=st.none() | st.tuples(*[st.integers(0, 50)] * 3),
    fit=st.sampled_from(["pad", "stretch"]),
)


def _prepared(voxels, preparation, flips=(), kind=InputKind.VOLUME):
    images = Input("v", kind, preparation)
    contract = Contract("a", "1", "", Code("1", "99", "x"), Wants("MR"), (images,), ())
    made = stack.prepare(contract, Volume(voxels, (1.0, 1.0, 1.0), SOURCE, b""))
    for axis in flips:
        made = made.flipped(axis)
    return made


def _straight(prepared):
    """Undo the layout: the given array with axes (z, y, x)."""
    given = prepared.tensors(0)["v"]
    if prepared.images.preparation.layout == "xyz":
        return given.transpose(2, 1, 0)
    return given.reshape(given.shape[-3:])


def _ball(shape, middle, radius):
    place = np.indices(shape) + 0.5
    away = sum((axis - at) ** 2 for axis, at in zip(place, middle, strict=True))
    return (away <= radius**2).astype(np.int16) * 1000


@settings(max_examples=60, deadline=None)
@given(
    preparation=MOVED,
    flips=FLIPS,
    middle=st.tuples(*[st.floats(6, 26)] * 3),
    radius=st.floats(2, 12),
)
def test_a_mask_comes_back_as_it_was_drawn(preparation, flips, middle, radius):
    """Padded, cut, mirrored, in any layout: each pixel that was given has its own label again."""
    drawn = _ball((32, 32, 32), middle, radius)
    prepared = _prepared(drawn, preparation, flips)
    labels = (_straight(prepared) > 500).astype(np.uint8)
    back = np.stack(prepared.grid.labels(labels))
    was_given = np.ones(drawn.shape, bool)
    for which, axis in enumerate(prepared.grid.axes):
        shape = [1, 1, 1]
        shape[which] = -1
        was_given &= (axis.nearest() >= 0).reshape(shape)
    assert np.array_equal(back[was_given], drawn[was_given] > 500)
    assert not back[~was_given].any()


@settings(max_examples=40, deadline=None)
@given(preparation=SCALED, flips=FLIPS, middle=st.tuples(*[st.floats(15, 17)] * 3))
def test_a_resampled_mask_overlaps_the_drawn_one(preparation, flips, middle):
    """Resampled there and back, a mask is the same but for its border: Dice above 0.95."""
    drawn = _ball((32, 32, 32), middle, 13)
    prepared = _prepared(drawn, preparation, flips)
    back = np.stack(prepared.grid.labels((_straight(prepared) > 500).astype(np.uint8)))
    is_drawn = drawn > 500
    dice = 2 * (back.astype(bool) & is_drawn).sum() / (back.sum() + is_drawn.sum())
    assert dice > 0.95


@settings(max_examples=150, deadline=None)
@given(
    preparation=ANY,
    flips=FLIPS,
    place=st.tuples(*[st.integers(2, 21)] * 3),
    kind=st.sampled_from([InputKind.VOLUME, InputKind.SLICES]),
)
def test_a_bright_voxel_is_found_where_it_is(preparation, flips, place, kind):
    """The brightest given pixel leads back to within half a given pixel of the stored one."""
    voxels = np.zeros((24, 24, 24), np.int16)
    voxels[place] = 30000
    prepared = _prepared(voxels, preparation, flips, kind)
    given = np.concatenate([prepared.tensors(at)["v"] for at in range(prepared.batches)])
    if given.max() <= 0:
        return  # it was cut away
    z, y, x = np.unravel_index(given.argmax(), given.shape)
    spot = prepared.grid.spot(float(z), y + 0.5, x + 0.5)
    axes = prepared.grid.axes
    reach = [0.5 + max(1, axis.scale) / 2 + 1e-6 for axis in axes]
    if spot is None:  # the given pixel is stretched over the edge of what is stored
        assert any(at < 3 or at > 20 for at in place)
        return
    assert abs(spot.image - place[0]) <= reach[0] + 0.5
    assert abs(spot.row - (place[1] + 0.5)) <= reach[1]
    assert abs(spot.column - (place[2] + 0.5)) <= reach[2]


@settings(max_examples=150, deadline=None)
@given(preparation=ANY, flips=FLIPS, place=st.tuples(*[st.floats(0.1, 23.9)] * 3))
def test_a_spot_leads_back_to_its_place(preparation, flips, place):
    """To within a hair, whatever was done to the images; what was cut away has no place."""
    grid = _prepared(np.zeros((24, 24, 24), np.int16), preparation, flips).grid
    there = [float(axis.to_given(at)) for axis, at in zip(grid.axes, place, strict=True)]
    spot = grid.spot(*there)
    ends = [(at, axis.given - at) for axis, at in zip(grid.axes, there, strict=True)]
    if min(abs(end) for pair in ends for end in pair) > 1e-6:  # on the very edge either will do
        assert (spot is not None) == all(min(pair) > 0 for pair in ends)
    is_between = abs(place[0] - round(place[0])) < 1e-6  # two slices: either will do
    if spot is not None and not is_between and not there[0].is_integer():
        assert spot == Spot(
            int(place[0]), pytest.approx(place[1], abs=1e-6), pytest.approx(place[2], abs=1e-6)
        )


@pytest.mark.parametrize("flips", ["", "z", "xyz"])
def test_a_whole_number_of_z_names_its_slice(flips):
    """Items are counted from 0, and stay the same items when the stack is mirrored."""
    voxels = np.arange(6, dtype=np.int16)[:, np.newaxis, np.newaxis] * np.ones((1, 4, 4), np.int16)
    prepared = _prepared(voxels, Preparation(), flips, InputKind.SLICES)
    for item, one in enumerate(prepared.tensors(0)["v"]):
        assert prepared.grid.spot(item, 1, 1).image == one[0, 0]
        assert prepared.grid.image(item) == one[0, 0]
    assert prepared.grid.spot(6, 1, 1) is None
    assert prepared.grid.image(-1) is None


@settings(max_examples=60, deadline=None)
@given(preparation=SCALED, flips=FLIPS)
def test_values_come_back_linearly(preparation, flips):
    """A slope that was resampled is the same slope again, but at the outermost pixels."""
    z, y, x = np.indices((20, 20, 20)) + 0.5
    slope = (3 * z + 20 * y - 7 * x).astype(np.float32)
    prepared = _prepared(slope, preparation, flips)
    back = np.stack(prepared.grid.values(_straight(prepared)))
    assert back.dtype == np.float32
    inner = (slice(3, -3),) * 3
    assert np.allclose(back[inner], slope[inner], atol=0.02)


def test_coarser_values_are_stretched():
    """A heat map of fewer pixels lies over the whole of what was given."""
    grid = _prepared(np.zeros((8, 16, 16), np.int16), Preparation()).grid
    coarse = np.zeros((2, 4, 4), np.float32)
    coarse[1, 3, 0] = 1
    made = np.stack(grid.values(coarse))
    assert made.shape == (8, 16, 16)
    assert (made[6:, 14:, :2] == 1).all()
    assert (made[:2] == 0).all()
    assert (made[:, :, 8:] == 0).all()
    assert np.stack(grid.values(np.full((1, 1, 1), 3.5))) == pytest.approx(3.5)


def test_arrays_are_made_one_by_one():
    """A long stack is led back slice by slice; each can be asked for as often as one likes."""
    array = np.arange(6 * 16, dtype=np.uint8).reshape(6, 4, 4)
    made = _prepared(np.zeros((6, 4, 4), np.int16), Preparation()).grid.labels(array)
    assert len(made) == 6
    assert np.array_equal(made[-1], array[5])
    assert np.array_equal(np.stack(made[1:3]), array[1:3])
    assert np.array_equal(np.stack(made), np.stack(made))
    with pytest.raises(IndexError):
        made[6]


def test_what_was_not_given_has_no_value():
    """Outside of what the model saw stands 0."""
    grid = _prepared(np.zeros((4, 10, 10), np.int16), Preparation(size=(2, 4, 10))).grid
    made = np.stack(grid.values(np.ones((2, 4, 10), np.float32)))
    assert made.sum() == 2 * 4 * 10
    assert (made[1:3, 3:7] == 1).all()


@pytest.mark.parametrize("shape", [(8, 16), (8, 16, 15), (7, 16, 16), (1, 8, 16, 16), (0, 16, 16)])
def test_labels_of_another_shape_are_a_bad_answer(shape):
    """A mask of another size than the input cannot be laid over it."""
    grid = _prepared(np.zeros((8, 16, 16), np.int16), Preparation()).grid
    with pytest.raises(BadAnswer, match="the input was"):
        grid.labels(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(8, 16), (8, 16, 17), (0, 1, 1), (1, 8, 16, 16)])
def test_finer_values_are_a_bad_answer(shape):
    """Values have as many pixels as the input, or fewer."""
    grid = _prepared(np.zeros((8, 16, 16), np.int16), Preparation()).grid
    with pytest.raises(BadAnswer, match="the input was"):
        grid.values(np.zeros(shape, np.float32))


def _images_grid():
    how = Preparation(size=(12, 12))
    shapes = ((10, 20), (16, 8))
    return ImagesGrid(
        [(plan(rows, 1.0, how, -2), plan(columns, 1.0, how, -1)) for rows, columns in shapes]
    )


def test_images_of_several_sizes_have_their_own_way_back():
    """Labels, values and spots of each image, cut or padded by itself."""
    grid = _images_grid()
    labels = np.arange(288).reshape(2, 12, 12) % 250 + 1
    first, second = grid.labels(labels.astype(np.uint8))
    assert (first.shape, second.shape) == ((10, 20), (16, 8))
    assert np.array_equal(first[:, 4:16], labels[0, 1:11])
    assert not first[:, :4].any()
    assert np.array_equal(second[2:14], labels[1][:, 2:10])
    values = grid.values(labels.astype(np.float32))
    assert np.array_equal(values[0], first)
    assert grid.spot(0, 1.5, 0.5) == Spot(0, 0.5, 4.5)
    assert grid.spot(1, 0.25, 2.75) == Spot(1, 2.25, 0.75)
    assert grid.spot(1, 0.25, 1.75) is None
    assert grid.spot(2, 1, 1) is None
    assert (grid.items, grid.image(1), grid.image(2)) == (2, 1, None)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_mirrored_images_are_mirrored_back(axis):
    """A mirrored answer about mirrored images is the straight answer."""
    grid = _images_grid()
    labels = np.random.default_rng(3).integers(0, 5, (2, 12, 12)).astype(np.uint8)
    mirrored = np.flip(labels, 1 if axis == "y" else 2)
    straight = grid.labels(labels)
    back = grid.flipped(axis).labels(mirrored)
    assert all(np.array_equal(one, two) for one, two in zip(straight, back, strict=True))


@pytest.mark.parametrize("shape", [(1, 12, 12), (2, 11, 12), (2, 12)])
def test_answers_about_other_images_are_bad(shape):
    """One row for each image, of its own size."""
    with pytest.raises(BadAnswer):
        _images_grid().labels(np.zeros(shape, np.uint8))


def test_a_normalised_stack_leads_back_as_any_other():
    """What was done to the values has no part in where they lie."""
    how = Preparation(normalise=Normalise.ZSCORE, size=(9, 9, 9))
    grid = _prepared(np.random.default_rng(4).normal(size=(9, 9, 9)).astype("f4"), how).grid
    assert grid.spot(3, 4.5, 5.5) == Spot(3, 4.5, 5.5)
