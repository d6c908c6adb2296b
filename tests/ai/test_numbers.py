"""Findings as numbers: every kind has its name and its number, or none."""

import numpy as np
import pytest

from ai.contract import Class, Code
from ai.finding import Box, Embedding, Heatmap, Mask, Measurement, Point, Text, Verdict
from ai.numbers import features, is_anything, outputs

CODE, OTHER = Code("A1", "99TEST", "a"), Code("B2", "99TEST", "b")
EMPTY = np.zeros((2, 2), np.uint8)
LABELS = np.array([[1, 1], [2, 0]], np.uint8)
MEASURED = [
    Measurement("v", CODE, value, CODE, None, 1, image) for image, value in ((0, 2.0), (1, 4.0))
]
ABSENT, PRESENT = Verdict("c", CODE, 0.2, False, None), Verdict("c", OTHER, 0.9, True, None)
BOX = Box("b", CODE, 0.9, 0, 0, 0, 1, 1, None)
POINT = Point("p", CODE, 0.9, 0, 0.5, 0.5, None)
MASK = Mask("m", (Class(CODE), Class(OTHER)), [LABELS, EMPTY], None)
TEXT = Text("t", CODE, "words")
HEAT = Heatmap("h", CODE, None, [EMPTY.astype(np.float32)])
VECTOR = Embedding("e", (1.0, 2.0, 2.0))


def test_each_kind_has_its_numbers():
    """Means of measurements, probabilities by class, counts of places, pixels of segments."""
    found = outputs([*MEASURED, ABSENT, PRESENT, BOX, BOX, POINT, MASK, TEXT, HEAT, VECTOR])
    assert found == {
        "v": 3.0, "c.A1": 0.2, "c.B2": 0.9, "b": 2.0, "p": 1.0, "m.1": 2.0, "m.2": 1.0,
    }  # fmt: skip


def test_embeddings_are_features():
    """Their length and projections, and nothing of other findings."""
    found = features([VECTOR, VECTOR, *MEASURED])
    assert found["e.norm"] == pytest.approx(3.0)
    assert len(found) == 9


@pytest.mark.parametrize(
    ("findings", "is_any"),
    [([], False), ([ABSENT, VECTOR], False), ([PRESENT], True), (MEASURED, True), ([BOX], True),
     ([MASK], True), ([Mask("m", (Class(CODE),), [EMPTY], None)], False), ([TEXT], True)],
)  # fmt: skip
def test_nothing_found_is_told_from_something(findings, is_any):
    """Absent classes, empty masks and embeddings alone are nothing found."""
    assert is_anything(findings) is is_any
