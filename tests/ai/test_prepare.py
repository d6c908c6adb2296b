"""A stack of slices becomes requests as the contract says, and what is not wanted is refused."""

import math
import mmap
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread

from ai import phantom, volume
from ai.contract import (
    Code,
    Contract,
    Input,
    InputKind,
    Normalise,
    Preparation,
    Wants,
)
from ai.inputs import stack
from ai.prepare import prepare
from dicom.errors import BadAnswer, Unsuitable

CT = Wants(modality="CT", min_slices=4)


def _contract(kind=InputKind.VOLUME, *extra, wants=CT, datatype="", shape=(), **how):
    images = Input("v", kind, Preparation(**how), datatype=datatype, shape=shape)
    code = Code("1", "99TEST", "Test")
    return Contract("a", "1", "", code, wants, (images, *extra), ())


def _whole(prepared, name="v"):
    return np.concatenate([prepared.tensors(batch)[name] for batch in range(prepared.batches)])


@pytest.fixture(scope="module")
def voxels(truth):
    return np.stack([dcmread(path).pixel_array.astype(int) - 1024 for path in truth.files])


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    truth = phantom.write(tmp_path_factory.mktemp("small"), slices=7, size=32, spacing_mm=3)
    return [path.read_bytes() for path in truth.files]


def test_a_volume_is_one_request_of_stored_values(series, voxels):
    """Without a preparation a model is given Hounsfield units, as they are."""
    prepared = prepare(_contract(), series)
    assert (prepared.batches, prepared.is_sequence, prepared.grid.items) == (1, False, 24)
    given = prepared.tensors(0)["v"]
    assert given.dtype == np.int16
    assert np.array_equal(given, voxels)
    assert prepared.tensors(0)["v"] is not None  # a retry asks again
    with pytest.raises(IndexError):
        prepared.tensors(1)


@pytest.mark.parametrize(("kind", "is_sequence"), [("slices", False), ("stream", True)])
def test_slices_are_given_some_at_a_time(series, voxels, kind, is_sequence):
    """The requests together are the volume, in order; the last has what is left."""
    prepared = prepare(_contract(InputKind(kind), batch=10), series)
    assert (prepared.batches, prepared.is_sequence) == (3, is_sequence)
    assert [len(prepared.tensors(batch)["v"]) for batch in range(3)] == [10, 10, 4]
    assert np.array_equal(_whole(prepared), voxels)


def test_a_window_and_a_range_are_applied(series, voxels):
    """Values are cut to the window and brought to the range that is asked for."""
    how = {"window": (-1000, 200), "normalise": Normalise.UNIT}
    given = prepare(_contract(**how), series).tensors(0)["v"]
    assert given.dtype == np.float32
    assert np.allclose(given, (voxels.clip(-1000, 200) + 1000) / 1200, atol=1e-6)


def test_a_range_is_over_the_whole_stack(series):
    """Without a window, 0 and 1 are the least and the greatest voxel of all requests."""
    how = {"normalise": Normalise.UNIT, "batch": 5}
    whole = _whole(prepare(_contract(InputKind.SLICES, **how), series))
    assert (whole.min(), whole.max()) == (0, 1)


@pytest.mark.parametrize("kind", [InputKind.VOLUME, InputKind.SLICES])
def test_a_z_score_is_over_the_whole_stack(series, kind):
    """Mean 0 and deviation 1 over all requests together, after resampling."""
    how = {"normalise": Normalise.ZSCORE, "spacing_mm": (4, 5, 5), "window": (-900, 300)}
    whole = _whole(prepare(_contract(kind, **how), series)).astype(np.float64)
    assert whole.mean() == pytest.approx(0, abs=1e-3)
    assert whole.std() == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("kind", [InputKind.VOLUME, InputKind.SLICES])
