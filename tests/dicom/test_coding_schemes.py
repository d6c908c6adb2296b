"""Codes are held against what is known of their schemes."""

import pytest

from dicom.coding_schemes import is_private, problem


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("126000", "DCM"), ("39607008", "SCT"), ("25045-6", "LN"), ("mm", "UCUM"),
        ("LAA950", "99PENUMBRA"), ("en-US", "RFC5646"), ("T-28000", "SRT"), ("131500", "DCM"),
    ],
)  # fmt: skip
def test_codes_that_results_use_are_known(value, scheme):
    """Registered and private schemes pass; DICOM's own terminology may have grown since."""
    assert not problem(value, scheme, "something")


@pytest.mark.parametrize(
    ("value", "scheme", "meaning", "words"),
    [
        ("", "DCM", "m", "no value"), ("126000", "", "m", "no scheme"),
        ("126000", "DCM", "", "no meaning"), ("x", "FOO", "m", "'FOO', which nobody knows"),
        ("12", "DCM", "m", "DICOM Controlled"), ("999999", "DCM", "m", "DICOM Controlled"),
        ("99", "SCT", "m", "SNOMED"), ("T-28000", "SCT", "m", "SNOMED"),
        ("25045", "LN", "m", "LOINC"), ("HU", "UCUM", "m", "UCUM"),
    ],
)  # fmt: skip
def test_codes_that_cannot_be_are_told(value, scheme, meaning, words):
    """The words name the scheme, and not the value."""
    assert words in problem(value, scheme, meaning)


def test_a_private_scheme_begins_with_99():
    """PS3.3 8.2."""
    assert is_private("99PENUMBRA")
    assert not is_private("DCM")
