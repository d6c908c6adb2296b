"""The daily water phantom of a CT scanner, measured by the real Triton."""

import pytest

from ai.phantoms import water
from dicom.errors import Unsuitable

PASSES = {"WATERPASS": True, "WATERHUOK": True, "WATERUNIFOK": True, "WATERNOISEOK": True}


@pytest.mark.parametrize(
    ("how", "fails"),
    [
        ({}, ()),
        ({"water_hu": -4.0, "diameter_mm": 160.0}, ()),
        ({"water_hu": 6.5}, ("WATERPASS", "WATERHUOK")),
        ({"cupping_hu": -9.0}, ("WATERPASS", "WATERUNIFOK")),
        ({"noise_hu": 12.0}, ("WATERPASS", "WATERNOISEOK")),
    ],
    ids=["good", "small", "off", "cupped", "noisy"],
)
def test_the_phantoms_truth_is_recovered(find, tmp_path, how, fails):
    """CT number, noise, uniformity and diameter as they were set; what is beyond a limit fails."""
    truth = water.write(tmp_path, size=384, **how)
    found = find("ct_water_qc", truth.written.files)
    assert found.numbers["water_hu"] == pytest.approx(truth.water_hu, abs=0.2)
    assert found.numbers["noise_hu"] == pytest.approx(truth.noise_hu, rel=0.03)
    assert found.numbers["uniformity_hu"] == pytest.approx(truth.uniformity_hu, abs=1.0)
    assert found.numbers["diameter_mm"] == pytest.approx(truth.diameter_mm, abs=0.5)
    assert found.verdicts == {**PASSES, **dict.fromkeys(fails, False)}
    assert set(found.labels["regions"].ravel()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"squeeze": 1.2}, "not round"),
        ({"water_hu": 120.0}, "no plain water"),
        ({"diameter_mm": 100.0}, "a phantom has 120 to 400 mm"),
    ],
    ids=["oval", "no water", "small"],
)
def test_what_is_no_water_phantom_is_refused(find, tmp_path, how, words):
    """A patient, another plastic or a bottle gets words instead of a verdict on the scanner."""
    truth = water.write(tmp_path, size=256, **how)
    with pytest.raises(Unsuitable, match=words):
        find("ct_water_qc", truth.written.files)