def test_a_stack_is_resampled_and_the_spacing_follows(series, kind):
    """The distances between neighbours are the ones asked for, and the model is told them."""
    spacing = Input("mm", InputKind.SPACING, datatype="FP32", shape=(3,))
    prepared = prepare(_contract(kind, spacing, spacing_mm=(2.5, 5, 0)), series)
    assert prepared.grid.items == 48
    assert _whole(prepared).shape == (48, 70, 128)
    assert prepared.tensors(0)["mm"].tolist() == pytest.approx([2.5, 5, 350 / 128], rel=1e-5)


@pytest.mark.parametrize("fit", ["pad", "stretch"])
def test_a_size_is_kept(series, fit):
    """Whatever the Series, the tensor has the size that is asked for."""
    size = {"size": (32, 100, 160), "fit": fit, "layout": "1czyx"}
    given = prepare(_contract(**size), series).tensors(0)["v"]
    assert given.shape == (1, 1, 32, 100, 160)


def test_what_is_padded_has_the_lowest_value(series, voxels):
    """Outside of what is stored stands the lower end of the window, or the least voxel."""
    plain = prepare(_contract(size=(30, 0, 0)), series).tensors(0)["v"]
    assert (plain[:3] == voxels.min()).all()
    assert np.array_equal(plain[3:27], voxels)
    how = {"window": (-2000, 0), "normalise": Normalise.SYMMETRIC, "size": (0, 200, 0)}
    ranged = prepare(_contract(**how), series).tensors(0)["v"]
    assert (ranged[:, :36] == -1).all()
    assert np.allclose(ranged[:, 36:164], voxels.clip(-2000, 0) / 1000 + 1, atol=1e-6)


@pytest.mark.parametrize(
    ("datatype", "dtype"),
    [("FP32", np.float32), ("FP16", np.float16), ("INT32", np.int32), ("UINT8", np.uint8)],
)
def test_the_type_is_what_the_server_declares(series, voxels, datatype, dtype):
    """Values are given in the declared type, clipped to what it holds."""
    given = prepare(_contract(datatype=datatype), series).tensors(0)["v"]
    assert given.dtype == dtype
    limits = (0, 255) if dtype == np.uint8 else (-1024, 4096)
    assert np.array_equal(given, voxels.clip(*limits))


def test_numbers_from_the_header_are_given(series):
    """Attributes are read from the first object; a model that needs one is not asked without."""
    kvp = Input("kvp", InputKind.ATTRIBUTE, keyword="KVP", datatype="FP32", shape=(1,))
    rows = Input("rows", InputKind.ATTRIBUTE, keyword="Rows", datatype="INT32", shape=(-1, 1))
    given = prepare(_contract(InputKind.VOLUME, kvp, rows), series).tensors(0)
    assert (given["kvp"].tolist(), given["rows"].tolist()) == ([120], [[128]])
    weight = Input("kg", InputKind.ATTRIBUTE, keyword="PatientWeight")
    with pytest.raises(Unsuitable, match="PatientWeight is no single number"):
        prepare(_contract(InputKind.VOLUME, weight), series)


@pytest.mark.parametrize(
    ("age", "years"), [("045Y", 45), ("018M", 1.5), ("026W", 26 * 7 / 365.25), ("003D", 3 / 365.25)]
)
def test_an_age_is_given_in_years(edited, age, years):
    """PatientAge counts days, weeks, months or years (PS3.5 6.2); a model gets years."""
    asked = Input("age", InputKind.ATTRIBUTE, keyword="PatientAge")
    objects = edited(lambda _, ds: setattr(ds, "PatientAge", age))
    given = prepare(_contract(InputKind.VOLUME, asked), objects).tensors(0)
    assert given["age"].tolist() == pytest.approx([years])


