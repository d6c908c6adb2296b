"""The search in decoded text: it finds every spelling, and leaves other words alone."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid.scan.fuzzy import ReadSearch, occurs
from deid.scan.texts import TextSearch
from deid.scan.wanted import read


def lines(search, text):
    return {each.line for each in search.find(text)}


@pytest.fixture(scope="module")
def search(identity):
    return TextSearch(read(identity.encode()))


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("seen Dr. mustermann today", "name"),
        ("MUSTERMANN", "name"),
        ("Anne Mustermann", "name"),
        ("M\u00fcstermann, A\u0308nne", "name"),
        ("Aenne", "name"),
        ("MustermannÄnne", "name"),
        ("mustermann_anne_ct", "name"),
        ("Mustermanns Kopf", "name"),
        ("pat 4711 x", "id"),
        ("PAT4711X", "id"),
        ("born 12.03.1957", "date"),
        ("19570312120000", "date"),
        ("March 12, 1957", "date"),
        ("12. März 1957", "date"),
        ("12-MAR-1957", "date"),
        ("3/12/1957", "date"),
        ("call 0049 (30) 90182044", "phone"),
        ("4930 9018 2044", "phone"),
        ("see 1.2.840.99999.77.1 and", "uid"),
        ("1.2.840.99999.77.1.5", "uid"),
        ("山田", "kanji"),
        ("患者は山田太郎です", "kanji"),
        ("Dr LEE", "short"),
        ("Bo Lee", "short"),
        ("Bo", "short"),
        ("x\\Bo", "short"),
    ],
)
def test_each_spelling_is_found(search, line, text, of):
    """Case, accents, order, punctuation, written dates and grouped numbers hide nothing."""
    assert line[of] in lines(search, text)


@pytest.mark.parametrize(
    "text",
    [
        "SLEEPING",
        "elbow, lateral",
        "Bo bo bo",
        "1957",
        "1.2.840.99999.77.12",
        "11.2.840.99999.77.1",
        "119570312",
        "4711",
        "lossless",
        "",
    ],
)
def test_other_words_are_left_alone(search, text):
    """A short name inside a word, a longer UID or number, is nobody's."""
    assert lines(search, text) == set()


@given(st.text(st.characters(categories=["L"]), min_size=8, max_size=20), st.text(max_size=40))
def test_a_name_is_found_in_any_text(name, around):
    """Whatever letters a name has, and whatever stands around it, upper or lower, is found."""
    search = TextSearch(read(f"name: {name}".encode()))
    for written in (name, name.upper(), name.lower(), unicodedata.normalize("NFD", name)):
        assert lines(search, f"{around} {written} {around}") == {1}


@pytest.mark.parametrize(
    ("read_text", "found"),
    [
        ("MUSTERMANN", True),
        ("MUSTERMAN", True),
        ("MUSTEEMANN", True),
        ("MUSTERMMANN", True),
        ("NUSTERM4NN", False),
        ("MU5TERMANN ANNE", True),
        ("PAT-47ll-X", True),
        ("KV 120 MA 55", False),
        ("O1:15:55", False),
    ],
)
def test_ocr_may_err_in_one_letter(identity, read_text, found):
    """One letter wrong, missing or too many, and letters that look alike, are forgiven."""
    assert bool(ReadSearch(read(identity.encode())).find([read_text])) == found


@given(st.text("abcdefgh", min_size=6, max_size=12), st.data())
def test_any_single_error_is_forgiven(form, data):
    """A form is found after any one letter was changed, dropped or added."""
    at = data.draw(st.integers(0, len(form) - 1))
    letter = data.draw(st.sampled_from("xyz"))
    for wrong in (
        form[:at] + letter + form[at + 1 :],
        form[:at] + form[at + 1 :],
        form[:at] + letter + form[at:],
    ):
        assert occurs(form, f"..{wrong}..")
