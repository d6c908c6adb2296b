"""What a report says: the numbers, what was refused, what the model drafted."""

import io

import pytest
from highdicom.sr import srread

from ai.result import ResultKind
from dicom.part10 import text
from examples.results import originals
from examples.results.findings import FINDINGS

SR = ResultKind.SR


def _items(tree, name):
    found = []
    for item in tree.get("ContentSequence", ()):
        names = item.get("ConceptNameCodeSequence")
        if names and names[0].CodeMeaning == name:
            found.append(item)
        found += _items(item, name)
    return found


def _texts(tree, name="Comment"):
    return [item.TextValue for item in _items(tree, name)]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ("refusal", "Penumbra example 1.0.0 refused this Series, because its slices are not"),
        ("none", "The algorithm ran and found nothing."),
        ("verdicts", "Conformal set at 90 % coverage: Nodule"),
        ("measurements", "Measurement uncertainties are those of 90 % coverage."),
        ("heat", "Heat map Class activation: 0 to 9.98"),
    ],
)
def test_words_are_said(one, found, expected):
    """What no code can say stands in the report as a comment."""
    said = _texts(one("CT", found, SR))
    assert any(words.startswith(expected) for words in said), said


def test_a_draft_is_kept_line_by_line(one):
    """A text stands under its own title, in any script, without control characters."""
    (draft,) = _texts(one("CT", "text", SR), "Findings")
    assert draft.split("\r\n") == [
        "No change since the last examination.",
        "Δ volume < 2 %, Größe 4 mm, 変化なし.",
    ]


def test_an_interval_is_stated_in_the_number_s_unit(one):
    """The range above and below a value is a property of the number."""
    number, *_ = _items(one("CT", "measurements", SR), "Volume of both lungs")
    upper, lower = number.ContentSequence
    for item, value in ((upper, 120), (lower, 120)):
        assert item.MeasuredValueSequence[0].NumericValue == value
        assert item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue == "mL"


def test_a_number_about_one_image_refers_to_it(one):
    """Each measurement of a single image names that image."""
    source = originals.source("CT", originals.NAMES[0])
    numbers = _items(one("CT", "measurements", SR), "Mean attenuation of the image")
    named = [
        item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID
        for item in numbers
    ]
    assert named == [reference.sop_instance_uid for reference in source.references[:3]]


def test_a_verdict_says_present_or_absent_and_how_probable(one):
    """Codes of CID 240, and the probability in percent; what is absent is no finding."""
    ds = one("CT", "verdicts", SR)
    groups = _items(ds, "Measurement Group")
    told = []
    for group in groups:
        (probability,) = _items(group, "Probability")
        codes = [item for item in group.ContentSequence if item.ValueType == "CODE"]
        value = codes[-1].ConceptCodeSequence[0]
        told.append(
            (
                codes[-1].ConceptNameCodeSequence[0].CodeMeaning,
                value.CodeValue,
                float(probability.MeasuredValueSequence[0].NumericValue),
                bool(_items(group, "Finding")),
            )
        )
    assert told == [
        ("Nodule", "52101004", 91.3, True),
        ("Pleural effusion", "272519000", 8.1, False),
        ("Nodule", "52101004", 77.0, True),
    ]


def test_segments_have_their_volume(results):
    """A stack's mask is a segment with its volume; a radiograph's has an area; empty is absent."""
    for kind, name, unit in (("CT", "Volume", "mL"), ("DX", "Area", "mm2")):
        sr = srread(io.BytesIO(results(kind, "masks")[0].part10))
        numbers = _items(sr, name)
        units = {
            item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0].CodeValue
            for item in numbers
        }
        assert len(numbers) == (2 if kind == "CT" else 4)
        assert units == {unit}
        absent = _items(sr, "Pleural effusion")
        assert absent[0].ConceptCodeSequence[0].CodeMeaning == "Absent"


def test_volumes_are_those_of_the_pixels(results):
    """The volume is pixels times spacing times the distance between slices."""
    sr = srread(io.BytesIO(results("CT", "masks")[0].part10))
    stated = sorted(
        float(item.MeasuredValueSequence[0].NumericValue) for item in _items(sr, "Volume")
    )
    source = originals.source("CT", originals.NAMES[0])
    (mask,) = FINDINGS["masks"](source)
    voxel_ml = 0.703125**2 * 2.5 / 1000
    counted = sorted(
        sum(int((labels == number).sum()) for labels in mask.labels) * voxel_ml for number in (1, 2)
    )
    assert stated == pytest.approx(counted, rel=1e-4)


def test_marks_are_regions_of_their_image(one):
    """A box is a closed line, a point a point, each selected from its image."""
    regions = _items(one("CT", "marks", SR), "Image Region")
    assert [item.GraphicType for item in regions] == ["POLYLINE", "POLYLINE", "POINT", "POINT"]
    assert list(regions[2].GraphicData) == [33.5, 20.5]
    source = originals.source("CT", originals.NAMES[0])
    selected = regions[2].ContentSequence[0].ReferencedSOPSequence[0]
    assert selected.ReferencedSOPInstanceUID == source.references[5].sop_instance_uid


def test_a_heat_map_refers_to_what_shows_it(results, one):
    """The comment about a heat map names the objects in which it can be seen."""
    kinds = {result.sop_instance_uid: result.kind for result in results("CT", "heat")}
    item = next(
        item for item in _items(one("CT", "heat", SR), "Comment") if "Heat map" in item.TextValue
    )
    shown = [
        kinds[ref.ReferencedSOPSequence[0].ReferencedSOPInstanceUID] for ref in item.ContentSequence
    ]
    assert ResultKind.PM in shown
    assert ResultKind.SC in shown


@pytest.mark.parametrize("found", ["measurements", "refusal", "none", "text", "masks"])
def test_every_report_says_what_answered(one, found):
    """Server, model, its digest and the algorithm's settings are in every report, once."""
    ds = one("CT", found, SR)
    assert _texts(ds, "Algorithm Parameters") == [
        "server triton 2.51.0",
        "model example version 3",
        f"sha256 {'5e' * 32}",
        "threshold 0.5",
    ]
    assert set(_texts(ds, "Algorithm Name")) == {"Penumbra example"}
    assert set(_texts(ds, "Algorithm Version")) == {"1.0.0"}
    assert (text(ds, "CompletionFlag"), text(ds, "VerificationFlag")) == ("COMPLETE", "UNVERIFIED")
