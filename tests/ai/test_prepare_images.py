"""Radiographs and other single images become requests, seen as their objects want to be seen."""

import numpy as np
import pytest
from hypothesis import given as property_of
from hypothesis import settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from ai import phantom
from ai.contract import Code, Contract, Input, InputKind, Normalise, Preparation, Wants
from ai.prepare import prepare
from ai.prepared import Spot
from dicom.errors import BadAnswer, Unsuitable

UNIT = {"normalise": Normalise.UNIT}
RAMP = np.arange(600, dtype="<u2").reshape(20, 30)


def _contract(*extra, wants=(), shape=(), **how):
    images = Input("v", InputKind.IMAGES, Preparation(**how), shape=shape)
    wanted = Wants("DX", **{"min_slices": 1, **dict(wants)})
    return Contract("a", "1", "", Code("1", "99TEST", "Test"), wanted, (images, *extra), ())


@pytest.fixture(scope="module")
def image(encode):
    """Make one radiograph of the given stored values, with attributes changed by keyword."""

    def make(stored=RAMP, number=1, syntax=ExplicitVRLittleEndian, **values):
        stored = np.asarray(stored)
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
        ds.SOPClassUID = DigitalXRayImageStorageForPresentation
        ds.SOPInstanceUID = f"2.25.7{number}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = "2.25.5", "2.25.6"
        ds.PatientID, ds.PatientName = phantom.Patient().patient_id, phantom.Patient().name
        ds.Modality, ds.InstanceNumber = "DX", number
        ds.Rows, ds.Columns = stored.shape[:2]
        ds.SamplesPerPixel = 1 if stored.ndim == 2 else 3
        ds.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
        if stored.ndim == 3:
            ds.PlanarConfiguration = 0
        ds.BitsAllocated = stored.itemsize * 8
        ds.BitsStored = 12 if stored.itemsize == 2 else 8
        ds.HighBit, ds.PixelRepresentation = ds.BitsStored - 1, 0
        ds.PixelSpacing = [0.2, 0.1]
        ds.PixelData = stored.tobytes()
        for keyword, value in values.items():
            if value is None:
                delattr(ds, keyword)
            else:
                setattr(ds, keyword, value)
        if syntax == RLELossless:
            ds.compress(RLELossless)
        return encode(ds)

    return make


def _given(contract, *objects, batch=0):
    return prepare(contract, objects).tensors(batch)["v"]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_an_image_is_given_as_stored(image, syntax):
    """Without a preparation a model sees the stored values, whatever their encoding."""
    given = _given(_contract(), image(syntax=syntax))
    assert given.shape == (1, 20, 30)
    assert np.array_equal(given[0], RAMP)


def test_each_image_keeps_its_own_header(image):
    """Of two breasts in one Series each says for itself which way it is looked at."""
    sides = [["P", "L"], ["A", "R"]]
    objects = [image(number=i, PatientOrientation=sides[i]) for i in (1, 0)]
    source = prepare(_contract(), objects).source
    assert [list(source.head_of(i).PatientOrientation) for i in (0, 1)] == sides


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_images_are_in_the_order_of_their_numbers(image, order):
    """InstanceNumber orders items, whatever order files come in; the digest is the same."""
    objects = [image(RAMP + number, number) for number in (1, 2, 3)]
    prepared = prepare(_contract(batch=2), [objects[at] for at in order])
    assert (prepared.batches, prepared.grid.items, prepared.is_sequence) == (2, 3, False)
    whole = np.concatenate([prepared.tensors(batch)["v"] for batch in range(2)])
    assert whole[:, 0, 0].tolist() == [1, 2, 3]
    uids = [reference.sop_instance_uid for reference in prepared.source.references]
    assert uids == ["2.25.71", "2.25.72", "2.25.73"]
    assert prepared.pixel_digest == prepare(_contract(batch=2), objects).pixel_digest


def test_the_digest_is_another_for_any_other_value(image):
    """A pixel, a shape, a window or a setting: each makes it another input."""
    turned = RAMP.copy()
    turned[3, 4] += 1
    made = [
        prepare(_contract(), [image()]),
        prepare(_contract(), [image(turned)]),
        prepare(_contract(), [image(RAMP.reshape(30, 20))]),
        prepare(_contract(**UNIT), [image()]),
        prepare(_contract(**UNIT), [image(WindowCenter=50, WindowWidth=100)]),
        prepare(_contract(), [image(), image(RAMP, 2)]),
        prepare(_contract(Input("mm", InputKind.SPACING)), [image()]),
        prepare(_contract(Input("mm", InputKind.SPACING)), [image(PixelSpacing=[0.3, 0.1])]),
    ]
    assert len({one.pixel_digest for one in made}) == len(made)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, lambda v: v / 599),
        ({"WindowCenter": 200.5, "WindowWidth": 101}, lambda v: (v.clip(150, 250) - 150) / 100),
        (
            {"WindowCenter": 200, "WindowWidth": 100, "VOILUTFunction": "LINEAR_EXACT"},
            lambda v: (v.clip(150, 250) - 150) / 100,
        ),
        (
            {"WindowCenter": [200.5, 900], "WindowWidth": [101, 50]},
            lambda v: (v.clip(150, 250) - 150) / 100,
        ),
        (
            {
                "RescaleSlope": 2,
                "RescaleIntercept": -100,
                "WindowCenter": 200.5,
                "WindowWidth": 101,
            },
            lambda v: ((2 * v - 100).clip(150, 250) - 150) / 100,
        ),
    ],
)
@pytest.mark.parametrize("is_inverted", [False, True])
def test_an_image_is_ranged_as_it_wants_to_be_seen(image, values, expected, is_inverted):
    """Its own window is the range; white is high, also where the object says the contrary."""
    kind = "MONOCHROME1" if is_inverted else "MONOCHROME2"
    given = _given(_contract(**UNIT), image(PhotometricInterpretation=kind, **values))
    shown = expected(RAMP.astype(float))
    assert np.allclose(given[0], 1 - shown if is_inverted else shown, atol=1e-5)


