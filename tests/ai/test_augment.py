"""Several answers about one Series become one: averages, votes, and how far they lie apart."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai import augment
from ai.contract import Class, Code, Contract, Output, OutputKind, Trust, Wants
from ai.finding import Box, Embedding, Heatmap, Mask, Measurement, Text, Verdict
from dicom.errors import BadAnswer

NODULE = Code("27925004", "SCT", "Nodule")
ML = Code("mL", "UCUM", "milliliter")
CLASS = Class(NODULE, threshold=0.6)
CONTRACT = Contract(
    "a", "1", "", NODULE, Wants("CT"), (),
    (Output("what", OutputKind.CLASSIFICATION, classes=(CLASS,)),),
    Trust(augment=("flip-x",), conformal={"what": 0.3}),
)  # fmt: skip
SIZE = Measurement("size", NODULE, 10.0, ML, None, 1, interval=(9.0, 11.0))
PRESENT = Verdict("what", NODULE, 0.7, is_present=True, site=None, in_set=True)


def mask(*rows: list[int]) -> Mask:
    return Mask("mask", (CLASS,), [np.array(rows, dtype=np.uint8)], None)


def heat(*values: float) -> Heatmap:
    return Heatmap("heat", NODULE, None, [np.array([values], dtype=np.float32)])


def test_one_answer_stays_as_it_is():
    """Without mirror images nothing is touched, and nothing lies apart."""
    found = (SIZE, PRESENT, mask([0, 1]))
    assert augment.average(CONTRACT, [found]) == augment.Averaged(found, {})


def test_numbers_and_probabilities_are_averaged():
    """The mean is rounded as reports are, its interval moves along, presence is judged anew."""
    second = (replace(SIZE, value=10.5), replace(PRESENT, probability=0.3))
    made = augment.average(CONTRACT, [(SIZE, PRESENT), second])
    size, verdict = made.findings
    assert (size.value, size.interval) == (10.2, (9.2, 11.2))
    assert verdict.probability == pytest.approx(0.5)
    assert (verdict.is_present, verdict.in_set) == (False, True)
    assert made.spread == {"size": pytest.approx(0.25), "what": pytest.approx(0.2)}


def test_findings_are_matched_by_what_they_are_about_and_not_by_their_place():
    """A mirrored stack answers about its images in another order."""
    each = [replace(SIZE, image=image, value=float(image)) for image in range(3)]
    made = augment.average(CONTRACT, [tuple(each), tuple(reversed(each))])
    assert [one.value for one in made.findings] == [0.0, 1.0, 2.0]
    assert made.spread == {"size": 0.0}


def test_several_numbers_about_one_image_are_all_averaged():
    """In a finer stack two slices speak of one image: neither is forgotten."""
    answer = (replace(SIZE, image=0, value=1.0), replace(SIZE, image=0, value=4.0))
    (one,) = augment.average(CONTRACT, [answer, answer]).findings
    assert one.value == 2.5


def test_masks_are_voted_and_heat_maps_averaged():
    """A pixel gets the label that most answers give it; with as many for two, the first's."""
    masks = [mask([1, 1, 0, 2]), mask([1, 0, 0, 1]), mask([0, 0, 1, 0])]
    made = augment.average(CONTRACT, [(one, heat(0, at)) for at, one in enumerate(masks)])
    voted, averaged = made.findings
    assert voted.labels[0].tolist() == [[1, 0, 0, 2]]
    assert averaged.values[0].tolist() == [[0.0, 1.0]]
    assert averaged.values[0].dtype == np.float32


def test_what_cannot_be_averaged_is_the_first_answers():
    """Boxes, texts and embeddings are of the Series as it is."""
    box = Box("box", NODULE, 0.9, 0, 1, 2, 3, 4, None)
    first = (box, Text("text", NODULE, "one"), Embedding("vector", (1.0,)))
    other = (replace(box, top=0.0), Text("text", NODULE, "two"), Embedding("vector", (2.0,)))
    assert augment.average(CONTRACT, [first, other]).findings == first


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((SIZE,), ()),
        ((mask([0, 1]),), (mask([0, 1, 1]),)),
        ((heat(0, 1),), (heat(0, 1, 2),)),
        ((replace(SIZE, image=0),), (replace(SIZE, image=1),)),
    ],
)
def test_answers_about_other_things_are_a_bad_answer(first, second):
    """Nothing is averaged that does not speak of the same."""
    with pytest.raises(BadAnswer):
        augment.average(CONTRACT, [first, second])


def test_what_nobody_can_mirror_is_a_bad_answer():
    """A contract asks for flips along axes; each is done once."""
    assert augment.axes(Trust(augment=("flip-x", "flip-z", "flip-x"))) == ("x", "z")
    with pytest.raises(BadAnswer, match="rotate"):
        augment.axes(Trust(augment=("rotate",)))


@given(st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), min_size=1, max_size=5))
def test_a_vote_is_one_that_was_cast_most(votes):
    """Whatever the masks: each pixel's label is among those given most often to it."""
    made = augment.average(CONTRACT, [(mask(one),) for one in votes])
    labels = made.findings[0].labels[0][0]
    for pixel, label in enumerate(labels):
        cast = [one[pixel] for one in votes]
        assert cast.count(label) == max(cast.count(other) for other in cast)
