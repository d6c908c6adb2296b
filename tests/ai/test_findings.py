"""An answer about a whole volume becomes findings only when it keeps the contract."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ai import findings
from ai.contract import (
    Class,
    Code,
    Input,
    InputKind,
    Output,
    OutputKind,
    Preparation,
    Quantity,
    Trust,
)
from ai.findings import Box, Embedding, Heatmap, Mask, Point, Text, Verdict
from ai.inputs.axis import Axis
from ai.inputs.grid import StackGrid
from dicom.errors import BadAnswer, InferenceFault, Unsuitable

NO_WORDS = np.array([b""], dtype=np.object_)
NODULE = Code("27925004", "SCT", "Nodule")
OTHER = Code("OTHER", "99PENUMBRA", "Other")
NUMBER = Quantity(NODULE, Code("1", "UCUM", "no units"), None, 0, 10, 1)
GRID = StackGrid((Axis(3, 3), Axis(4, 4), Axis(5, 5)))
"""Three slices of 4 rows and 5 columns, given as they are."""


def f32(value):
    return np.array(value, dtype=np.float32)


def _answer(value, refusal=NO_WORDS):
    return {"laa950_percent": value, "refusal": refusal}


@pytest.fixture
def volume_contract(contract):
    """A contract about a volume with the outputs that a test names."""

    def make(*outputs, layout="zyx", trust=None):
        image = Input("volume", InputKind.VOLUME, Preparation(layout=layout))
        return replace(contract, inputs=(image,), outputs=outputs, trust=trust or Trust())

    return make


@pytest.fixture
def one(volume_contract):
    """Read the only finding of an answer about a volume."""

    def read(output, array, grid=GRID, **keys):
        return findings.read(volume_contract(output, **keys), {output.name: array}, grid)

    return read


def test_a_good_answer_is_rounded_to_what_is_reported(contract):
    """A finding carries its code, unit and site, and the digits that the contract asks for."""
    (finding,) = findings.read(contract, _answer(f32([17.8249])))
    assert (finding.value, finding.unit.value) == (17.82, "%")
    assert (finding.name.value, finding.site.meaning) == ("LAA950", "Lung")
    assert finding.interval is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (f32([np.nan]), "not a number"),
        (f32([np.inf]), "not a number"),
        (f32([-0.1]), "outside its limits 0 to 100"),
        (f32([100.5]), "outside its limits"),
        (f32([1, 2]), r"\[2\], not one value"),
        (f32([[1]]), r"\[1, 1\], not one value"),
        (f32([]), r"\[0\], not one value"),
        (f32(1), r"\[\], not one value"),
        (np.array([1], dtype=np.int32), "came as int32"),
        (np.array([1], dtype=np.float64), "came as float64"),
        (np.array([b"1"], dtype=np.object_), "came as object"),
    ],
)
def test_a_bad_number_is_never_reported(contract, value, words):
    """NaN, infinity, a wrong shape or type, or a value outside its limits is a BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        findings.read(contract, _answer(value))


def test_a_missing_output_is_named(contract):
    """An answer without one of the contract's outputs is a BadAnswer."""
    with pytest.raises(BadAnswer, match="laa950_percent is missing"):
        findings.read(contract, {"refusal": NO_WORDS})


def test_a_model_can_refuse_in_words(contract):
    """A refusal is Unsuitable, on one line, whatever the numbers beside it."""
    words = np.array([b"contrast\nagent\x1b[31m"], dtype=np.object_)
    with pytest.raises(Unsuitable, match=r"refuses this Series: contrastagent\[31m$"):
        findings.read(contract, _answer(f32([np.nan]), words))


def test_a_measurement_has_its_interval(contract):
    """Half the width that was calibrated lies on both sides, within the value's limits."""
    sure = replace(contract, trust=Trust(interval={"laa950_percent": 2.5}))
    (finding,) = findings.read(sure, _answer(f32([10])))
    assert finding.interval == (7.5, 12.5)
    (finding,) = findings.read(sure, _answer(f32([1])))
    assert finding.interval == (0, 3.5)


def test_an_axis_before_the_answer_is_taken_off(contract):
    """A server that batches puts an axis of length one first; two volumes are no answer."""
    batched = tuple(replace(output, is_batched=True) for output in contract.outputs)
    answer = _answer(f32([[5]]), np.array([[b""]], dtype=np.object_))
    (finding,) = findings.read(replace(contract, outputs=batched), answer)
    assert finding.value == 5
    answer = _answer(f32([[5], [6]]), answer["refusal"])
    with pytest.raises(BadAnswer, match="not about one volume"):
        findings.read(replace(contract, outputs=batched), answer)


CLASSES = Output(
    "which", OutputKind.CLASSIFICATION, classes=(Class(NODULE, 0.3), Class(OTHER)), exclusive=True
)


