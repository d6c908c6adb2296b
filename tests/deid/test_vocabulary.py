"""Cleaned text keeps words of medicine and measures, and nothing else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid import cleaning, text, vocabulary

CLEANED = [
    ("T1 axial brain post contrast", "T1 axial brain post contrast"),
    ("Thorax Hr. Mustermann nativ", "Thorax nativ"),
    ("CT ABDOMEN 5.0 mm", "CT ABDOMEN 5.0 mm"),
    ("slice 1.25mm 3x3 L4-L5", "slice 1.25mm 3x3 L4-L5"),
    ("born 12.05.1978", ""),
    ("brain 2019-03-04", "brain"),
    ("brain 12/05/78", "brain"),
    ("brain 1978", "brain"),
    ("call 030 1234567", ""),
    ("call 555 12 34", ""),
    ("MRN 77654033", ""),
    ("MRN 7765-4033", ""),
    ("liver http://pacs/x?id=7 seen", "liver seen"),
    ("liver jane.doe@mercy.org", "liver"),
    ("Schädel nativ für Müller", "Schädel nativ für"),
    ("Thorax en deux incidences M. Dupont", "Thorax en"),
    ("Голова без контраста Иванов", "Голова без"),
    ("头部平扫", "头部平扫"),
    ("头部平扫王小明", "头部平扫"),
    ("左文", ""),
    ("胸部CT検査 山田太郎", "胸部CT検査"),
    ("liver Simpson Wilson king May", "liver"),
    ("SpinalCord", "SpinalCord"),
    ("Parotid_L, PTV70, CTV5040", "Parotid_L, PTV70, CTV5040"),
    ("PTV1978", ""),
    ("PTV77654", ""),
    ("PTV12and34", ""),
    ("McLeodHead", ""),
    ("HeadSmith", ""),
    ("DRSMITHhead", ""),
    ("liver Fitzpatrick Goldstein Haas", "liver"),
    ("head^neck", "head neck"),
    ("", ""),
    ("Doe", ""),
]


@pytest.fixture(scope="module")
def words():
    return vocabulary.shipped()


@pytest.mark.parametrize(("before", "after"), CLEANED)
def test_words_on_the_list_stay_and_every_other_goes(words, before, after):
    """Names, dates, telephone and record numbers, addresses vanish; protocol words stay."""
    assert words.clean(before, lambda _: "") == after


def test_a_uid_in_text_is_replaced(words):
    """A UID is mapped, so that a reference in words still leads somewhere."""
    said = words.clean("see 1.2.276.0.7230010.3.1 of liver", lambda _: "2.25.7")
    assert said.endswith("2.25.7 of liver")


def test_line_breaks_stay(words):
    """A report keeps its lines."""
    assert words.clean("liver normal\r\nDr Doe\r\nkidney normal", lambda _: "").split("\r\n")[
        0
    ] == ("liver normal")


def test_a_sites_own_words_are_added(words, tmp_path):
    """A site's list adds to the shipped one, and the digest tells the two apart."""
    own = tmp_path / "words.txt"
    own.write_text("# ours\nZebrasequenz gonzo\n", "utf-8")
    more = vocabulary.with_own_words(own)
    assert words.clean("zebrasequenz", lambda _: "") == ""
    assert more.clean("Zebrasequenz GONZO", lambda _: "") == "Zebrasequenz GONZO"
    assert more.digest() != words.digest()


def test_no_common_name_is_a_word(words):
    """Words that are names of many people are not on the list."""
    assert not {"smith", "wilson", "miller", "maria", "berlin", "wang", "march"} & words.words


@given(st.text(max_size=200))
def test_what_remains_was_there_before(value):
    """Cleaning adds no character but spaces and line breaks, and a second time changes nothing."""
    words = vocabulary.shipped()
    once = words.clean(value, lambda _: "")
    assert set(once) - set(value) <= set(" \r\n")
    assert words.clean(once, lambda _: "") == once


CHARSETS = [
    ("ISO_IR 100", "Schädel Müller nativ"),
    ("ISO_IR 192", "頭部 山田太郎"),
    ("ISO_IR 144", "Голова Иванов без"),
    ("GB18030", "头部平扫 王小明"),
    ("\\ISO 2022 IR 87", "CT 頭部 山田 scan"),
    ("\\ISO 2022 IR 149", "CT 흉부 김민수 scan"),
]


@pytest.mark.parametrize(("charset", "value"), CHARSETS)
@pytest.mark.parametrize("vr", ["LO", "LT"])
def test_cleaned_text_is_valid_in_its_character_set(words, charset, value, vr):
    """What remains decodes in the character set that it came in."""
    by = text.codecs(charset.encode())
    raw = text.encode(value, by)
    new = cleaning.cleaned(vr, raw, by, words, lambda _: "")
    said = text.decode(new, by)
    assert said
    assert set(said) <= set(value)
    assert len(said) < len(value)


@pytest.mark.parametrize(
    ("vr", "before", "after"),
    [("CS", "BRAIN", "BRAIN"), ("CS", "BRAIN_DOE", ""), ("AE", "CT1_MERCY", ""),
     ("LO", "brain\\Doe\\liver", "brain\\\\liver"), ("LT", "brain\\liver Doe", "brain liver")],
)  # fmt: skip
def test_values_stay_valid_for_their_vr(words, vr, before, after):
    """Words that cannot be cut go whole, lists keep their places, text loses no line."""
    new = cleaning.cleaned(vr, before.encode(), text.DEFAULT_CODECS, words, lambda _: "")
    assert new.decode() == after
