"""Units of UCUM are told from what merely looks like one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from dicom.ucum import behind, is_unit


@pytest.mark.parametrize(
    "text",
    [
        "mm", "mL", "ml", "%", "1", "[hnsf'U]", "{ratio}", "mL/min", "/mm2", "mm[Hg]", "g/cm3",
        "10*3/uL", "10*-3.mm2/s", "{SUVbw}g/ml", "g/ml{SUVbw}", "mL/(min.m2)", "a", "Cel", "mGy.cm",
        "[iU]/L", "dB", "m/s2", "Bq/ml",
    ],
)  # fmt: skip
def test_units_that_measurements_are_given_in_are_known(text):
    """Prefixes, exponents, products, quotients and annotations of the c/s codes are read."""
    assert is_unit(text)


@pytest.mark.parametrize(
    "text",
    ["", "HU", "percent", "ml/mins", "m m", "mm²", "cc", "μm", "mL/", "(mL", "mL)", "()", "2mm",
     "k%", "mm//s", "{open", "x" * 65, "MM"],
)  # fmt: skip
def test_what_is_no_unit_is_none(text):
    """Words, other spellings and broken terms are no units."""
    assert not is_unit(text)


def test_every_unit_of_the_standards_context_groups_is_one():
    """The units that PS3.16 lists are all read, but for those that write 100 as [100]."""
    listed = [code.value for code in codes.UCUM.concepts.values() if "[100]" not in code.value]
    assert len(listed) > 50
    assert not [value for value in listed if not is_unit(value)]


@given(st.text(max_size=70))
def test_any_text_is_answered(text):
    """Whatever stands there: an answer, and no exception."""
    assert is_unit(text) in {True, False}


@pytest.mark.parametrize(
    ("unit", "shown"),
    [("mL", " mL"), ("[hnsf'U]", " HU"), ("{Agatston}", " Agatston"), ("1", ""), ("%", " %"),
     ("10*3/mm2", " 10^3/mm2"), ("Cel", " °C")],
)  # fmt: skip
def test_people_read_units_as_they_write_them(unit, shown):
    """Without brackets and braces, behind their number; nothing where there is none."""
    assert behind(unit) == shown