def test_a_class_is_present_from_its_threshold(one):
    """Each class has a verdict with its probability; the conformal set is told beside it."""
    found = one(CLASSES, f32([0.3, 0.7]), trust=Trust(conformal={"which": 0.5}))
    assert [type(each) for each in found] == [Verdict, Verdict]
    assert [(each.is_present, each.in_set) for each in found] == [(True, False), (True, True)]
    assert found[0].probability == pytest.approx(0.3)
    (first, _) = one(CLASSES, f32([0.1, 0.9]))
    assert (first.is_present, first.in_set, first.image) == (False, None, None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ([0.5, 0.6], "do not add up to one"),
        ([-0.1, 1.1], "probabilities are 0 to 1"),
        ([0.5, 0.25, 0.25], r"came as float32 \[3\], not \[2\]"),
        ([np.nan, 1], "not a number"),
    ],
)
def test_what_are_no_probabilities_is_refused(one, row, words):
    """Classes that do not add up, lie outside 0 to 1 or are too many are a BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        one(CLASSES, f32(row))


def test_rounding_errors_of_probabilities_are_forgiven(one):
    """A softmax in 32 bits may be a little above one; the verdict is not."""
    (first, second) = one(CLASSES, f32([1.00001, 0.0]))
    assert (first.probability, second.probability) == (1, 0)


MASK = Output("mask", OutputKind.MASK, classes=(Class(NODULE), Class(OTHER)))
CUT = Output("mask", OutputKind.MASK, classes=(Class(NODULE, 0.7),))


def labels():
    made = np.zeros((3, 4, 5), dtype=np.uint8)
    made[1, 2, 3], made[2] = 1, 2
    return made


def test_a_mask_lies_over_the_images(one):
    """Labels come back as one array for each image, whatever the tensor's layout was."""
    (found,) = one(MASK, labels())
    assert isinstance(found, Mask)
    assert np.array_equal(np.stack(found.labels), labels())
    assert found.segments == MASK.classes
    turned = labels().transpose(1, 2, 0)
    (found,) = one(MASK, turned, layout="yxz")
    assert np.array_equal(np.stack(found.labels), labels())
    for shape in ((1, 1, 3, 4, 5), (1, 3, 4, 5), (3, 4, 5)):
        (found,) = one(MASK, labels().reshape(shape), layout="1czyx")
        assert np.array_equal(np.stack(found.labels), labels())
    (found,) = one(MASK, labels()[None], layout="1zyxc")
    assert np.array_equal(np.stack(found.labels), labels())


def test_a_mask_of_probabilities_is_cut_at_its_threshold(one):
    """FP32 probabilities of one segment become labels from the segment's own threshold on."""
    (found,) = one(CUT, f32(np.where(labels() == 1, 0.7, 0.69)))
    assert np.array_equal(np.stack(found.labels), labels() == 1)


@pytest.mark.parametrize(
    ("output", "array", "words"),
    [
        (MASK, labels() + 1, "holds the label 3, and its contract names 2 segments"),
        (MASK, labels()[:2], r"labels came as \[2, 4, 5\], the input was \[3, 4, 5\]"),
        (MASK, labels()[0], "not the axes 'zyx'"),
        (MASK, labels().astype(np.int64), "came as int64, not uint8"),
        (CUT, f32(labels()), "probabilities are 0 to 1"),
        (CUT, np.full((3, 4, 5), np.nan, dtype=np.float32), "not a number"),
    ],
)
def test_a_broken_mask_is_refused(one, output, array, words):
    """Labels without a name, another size or type, or no probabilities are a BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        one(output, array)


def test_what_lies_over_images_needs_images(one):
    """A mask that nobody can lay over an image is refused, and never guessed at."""
    with pytest.raises(BadAnswer, match="laid over images, and none were given"):
        one(MASK, labels(), grid=None)


HEAT = Output("heat", OutputKind.HEATMAP, title=OTHER, quantity=NUMBER)


def test_a_coarser_heat_map_is_stretched_over_the_images(one):
    """Values come back for each image's pixels, with title and unit."""
    (found,) = one(HEAT, np.full((3, 2, 1), 4, dtype=np.float32))
    assert isinstance(found, Heatmap)
    assert (found.title, found.unit.value) == (OTHER, "1")
    assert [values.shape for values in found.values] == [(4, 5)] * 3
    assert np.allclose(np.stack(found.values), 4)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((3, 4, 5), 11), "outside its limits 0 to 10"),
        (np.full((3, 4, 5), np.nan), "not a number"),
        (np.zeros((3, 8, 5)), "values came as"),
        (np.zeros((0, 4, 5)), "is empty"),
        (np.zeros((4, 5)), "not the axes"),
    ],
)
def test_a_broken_heat_map_is_refused(one, array, words):
    """Values outside the limits, not finite, or of more pixels than were given are a BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        one(HEAT, f32(array))


BOXES = Output("box", OutputKind.BOXES, classes=(Class(NODULE, 0.4),), limit=2)
POINTS = Output("point", OutputKind.POINTS, classes=(Class(NODULE, 0.4),))


def test_boxes_are_the_best_on_their_images(one):
    """Best score first, no more than the limit, none below the threshold; the rest is counted."""
    rows = [
        [0, 0, 0, 1, 1, 0.5],
        [1, 1, 2, 3, 4, 0.9],
        [2, 0, 0, 4, 5, 0.6],
        [2, 0, 0, 4, 5, 0.39],
    ]
    best, second, rest = one(BOXES, f32(rows))
    assert isinstance(best, Box)
    assert (best.image, best.top, best.left, best.bottom, best.right) == (1, 1, 2, 3, 4)
    assert (best.score, second.score) == pytest.approx((0.9, 0.6))
    assert isinstance(rest, Text)
    assert rest.words == "Nodule: 1 more of lower score are not listed."


def test_a_box_over_the_edge_is_cut_and_one_outside_is_counted(one):
    """What hangs over an image's edge ends there; what lies outside is left out in words."""
    rows = [[0, -2, 3, 3, 9, 0.9], [0, 7, 7, 9, 9, 0.8], [7, 0, 0, 1, 1, 0.8]]
    kept, words = one(BOXES, f32(rows))
    assert (kept.top, kept.left, kept.bottom, kept.right) == pytest.approx((0, 3, 3, 5), abs=1e-3)
    assert words.words == "Nodule: 2 outside the images are left out."