def test_the_window_of_the_contract_goes_before_the_object_s(image):
    """What a model was trained on is what counts; of MONOCHROME1 it is about bright as high."""
    contract = _contract(window=(100, 300), **UNIT)
    given = _given(contract, image(WindowCenter=50, WindowWidth=10))
    assert np.allclose(given[0], (RAMP.clip(100, 300) - 100.0) / 200, atol=1e-6)
    inverted = _given(contract, image(4095 - RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(given, inverted)


@settings(max_examples=30, deadline=None)
@property_of(values=st.lists(st.integers(-2048, 2047), min_size=4, max_size=4))
def test_monochrome1_is_inverted_over_what_can_be_stored(image, values):
    """Signed values, not ranged: the least that can be stored becomes the greatest."""
    stored = np.array(values, "<i2").reshape(2, 2)
    signed = {"PixelRepresentation": 1, "PhotometricInterpretation": "MONOCHROME1"}
    given = _given(_contract(), image(stored, **signed))
    assert np.array_equal(given[0], -1 - stored)


def _table(values, first=0):
    item = Dataset()
    item.LUTDescriptor = [len(values), first, 12]
    item.add_new("LUTData", "OW", np.array(values, "<u2").tobytes())
    item.ModalityLUTType = "US"
    return Sequence([item])


def test_tables_are_applied(image):
    """A Modality LUT stands for the rescale; a VOI LUT is how an object wants to be seen."""
    table = (np.arange(600) ** 2 // 100).clip(0, 4095)
    given = _given(_contract(), image(ModalityLUTSequence=_table(table)))
    assert np.array_equal(given[0], table[RAMP])
    shown = _given(_contract(**UNIT), image(VOILUTSequence=_table(table)))
    assert np.allclose(shown[0], table[RAMP] / 4095, atol=1e-5)
    unseen = _given(_contract(), image(VOILUTSequence=_table(table)))
    assert np.array_equal(unseen[0], RAMP)


def test_images_of_several_sizes_go_one_by_one_or_to_one_size(image):
    """They share a request only when the contract makes them one size."""
    objects = [image(), image(RAMP.reshape(30, 20), 2)]
    with pytest.raises(Unsuitable, match="differ in size"):
        prepare(_contract(), objects)
    single = prepare(_contract(batch=1), objects)
    assert [single.tensors(at)["v"].shape for at in range(2)] == [(1, 20, 30), (1, 30, 20)]
    same = prepare(_contract(size=(32, 32)), objects)
    given = same.tensors(0)["v"]
    assert given.shape == (2, 32, 32)
    assert np.array_equal(given[0, 6:26, 1:31], RAMP)
    labels = same.grid.labels((given > 300).astype(np.uint8))
    assert np.array_equal(labels[0], RAMP > 300)
    assert np.array_equal(labels[1], RAMP.reshape(30, 20) > 300)


def test_the_spacing_is_that_of_what_is_given(image):
    """Resampled by each image's own spacing, detector's if there is no other."""
    spacing = Input("mm", InputKind.SPACING, datatype="FP32", shape=(2,))
    prepared = prepare(_contract(spacing, spacing_mm=(0.4, 0.4)), [image()])
    given = prepared.tensors(0)
    assert given["v"].shape == (1, 10, 8)
    assert given["mm"].tolist() == pytest.approx([0.4, 0.4])
    detector = image(PixelSpacing=None, ImagerPixelSpacing=[0.3, 0.3])
    assert prepare(_contract(spacing), [detector]).tensors(0)["mm"] == pytest.approx([0.3, 0.3])
    assert prepare(_contract(), [detector]).source.planes[0].spacing_mm == (0.3, 0.3)


def test_a_z_score_is_over_all_images(image):
    """Mean 0 and deviation 1 over all requests together."""
    objects = [image(RAMP * number, number) for number in (1, 2, 3)]
    prepared = prepare(_contract(normalise=Normalise.ZSCORE, batch=1), objects)
    whole = np.concatenate([prepared.tensors(at)["v"] for at in range(3)]).astype(float)
    assert (whole.mean(), whole.std()) == pytest.approx((0, 1), abs=1e-4)


@pytest.mark.parametrize("axis", ["x", "y"])
def test_a_flip_mirrors_each_image(image, axis):
    """Mirrored values, and spots that lead back."""
    prepared = prepare(_contract(), [image()])
    mirrored = prepared.flipped(axis)
    assert np.array_equal(
        mirrored.tensors(0)["v"], np.flip(prepared.tensors(0)["v"], 1 if axis == "y" else 2)
    )
    place = (19.5, 2.5) if axis == "y" else (0.5, 27.5)
    assert mirrored.grid.spot(0, *place) == Spot(0, 0.5, 2.5)
    with pytest.raises(BadAnswer, match="no z"):
        prepared.flipped("z")


def test_colours_are_given_where_the_layout_has_them(image):
    """Red, green and blue along c; grey is repeated where three colours are declared."""
    coloured = np.random.default_rng(5).integers(0, 255, (8, 6, 3)).astype(np.uint8)
    given = _given(_contract(layout="ncyx"), image(coloured))
    assert np.array_equal(given, coloured.transpose(2, 0, 1)[np.newaxis])
    unit = _given(_contract(layout="nyxc", **UNIT), image(coloured))
    assert np.allclose(unit[0], coloured / 255, atol=1e-6)
    grey = _given(_contract(layout="ncyx", shape=(-1, 3, -1, -1)), image())
    assert grey.shape == (1, 3, 20, 30)
    assert all(np.array_equal(grey[0, colour], RAMP) for colour in range(3))


@pytest.mark.parametrize("how", [{}, {"layout": "ncyx", "shape": (-1, 1, -1, -1)}])
def test_colour_is_refused_where_grey_is_wanted(image, how):
    """A model of grey images is not asked about colours."""
    coloured = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(Unsuitable, match="in colour; grey is wanted"):
        prepare(_contract(**how), [image(coloured)])


@pytest.mark.parametrize(
    ("values", "contract", "words"),
    [
        ({"Modality": "CR"}, _contract(), "not of Modality DX"),
        ({"NumberOfFrames": 2}, _contract(), "multi-frame"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, _contract(), "neither grey nor plain"),
        ({"PixelData": b"\0\0"}, _contract(), "cannot be decoded"),
        ({"PixelData": None}, _contract(), "cannot be decoded"),
        ({"Rows": 0}, _contract(), "do not fit together"),
        ({"BitsStored": None}, _contract(), "no BitsStored"),
        ({"RescaleSlope": 0}, _contract(), "RescaleSlope is 0"),
        ({"ViewPosition": "AP"}, _contract(wants={"views": ("PA",)}), "none of PA"),
        ({"PixelSpacing": None}, _contract(spacing_mm=(1, 1)), "neither PixelSpacing nor"),
        ({"PixelSpacing": [0, 1]}, _contract(Input("m", InputKind.SPACING)), "neither Pixel"),
        (
            {"WindowCenter": 1, "WindowWidth": 2, "VOILUTFunction": "SIGMOID"},
            _contract(**UNIT),
            "SIGMOID; state a window",
        ),
        ({"ModalityLUTSequence": _table([])}, _contract(), "ModalityLUTSequence is shorter"),
    ],
)
@pytest.mark.p6
def test_what_cannot_be_given_is_refused(image, values, contract, words):
    """Each image that is not wanted is refused in words without a patient's data."""
    with pytest.raises(Unsuitable, match=words) as refusal:
        prepare(contract, [image(**values)])
    assert not [value for value in phantom.Patient().strings if value in str(refusal.value)]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"StudyInstanceUID": "2.25.9"}, "not all of one study"),
        ({"PatientID": "SOMEBODY"}, "not all of one study"),
        ({"SOPInstanceUID": "2.25.71"}, "same SOPInstanceUID"),
        ({"PixelSpacing": [0.4, 0.4]}, "differ in PixelSpacing"),
    ],
)
def test_images_that_do_not_belong_together_are_refused(image, other, words):
    """One request is about one patient's images, at one scale where the model is told it."""
    contract = _contract(Input("mm", InputKind.SPACING))
    with pytest.raises(Unsuitable, match=words):
        prepare(contract, [image(), image(RAMP, 2, **other)])


@pytest.mark.parametrize("least", [0, 1, 4])
def test_too_few_images_are_refused(image, least):
    """Nothing is no input, and a model of four views is not asked about one."""
    contract = _contract(wants={"min_slices": least})
    objects = [image(RAMP, number) for number in range(1, least)]
    with pytest.raises(Unsuitable, match=rf"{len(objects)} images; at least {max(1, least)}"):
        prepare(contract, objects)


@pytest.mark.parametrize(("code", "view"), [("399368009", "MLO"), ("R-10242", "CC")])
def test_a_mammogram_s_view_may_be_a_code(image, code, view):
    """Where ViewPosition is absent, the coded view tells (PS3.3 C.8.11.7)."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "View"
    one = image(ViewCodeSequence=Sequence([item]))
    assert prepare(_contract(wants={"views": (view,)}), [one]).batches == 1
    with pytest.raises(Unsuitable, match="ViewPosition"):
        prepare(_contract(wants={"views": ("XCCL",)}), [one])
