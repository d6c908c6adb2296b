"""An answer becomes findings only when it keeps the contract."""

import numpy as np
import pytest

from ai import findings
from dicom.errors import BadAnswer, Unsuitable

NO_WORDS = np.array([b""], dtype=np.object_)


def _answer(value, refusal=NO_WORDS):
    return {"laa950_percent": value, "refusal": refusal}


def test_a_good_answer_is_rounded_to_what_is_reported(contract):
    """A finding carries its code, unit and site, and the digits that the contract asks for."""
    (finding,) = findings.read(contract, _answer(np.array([17.8249], dtype=np.float32)))
    assert (finding.value, finding.unit.value) == (17.82, "%")
    assert (finding.name.value, finding.site.meaning) == ("LAA950", "Lung")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.array([np.nan], dtype=np.float32), "not a number"),
        (np.array([np.inf], dtype=np.float32), "not a number"),
        (np.array([-0.1], dtype=np.float32), "outside its limits 0 to 100"),
        (np.array([100.5], dtype=np.float32), "outside its limits"),
        (np.array([1, 2], dtype=np.float32), r"\[2\], not one value"),
        (np.array([[1]], dtype=np.float32), r"\[1, 1\], not one value"),
        (np.array([], dtype=np.float32), r"\[0\], not one value"),
        (np.array([1], dtype=np.int32), "came as int32"),
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
        findings.read(contract, _answer(np.array([np.nan], dtype=np.float32), words))
