"""An answer with a row for each slice, image or tile becomes findings about them, or about all."""

from dataclasses import replace

import numpy as np
import pytest

from ai import findings
from ai.contract import (
    Aggregate,
    Class,
    Code,
    Input,
    InputKind,
    Output,
    OutputKind,
    Preparation,
    Quantity,
)
from ai.findings import Embedding
from ai.inputs.axis import Axis
from ai.inputs.grid import ImagesGrid, StackGrid
from dicom.errors import BadAnswer, Unsuitable

CODE = Code("27925004", "SCT", "Nodule")
NUMBER = Quantity(CODE, Code("1", "UCUM", "no units"), None, 0, 10, 1)
GRID = ImagesGrid([(Axis(4, 4), Axis(5, 5))] * 3)
"""Three images of 4 rows and 5 columns."""


def f32(value):
    return np.array(value, dtype=np.float32)


@pytest.fixture
def read(contract):
    """Read an answer about items: images unless another kind is said."""

    def read(output, array, grid=GRID, *, kind=InputKind.IMAGES):
        image = Input("image", kind, Preparation(layout="nyx"))
        changed = replace(contract, inputs=(image,), outputs=(output,))
        return findings.read(changed, {output.name: array}, grid)

    return read


def number(how):
    return Output("number", OutputKind.MEASUREMENT, quantity=NUMBER, aggregate=how)


@pytest.mark.parametrize("shape", [(3,), (3, 1)])
def test_each_image_has_its_measurement(read, shape):
    """Without an aggregate each row is a finding about its image."""
    found = read(number(Aggregate.EACH), f32([1, 2, 3]).reshape(shape))
    assert [(each.image, each.value) for each in found] == [(0, 1), (1, 2), (2, 3)]


def test_slices_that_were_made_up_are_no_findings(read):
    """A row about a slice that only fills the tensor is about no image."""
    padded = StackGrid((Axis(1, 3, start=-1.0), Axis(4, 4), Axis(5, 5)))
    (found,) = read(number(Aggregate.EACH), f32([1, 2, 3]), padded, kind=InputKind.SLICES)
    assert (found.image, found.value) == (0, 2)


@pytest.mark.parametrize(
    ("how", "rows", "value"),
    [
        (Aggregate.MEAN, [[1], [2], [6]], 3),
        (Aggregate.MAX, [[1], [7], [2]], 7),
        (Aggregate.SUM, [[4], [4], [2]], 10),
        (Aggregate.WEIGHTED, [[1, 1], [4, 3], [0, 0]], 3.2),
    ],
)
def test_rows_become_one_number(read, how, rows, value):
    """Mean, greatest, sum or mean by weight is about all images together."""
    (found,) = read(number(how), f32(rows))
    assert (found.value, found.image) == (value, None)


@pytest.mark.parametrize(
    ("how", "rows", "words"),
    [
        (Aggregate.MEAN, [[1], [2]], r"came as float32 \[2, 1\], not \[3, 1\]"),
        (Aggregate.MEAN, [[1], [2], [11]], "outside its limits"),
        (Aggregate.SUM, [[4], [4], [4]], "outside its limits"),
        (Aggregate.WEIGHTED, [[1, 1], [4, -1], [0, 0]], "weight below 0"),
        (Aggregate.WEIGHTED, [[1], [4], [0]], r"not \[3, 2\]"),
        (Aggregate.EACH, [[1], [np.nan], [1]], "not a number"),
    ],
)
def test_broken_rows_are_refused(read, how, rows, words):
    """Too few rows, a value outside its limits or a negative weight is a BadAnswer."""
    with pytest.raises(BadAnswer, match=words):
        read(number(how), f32(rows))


def test_nothing_to_measure_is_no_zero(read):
    """Where no item has any weight the Series is unsuitable, and no number is made up."""
    with pytest.raises(Unsuitable, match="nothing to measure"):
        read(number(Aggregate.WEIGHTED), f32([[0, 0]] * 3))


CLASSES = Output("which", OutputKind.CLASSIFICATION, classes=(Class(CODE), Class(CODE)))


@pytest.mark.parametrize(
    ("how", "probabilities"), [(Aggregate.MEAN, [0.5, 0.3]), (Aggregate.MAX, [0.9, 0.6])]
)
def test_probabilities_are_aggregated(read, how, probabilities):
    """The mean, or the greatest, probability of the images is the verdict about all."""
    rows = f32([[0.1, 0.6], [0.9, 0.2], [0.5, 0.1]])
    found = read(replace(CLASSES, aggregate=how), rows)
    assert [each.probability for each in found] == pytest.approx(probabilities)
    assert {each.image for each in found} == {None}
    found = read(CLASSES, rows)
    assert [each.image for each in found] == [0, 0, 1, 1, 2, 2]


BOXES = Output("box", OutputKind.BOXES, classes=(Class(CODE, 0.5),))
POINTS = Output("point", OutputKind.POINTS, classes=(Class(CODE, 0.5),))


def test_points_are_on_their_images(read):
    """The first column says which image a place is on."""
    found = read(POINTS, f32([[0, 1, 1, 0.9], [2, 2, 2, 0.8], [1, 3, 3, 0.7]]))
    assert [(each.image, each.row) for each in found] == [(0, 1), (2, 2), (1, 3)]


def test_padded_rows_for_each_item_are_understood(read):
    """Detectors that answer (items, most, 5) pad with score 0: those rows are nothing."""
    rows = np.zeros((3, 4, 5), dtype=np.float32)
    rows[1, 0], rows[2, 3] = (0, 0, 2, 2, 0.9), (1, 1, 3, 4, 0.8)
    found = read(BOXES, rows)
    assert [(each.image, each.bottom, each.right) for each in found] == [(1, 2, 2), (2, 3, 4)]
    with pytest.raises(BadAnswer, match="about 2 items, and 3 were given"):
        read(BOXES, rows[:2])


def test_an_item_that_was_not_given_is_refused(read):
    """A box about the fourth of three images is the answer to another question."""
    with pytest.raises(BadAnswer, match="none of the 3 given"):
        read(BOXES, f32([[3, 0, 0, 1, 1, 0.9]]))


def test_each_item_has_its_words(read):
    """Words of several items or requests are joined, the same ones once."""
    text = Output("draft", OutputKind.TEXT, title=CODE)
    words = np.array([[b"one"], [b""], [b"two"]], dtype=np.object_)
    assert read(text, words)[0].words == "one\ntwo"
    refusal = Output("refusal", OutputKind.REFUSAL)
    with pytest.raises(Unsuitable, match=r": view$"):
        read(refusal, np.array([b"", b"view", b"view"], dtype=np.object_))
    assert read(refusal, np.array([b""], dtype=np.object_)) == ()


def test_an_embedding_of_items_is_their_mean(read):
    """What is watched is one vector for the Series."""
    found = read(Output("vector", OutputKind.EMBEDDING), f32([[1, 2], [3, 4], [5, 9]]))
    assert found == (Embedding("vector", (3, 5)),)


def test_a_mask_of_images_lies_over_each(read):
    """Labels (item, y, x) come back as one array for each image."""
    labels = np.zeros((3, 4, 5), dtype=np.uint8)
    labels[2, 1, 1] = 1
    mask = Output("mask", OutputKind.MASK, classes=(Class(CODE),))
    (found,) = read(mask, labels)
    assert [int(each.sum()) for each in found.labels] == [0, 0, 1]