def test_no_boxes_are_no_findings(one):
    """A model that found nothing answers no rows."""
    assert one(BOXES, f32(np.zeros((0, 6)))) == ()
    assert one(POINTS, f32(np.zeros((0, 4)))) == ()


@pytest.mark.parametrize(
    ("output", "rows", "words"),
    [
        (BOXES, [[0, 1, 1, 0, 2, 0.9]], "bottom or right edge"),
        (BOXES, [[0, 0, 0, 1, 1, -0.1]], "not 0 to 1"),
        (BOXES, [[0, 0, 0, 1, 1, 1.5]], "not 0 to 1"),
        (BOXES, [[0, 0, 0, 1, np.inf, 0.9]], "not a number"),
        (BOXES, [[0, 0, 0, 1, 1]], "not rows of 6 numbers"),
        (BOXES, [0, 0, 0, 1, 1, 0.9], "not rows of 6 numbers"),
        (POINTS, [[0, 0, 0, 1, 1, 0.9]], "not rows of 4 numbers"),
        (POINTS, [[0, 0, 0, -1]], "not 0 to 1"),
    ],
)
def test_broken_boxes_and_points_are_refused(one, output, rows, words):
    """Edges the wrong way round, scores that are none and rows of another width: BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        one(output, f32(rows))


def test_points_are_where_the_grid_says(one):
    """A point of a mirrored array comes back mirrored."""
    (found,) = one(POINTS, f32([[0, 1.5, 1, 0.9]]), grid=GRID.flipped("x"))
    assert isinstance(found, Point)
    assert (found.image, found.row, found.column) == (0, 1.5, 4)


def text_of(raw):
    return np.array([raw], dtype=np.object_)


TEXT = Output("draft", OutputKind.TEXT, title=OTHER)


def test_a_draft_keeps_its_lines(one):
    """Words are kept with their line ends and without control characters; none are no finding."""
    (found,) = one(TEXT, text_of(" Größe 3 mm.\r\nStable.\x07\x1b ".encode()))
    assert (found.title, found.words) == (OTHER, "Größe 3 mm.\nStable.")
    assert one(TEXT, text_of(b" \n")) == ()


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (text_of(b"\xff"), "is not UTF-8"),
        (text_of(b"x" * 10_001), "longer than 10000"),
        (f32([1]), "not one value"),
        (np.array([b"a", b"b"], dtype=np.object_), "not one value"),
        (np.array([], dtype=np.object_), "not one value"),
    ],
)
def test_a_broken_draft_is_refused(one, array, words):
    """Bytes that are no text, too much of it, or another type are a BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        one(TEXT, array)


def test_an_embedding_is_a_vector(one):
    """What the model made of its input is kept for watching; a matrix is none."""
    output = Output("vector", OutputKind.EMBEDDING)
    assert one(output, f32([1, 2])) == (Embedding("vector", (1, 2)),)
    with pytest.raises(BadAnswer, match="no vector"):
        one(output, f32([[1, 2]]))
    with pytest.raises(BadAnswer, match="no vector"):
        one(output, f32([]))


EVERY = [
    CLASSES,
    MASK,
    replace(CUT, name="cut"),
    BOXES,
    POINTS,
    HEAT,
    TEXT,
    Output("number", OutputKind.MEASUREMENT, quantity=NUMBER),
    Output("vector", OutputKind.EMBEDDING),
    Output("refusal", OutputKind.REFUSAL),
]


@settings(max_examples=200, deadline=None)
@given(
    output=st.sampled_from(EVERY),
    array=arrays.arrays(
        st.sampled_from([np.float32, np.uint8, np.int64, np.float64]),
        arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6),
    ),
)
def test_any_array_gives_findings_or_a_fault(contract, output, array):
    """Whatever a server sends, it becomes findings or an InferenceFault, and nothing else."""
    image = Input("volume", InputKind.VOLUME, Preparation(layout="zyx"))
    changed = replace(contract, inputs=(image,), outputs=(output,))
    try:
        found = findings.read(changed, {output.name: array}, GRID)
    except InferenceFault:
        return
    assert all(each.output == output.name for each in found)
