"""The calcium score of a cardiac CT, measured by the real Triton."""

import pytest

from ai.phantoms import heart
from dicom.errors import Unsuitable

SMALL = {"slices": 24, "size": 320}
PLAIN = (heart.Lesion(14, -46, 2.4, 250, 0.3, 2),)


@pytest.mark.parametrize(
    "how",
    [
        {"slices": 32, "size": 384},
        {**SMALL, "spacing_mm": 2.5, "label": "thin"},
        {**SMALL, "lesions": PLAIN, "label": "one"},
        {**SMALL, "view_mm": 260.0},
        {**SMALL, "lesions": (), "label": "none"},
    ],
    ids=["3 mm", "2.5 mm", "one", "round view", "none"],
)
def test_the_phantoms_truth_is_recovered(find, tmp_path, how):
    """Score and volume within 5 %, every calcification, its category, and nothing of the bones."""
    truth = heart.write(tmp_path, **how)
    found = find("ct_calcium", truth.written.files)
    assert found.numbers["agatston_score"] == pytest.approx(truth.agatston, rel=0.05)
    assert found.numbers["calcium_volume_mm3"] == pytest.approx(truth.volume_mm3, rel=0.05)
    assert found.numbers["lesion_count"] == truth.lesions
    category = sum(truth.agatston > least for least in (0, 10, 100, 400))
    assert found.verdicts == {f"CALCIUM{n}": n == category for n in range(5)}
    voxel_mm3 = how.get("spacing_mm", 3.0) * (heart.FIELD_OF_VIEW_MM / how["size"]) ** 2
    marked = found.labels["lesions"].sum() * voxel_mm3
    assert marked == pytest.approx(truth.volume_mm3, rel=0.05)


def test_the_score_is_that_of_the_definition():
    """A disc of 100 pixels of 0.36 mm2 at 250 HU in two slices scores area times two, twice."""
    lesion = heart.Lesion(14, -46, 3.3, 250, 0.3, 2)
    place = heart._Places(600, 0.6)
    area_mm2 = place.ellipse(14, -46, 3.3, 3.3).sum() * 0.36
    drawn = heart._draw(place, (lesion,), 10)
    assert heart._agatston(drawn, 3.0, 0.6) == pytest.approx(2 * area_mm2 * 2)
    assert heart._agatston(drawn, 1.5, 0.6) == pytest.approx(area_mm2 * 2)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"blood_hu": 260}, "contrast agent"),
        ({"noise_hu": 60.0}, "noise of [0-9]+ HU"),
        ({"kvp": 100}, "(?i)kv"),
        ({"spacing_mm": 5.0}, "3"),
        ({"slices": 12}, "at least 20"),
    ],
    ids=["contrast", "noise", "voltage", "thickness", "too short"],
)
def test_what_the_score_is_not_defined_for_is_refused(find, tmp_path, how, words):
    """Contrast, noise, another voltage and thick slices end in words, never in a score."""
    truth = heart.write(tmp_path, **{"slices": 24, "size": 256, **how})
    with pytest.raises(Unsuitable, match=words):
        find("ct_calcium", truth.written.files)
