"""The search in bytes: every encoding, any place, and nothing in noise."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deid.scan import needles
from deid.scan.needles import ByteSearch
from deid.scan.wanted import read


def lines(search, data):
    return {needle.wanted.line for _, needle in search.find(data)}


@pytest.fixture(scope="module")
def search(identity):
    return ByteSearch(read(identity.encode()))


@pytest.mark.parametrize(
    ("text", "encoding", "of"),
    [
        ("Mustermann", "ascii", "name"),
        ("MUSTERMANN", "utf-16-le", "name"),
        ("mustermann", "utf-16-be", "name"),
        ("Änne^Mustermann", "iso8859-1", "name"),
        ("ÄNNE_MUSTERMANN", "utf-8", "name"),
        ("pat-4711-x", "ascii", "id"),
        ("PAT4711X", "utf-16-le", "id"),
        ("19570312", "ascii", "date"),
        ("12/03/1957", "ascii", "date"),
        ("+49 30 9018-2044", "ascii", "phone"),
        ("493090182044", "ascii", "phone"),
        ("1.2.840.99999.77.1", "ascii", "uid"),
        ("山田太郎", "utf-8", "kanji"),
        ("山田", "shift_jis", "kanji"),
        ("山田", "euc_jp", "kanji"),
        ("山田^太郎", "gb18030", "kanji"),
        ("山田 太郎", "utf-16-le", "kanji"),
    ],
)
def test_each_encoding_is_found(search, line, text, encoding, of):
    """A name or number is found in the bytes of whatever encoding it was written in."""
    assert line[of] in lines(search, b"\x01\x00" + text.encode(encoding) + b"\x00\xff")


def test_iso_2022_is_found_between_escapes():
    """A name of three signs is found in ISO 2022, where its signs are printable letters."""
    search = ByteSearch(read("長谷川^太郎".encode()))
    assert lines(search, "x^長谷川^".encode("iso2022_jp")) == {1}


def test_every_line_at_one_place_is_told():
    """Where one line's text begins like another's, both are found."""
    search = ByteSearch(read(b"name: Mustermann\nname: Mustermannson\nid: ermannson"))
    assert lines(search, b"x mustermannson y") == {1, 2, 3}


@pytest.mark.parametrize("data", [b"x1.2.840.99999.77.12", b"119570312", b"xpat-4x"])
def test_longer_numbers_are_others(search, data):
    """A needle inside a longer number is not that number; a UID's root may be followed by more."""
    assert lines(search, data) == set()
    assert lines(search, b"1.2.840.99999.77.1.9") != set()


@given(st.integers(0, 80))
def test_a_needle_across_the_seam_is_found_once(at):
    """Wherever a needle lies relative to the pieces that are read, it is found, and once."""
    search = ByteSearch(read(b"name: Mustermann"))
    data = bytearray(300)
    data[60 + at : 70 + at] = b"MUSTERMANN"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(needles, "_CHUNK", 100)
        assert [offset for offset, _ in search.find(data)] == [60 + at]


def test_noise_holds_nobody(search):
    """Megabytes of noise, and of dark pixels of 16 bits, hold no line by chance."""
    chance = random.Random(4)
    assert lines(search, chance.randbytes(4 << 20)) == set()
    pixels = b"".join(bytes([chance.randrange(40, 90), 0]) for _ in range(1 << 18))
    assert lines(search, pixels) == set()
