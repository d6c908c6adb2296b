"""Character sets: what the original and the result say stays readable under one of them."""

import pytest


@pytest.mark.parametrize(
    "mine", [("ISO_IR 100", "Überhang"), ("ISO_IR 192", "Überhang"), ("", "plain")]
)
@pytest.mark.parametrize("theirs", ["ISO_IR 100", "ISO_IR 192", "ISO 2022 IR 87"])
def test_two_character_sets_become_one(lab, leave, come_back, mine, theirs):
    """Names of the original and words of the result stay readable, whatever each was written in."""
    first, (ours, text) = lab.original(), mine
    if theirs == "ISO 2022 IR 87":
        first.SpecificCharacterSet = ["", theirs]
        first.PatientName = "Yamada^Tarou=山田^太郎"
        first.StudyDescription = first.ReferringPhysicianName = "plain"
    else:
        first.SpecificCharacterSet = theirs
    sr = lab.report_on(leave(lab.part10(first)))
    sr.SpecificCharacterSet = ours
    sr.ContentSequence[0].TextValue = text
    back = come_back(lab.part10(sr))
    assert back.PatientName == lab.read(lab.part10(first)).PatientName
    assert back.StudyDescription == first.StudyDescription
    assert back.ContentSequence[0].TextValue == text
    assert back.ContentSequence[2].PersonName == back.PatientName


def test_an_item_with_its_own_character_set_stays_readable(lab, leave, come_back):
    """Text of an item that declares another character set is brought under the one of the whole."""
    sr = lab.report_on(leave(lab.part10(lab.original())))
    sr.ContentSequence[3].SpecificCharacterSet = "ISO_IR 144"
    sr.ContentSequence[3].TextValue = "Лёгкое"
    back = come_back(lab.part10(sr))
    assert back.SpecificCharacterSet == "ISO_IR 192"
    assert back.ContentSequence[3].TextValue == "Лёгкое"
    assert back.ContentSequence[0].TextValue == "Überhang 3 mm"
    assert back.PatientName == lab.original().PatientName