@pytest.mark.parametrize("axis", ["x", "y", "z"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"spacing_mm": (4, 3, 7)},
        {"size": (31, 99, 140)},
        {"size": (9, 64, 64), "fit": "stretch"},
    ],
)
def test_a_flip_mirrors_the_tensor_and_undoes_itself(series, axis, how):
    """Mirrored along an axis all values stand in reverse order; twice is as before."""
    prepared = prepare(_contract(InputKind.SLICES, **how), series)
    mirrored = prepared.flipped(axis)
    straight = _whole(prepared)
    assert np.array_equal(_whole(mirrored), np.flip(straight, "zyx".index(axis)))
    assert np.array_equal(_whole(mirrored.flipped(axis)), straight)
    assert mirrored.pixel_digest != prepared.pixel_digest


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(7)))
def test_the_digest_is_the_same_in_any_order_of_files(small, order):
    """How objects came says nothing about what the model is given."""
    contract = _contract(InputKind.SLICES, batch=3)
    shuffled = prepare(contract, [small[at] for at in order])
    assert shuffled.pixel_digest == prepare(contract, small).pixel_digest


@settings(max_examples=15, deadline=None)
@given(z=st.integers(0, 6), at=st.integers(0, 1023), bit=st.integers(0, 10))
def test_the_digest_is_another_for_any_other_voxel(small, z, at, bit):
    """One bit of one voxel is enough."""
    changed = bytearray(small[z])
    changed[len(changed) - 2048 + 2 * at + bit // 8] ^= 1 << bit % 8
    objects = [bytes(changed) if index == z else one for index, one in enumerate(small)]
    assert prepare(_contract(), objects).pixel_digest != prepare(_contract(), small).pixel_digest


def test_the_digest_is_another_for_any_other_preparation(small):
    """Each setting and each further input is part of what the model is given."""
    kvp = Input("k", InputKind.ATTRIBUTE, keyword="KVP")
    number = Input("k", InputKind.ATTRIBUTE, keyword="InstanceNumber")
    contracts = [
        _contract(),
        _contract(InputKind.SLICES),
        _contract(InputKind.SLICES, batch=2),
        _contract(window=(0, 1)),
        _contract(window=(0, 2)),
        _contract(size=(8, 32, 32)),
        _contract(spacing_mm=(2, 2, 2)),
        _contract(layout="xyz"),
        _contract(datatype="FP32"),
        _contract(InputKind.VOLUME, kvp),
        _contract(InputKind.VOLUME, number),
    ]
    digests = [prepare(contract, small).pixel_digest for contract in contracts]
    assert len(set(digests)) == len(contracts)
    assert all(len(digest) == 64 for digest in digests)


def test_the_digest_is_another_for_any_other_spacing(edited):
    """The same voxels at other distances are resampled to other ones."""
    contract = _contract(spacing_mm=(2, 2, 2))
    wider = edited(lambda _, ds: setattr(ds, "PixelSpacing", [3.0, 3.0]))
    narrower = edited(lambda _, ds: setattr(ds, "PixelSpacing", [2.5, 2.5]))
    assert prepare(contract, wider).pixel_digest != prepare(contract, narrower).pixel_digest


def test_the_digest_is_another_for_any_other_number_from_the_header(edited):
    """A model that is told the tube voltage may answer otherwise about the same voxels."""
    contract = _contract(InputKind.VOLUME, Input("k", InputKind.ATTRIBUTE, keyword="KVP"))
    digests = [
        prepare(contract, edited(lambda _, ds, kvp=kvp: setattr(ds, "KVP", kvp))).pixel_digest
        for kvp in (100, 120)
    ]
    assert digests[0] != digests[1]


def test_the_digest_is_not_computed_again(series, monkeypatch):
    """To read it prepares nothing: a cache may ask for it as often as it likes."""
    prepared = prepare(_contract(InputKind.SLICES, spacing_mm=(1, 1, 1)), series)
    monkeypatch.setattr(stack.PreparedStack, "slices", None)
    assert prepared.pixel_digest == prepared.pixel_digest


def _without_rescale(_, ds):
    ds.Modality = "MR"
    del ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType


def test_an_mr_without_rescale_is_given_as_stored(edited, voxels):
    """Where the modality has no unit of its own, slope is 1 and intercept 0."""
    wants = replace(CT, modality="MR")
    given = prepare(_contract(wants=wants), edited(_without_rescale)).tensors(0)["v"]
    assert np.array_equal(given, voxels + 1024)


def test_a_pet_with_a_slope_for_each_slice_keeps_its_fractions(edited, voxels):
    """Slopes may differ from slice to slice and be far below one."""

    def counts(z, ds):
        ds.Modality, ds.RescaleType = "PT", "BQML"
        ds.RescaleSlope, ds.RescaleIntercept = 0.001 * (z + 1), 0

    wants = replace(CT, modality="PT")
    given = prepare(_contract(wants=wants), edited(counts)).tensors(0)["v"]
    slopes = 0.001 * np.arange(1, 25)[:, np.newaxis, np.newaxis]
    assert given.dtype == np.float32
    assert np.allclose(given, (voxels + 1024) * slopes, rtol=1e-6, atol=0)


def test_bits_that_are_not_stored_do_not_count(edited, voxels):
    """What stands above the stored bits is not part of a value (PS3.5 8.1.1)."""

    def dirty(_, ds):
        stored = np.frombuffer(ds.PixelData, "<u2") | 0xA000
        ds.PixelData = stored.tobytes()

    assert np.array_equal(prepare(_contract(), edited(dirty)).tensors(0)["v"], voxels)


def test_a_tensor_of_two_gigabytes_is_refused(series):
    """What no message can carry is refused before it is made."""
    with pytest.raises(Unsuitable, match="larger than 2 GiB"):
        prepare(_contract(spacing_mm=(0.3, 0.2, 0.2), datatype="FP32"), series)
    fits = _contract(InputKind.SLICES, spacing_mm=(0.3, 0.2, 0.2), datatype="FP32", batch=1)
    assert prepare(fits, series).batches == 400


def test_an_axis_that_would_become_too_long_is_refused(series):
    """A spacing in the wrong unit is named, and no memory is asked for."""
    with pytest.raises(Unsuitable, match=r"pixels comes of a spacing of 0\.0001 mm"):
        prepare(_contract(spacing_mm=(0.0001, 1, 1)), series)


def test_a_fixed_batch_that_does_not_come_out_even_is_named(series):
    """A tensor that takes exactly so many items cannot take what is left over."""
    with pytest.raises(BadAnswer, match="exactly 10 at a time, and 24 are given"):
        prepare(_contract(InputKind.SLICES, batch=10, shape=(10, -1, -1)), series)
    assert prepare(_contract(InputKind.SLICES, batch=8, shape=(8, -1, -1)), series).batches == 3


@pytest.mark.parametrize("kinds", [[], [InputKind.VOLUME, InputKind.SLICES]])
def test_a_contract_has_one_input_of_images(series, kinds):
    """None, or two, is the contract's fault."""
    inputs = tuple(Input(kind, kind) for kind in kinds)
    with pytest.raises(BadAnswer, match=f"{len(kinds)} inputs of images"):
        prepare(replace(_contract(), inputs=inputs), series)


def test_nothing_holds_on_to_a_mapped_spool(tmp_path, series):
    """A stack is copied while it is prepared: its file can be closed at once."""
    path = tmp_path / "segment"
    path.write_bytes(b"".join(series))
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with memoryview(mapped) as whole:
        ends = np.cumsum([len(part10) for part10 in series]).tolist()
        views = [whole[end - len(part10) : end] for end, part10 in zip(ends, series, strict=True)]
        prepared = prepare(_contract(), views)
        for view in views:
            view.release()
    mapped.close()
    assert prepared.tensors(0)["v"].shape == (24, 128, 128)


def test_any_distance_serves_a_contract_that_states_none(series):
    """The default wants no more than one patient's evenly spaced slices."""
    assert math.isinf(CT.max_spacing_mm)
    assert volume.read(series, CT).spacing_mm[0] == 5
