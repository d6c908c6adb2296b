"""Findings are said in words and as JSON, without pixels."""

import json
from dataclasses import replace

import numpy as np
import pytest

from ai import outcome_words
from ai.contract import Class, Code
from ai.finding import Box, Embedding, Heatmap, Mask, Measurement, Point, Text, Verdict
from ai.outcome import Outcome

CODE = Code("27925004", "SCT", "Nodule")
PERCENT = Code("%", "UCUM", "Percent")
LABELS = [np.zeros((2, 2), np.uint8), np.eye(2, dtype=np.uint8)]
EACH = [
    (Measurement("n", CODE, 3.0, PERCENT, None, 1), "", "3.0 %"),
    (Measurement("n", CODE, 3.0, Code("1", "UCUM", "no units"), None, 0, 4), "5", "3"),
    (Measurement("n", CODE, 3.0, PERCENT, None, 1, None, (2.5, 3.5)), "",
     "3.0 % (2.5 to 3.5 at 90%)"),
    (Verdict("n", CODE, 0.25, False, None, 0, True), "1", "absent, 0.250, in the set"),
    (Verdict("n", CODE, 0.75, True, None), "", "present, 0.750"),
    (Mask("n", (Class(CODE),), LABELS, None), "", "2 pixels on 1 images"),
    (Point("n", CODE, 0.5, 1, 1.5, 2.5, None), "2", "row 1.5, column 2.5, score 0.500"),
    (Text("n", CODE, "two\nlines"), "", "two\nlines"),
    (Heatmap("n", CODE, None, [np.full((2, 2), n, np.float32) for n in (0, 2)]), "2",
     "0 to 2, the most here"),
    (Embedding("n", (1.0, 2.0)), "", "2 numbers, in no report"),
]  # fmt: skip


@pytest.fixture
def outcome(served, contract):
    """An outcome with findings that a test names."""

    def make(*findings):
        return Outcome((), findings, served, contract, "h:1", None, images=2)

    return make


@pytest.mark.parametrize(("finding", "image", "words"), EACH)
def test_each_kind_is_a_line_and_json(outcome, finding, image, words):
    """Every kind of finding has its words, its image counted from 1, and its JSON."""
    ((output, _, shown, said),) = outcome_words.rows(outcome(finding))
    assert (output, shown, said) == ("n", image, words)
    plain = json.loads(json.dumps(outcome_words.plain(outcome(finding), "1.2")))
    (row,) = plain["findings"]
    assert row["type"] == type(finding).__name__.lower()
    assert row["output"] == "n"
    assert not {"labels", "values"} & row.keys()
    assert plain["images"] == 2


def test_of_many_boxes_the_best_are_lines(outcome):
    """A table stays short, and says how many it leaves out; JSON has all of them."""
    boxes = [Box("n", CODE, 0.9, 0, 0, 0, 1, 1, None)] * 12
    said = [row[3] for row in outcome_words.rows(outcome(*boxes))]
    assert len(said) == outcome_words.MOST_MARKS + 1
    assert said[-1] == "and 2 more of lower score"
    assert len(outcome_words.plain(outcome(*boxes), "1.2")["findings"]) == 12
    few = outcome(*(replace(box, output=str(n)) for n, box in enumerate(boxes)))
    assert len(list(outcome_words.rows(few))) == 12
