"""Which text names a patient, and which only looks like it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid import needles, text
from deid.identity import Identity

NAMES = [
    ("Lee^Bruce", "Dr. LEE was here", True),
    ("Lee^Bruce", "SLEEPING", False),
    ("Doe^John", "doe_john.dcm", True),
    ("Doe^John", "JOHNDOE", True),
    ("Doe^John", "johndoes", False),
    ("Li^Wei", "Li", True),
    ("Li^Wei", "Li-ion battery", False),
    ("Li^Wei", "scan of li wei", True),
    ("O'Brien^Pat", "o'brien", True),
    ("Müller^Jörg", "MUELLER", True),
    ("Müller^Jörg", "Muller", True),
    ("Mu\u0308ller", "M\u00fcller", True),
    ("van der Berg^Jan", "VAN DER BERG", True),
    ("山田^太郎", "検査山田太郎様", True),
    ("Yamada^Tarou=山田^太郎=やまだ^たろう", "やまだ", True),
    ("Head^Anthony", "HEAD", False),
    ("Head^Anthony", "head anthony", True),
    ("Doe^John^^Dr^MD", "MD", False),
    ("Zylandergraf^Theodora", "CT_ZylandergrafHead", True),
    ("Zylandergraf^Theodora", "Zylander-graf", True),
    ("Zylandergraf^Theodora", "Z y l a n d e r g r a f", True),
    ("Zylandergraf^Theodora", "Zylander\u00adgraf \u200b", True),
    ("Zylandergraf^Theodora", "\uff3a\uff39LANDERGRAF", True),
    ("Smith^Ann", "SMITH2", True),
    ("Smith^Ann", "ct20190304smith", True),
    ("Tse^Ann", "tse2d1_9", False),
    ("Smith^Ann", "blacksmiths", False),
    ("O'Brien^Pat", "obrien_head", True),
    ("van der Berg^Jan", "VANDERBERG", True),
    ("Mueller^Joerg", "Müller", True),
    ("山田^太郎", "山 田 太 郎", True),
    ("Yamada^Tarou==やまだ^たろう", "ヤマダ", True),
    ("Yamada^Tarou==やまだ^たろう", "\uff94\uff8f\uff80\uff9e", True),
    ("CT", "CT", False),
    ("Anonymous", "ANONYMOUS", False),
    ("^^^^", "^^^^", False),
    ("", "", False),
]
IDENTIFIERS = [
    ("77654033", "No. 77654033", True),
    ("77654033", "177654033", False),
    ("A-12/3456", "a 12 3456", True),
    ("A-12/3456", "A123456", True),
    ("MRN-4482913", "No. 4482913", True),
    ("MRN-4482913", "PAT0004482913", True),
    ("MRN-4482913", "448 29 13", True),
    ("MRN-4482913", "\u0664\u0664\u0668\u0662\u0669\u0661\u0663", True),
    ("MRN-4482913", "44829130", False),
    ("CT20190304", "20190304", False),
    ("1", "1", False),
    ("12", "12", False),
    ("204", "204", True),
    ("204", "204 mm", False),
    ("2004", "VB 2004", False),
    ("ANON", "anon", False),
    ("PHANTOM", "Phantom", False),
    ("4MR1", "4MR1", True),
]
DATES = [
    ("19670131", "born 19670131", True),
    ("19670131", "1967-01-31", True),
    ("19670131", "31.1.1967", True),
    ("19670131", "31 Jan 1967", True),
    ("19670131", "January 31, 1967", True),
    ("19670131", "19670131120000.00", True),
    ("19670131", "31st of January 1967", True),
    ("19670131", "31JAN1967", True),
    ("19670131", "31. Januar 1967", True),
    ("19670131", "31 de enero de 1967", True),
    ("19670131", "31 января 1967", True),
    ("19670131", "1967年1月31日生まれ", True),
    ("19670131", "31.01.67", True),
    ("19670131", "310167", True),
    ("19670131", "3.1.67", False),
    ("19670131", "1967", False),
    ("20000101", "20000101", False),
    ("1967", "1967", False),
    ("19671331", "19671331", True),
]
PLACES = [
    ("Mercy Hospital", "MERCY  HOSPITAL, ward 3", True),
    ("Mercy Hospital", "hospital", False),
    ("12 High St", "12 High St.", True),
    ("Zylberfried Hospital", "CT Zylberfried 2", True),
    ("Zylberfried Hospital", "hospital bed", False),
]
PHONES = [("+49 (30) 123-4567", "49301234567", True), ("+49 (30) 123-4567", "49 30 123 4567", True),
          ("030 5551234", "+49 30 5551234", True), ("030 5551234", "555 12 34", True),
          ("030 5551234", "30 555", False)]  # fmt: skip


def finds(forms, value: str) -> bool:
    return bool(Identity(tuple((each, "kind") for each in forms), (), frozenset()).in_text([value]))


@pytest.mark.parametrize(("who", "value", "hit"), NAMES)
def test_names_are_found_as_people_write_them(who, value, hit):
    """A name is found in every spelling and never inside another word."""
    assert finds(needles.of_name(who), value) == hit


@pytest.mark.parametrize(("who", "value", "hit"), IDENTIFIERS)
def test_identifiers_are_found_unless_they_point_at_nobody(who, value, hit):
    """Long identifiers are words, short ones whole values, the shortest nothing."""
    assert finds(needles.of_identifier(who), value) == hit


@pytest.mark.parametrize(("who", "value", "hit"), DATES)
def test_birth_dates_are_found_in_their_written_forms(who, value, hit):
    """A birth date is found however it is written, the dummy date is not one."""
    dates = tuple((each, "birth date") for each in needles.of_birth_date(who))
    assert bool(Identity((), (), frozenset(), dates).in_text([value])) == hit


@pytest.mark.parametrize(("who", "value", "hit"), PLACES)
def test_places_are_found_as_whole_phrases(who, value, hit):
    """A hospital is its whole name."""
    assert finds(needles.of_place(who), value) == hit


@pytest.mark.parametrize(("who", "value", "hit"), PHONES)
def test_telephone_numbers_are_found_by_their_digits(who, value, hit):
    """Grouping hides no telephone number."""
    assert finds(needles.of_telephone(who), value) == hit


@given(st.text(st.characters(codec="utf-8"), min_size=3), st.text(max_size=20))
def test_a_whole_name_is_always_found_between_spaces(name, around):
    """Whatever a name is made of, it is found again in text unless it is no word at all."""
    forms = list(needles.of_name(name))
    value = f"{around} {' '.join(name.split('=')[0].split('^')[:3])} {around}"
    words = text.words(name.split("=")[0].split("^")[0])
    told = [each for each in words if f" {each} " in forms]
    assert not told or finds(forms, value)


def test_a_uid_is_found_in_text_and_in_bytes():
    """An original UID is found with anything around it, also with components behind it."""
    who = Identity((), (), frozenset({"1.2.276.0.7230010.3.1"}))
    assert who.in_text(["see 1.2.276.0.7230010.3.1."]) == "UID"
    assert who.in_text(["1.2.276.0.7230010.3.1.5"]) == "UID"
    assert who.in_text(["1.2.276.0.7230010.3.15"]) == ""
    assert who.in_bytes(b"\0\0001.2.276.0.7230010.3.1\0") == "UID"


def test_an_identity_shows_no_values_by_accident(profile):
    """A compiled profile can be printed without its key."""
    assert "Pseudonyms" not in repr(profile)
