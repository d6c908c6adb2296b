"""Text in and out of datasets by SpecificCharacterSet."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.data import get_charset_files
from pydicom.dataset import Dataset, FileMetaDataset

from dicom import charset

NAME = 0x00100010

# Terms, and a text that only they can carry.
SPOKEN = {
    "Latin-1": (("ISO_IR 100",), "Müller^Jérôme"),
    "Latin-2": (("ISO_IR 101",), "Wałęsa^Łukasz"),
    "Cyrillic": (("ISO_IR 144",), "Люкceмбypг"),  # noqa: RUF001  (Cyrillic is meant)
    "Greek": (("ISO_IR 126",), "Διονυσιος"),
    "Arabic": (("ISO_IR 127",), "قباني^لنزار"),
    "Hebrew": (("ISO_IR 138",), "שרון^דבורה"),
    "Thai": (("ISO_IR 166",), "สมชาย"),
    "Japanese": (("", "ISO 2022 IR 87"), "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "half-width kana": (("ISO_IR 13",), "ﾔﾏﾀﾞ^ﾀﾛｳ"),
    "Korean": (("", "ISO 2022 IR 149"), "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": (("GB18030",), "Wang^XiaoDong=王^小东"),
    "Chinese GBK": (("GBK",), "Wang^XiaoDong=王^小东"),
    "UTF-8": (("ISO_IR 192",), "Buc^Jérôme=山田"),
}


def written(name: str, terms: tuple[str, ...]) -> Dataset:
    """Write a dataset with pydicom and read it back, so that its elements are raw."""
    dataset = Dataset()
    dataset.SpecificCharacterSet = list(terms) if len(terms) > 1 else terms[0]
    dataset.PatientName = name
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1"
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.3"
    dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return dcmread(io.BytesIO(buffer.getvalue()))


@pytest.mark.parametrize(("terms", "name"), SPOKEN.values(), ids=SPOKEN)
def test_a_name_is_read_in_its_character_set(terms: tuple[str, ...], name: str) -> None:
    """Bytes in a declared character set come out as the text that was meant."""
    dataset = written(name, terms)
    declared = charset.encodings(charset.terms_of(dataset))
    assert charset.read(dataset, NAME, "PN", declared) == name


@pytest.mark.parametrize(("terms", "name"), SPOKEN.values(), ids=SPOKEN)
def test_an_answer_keeps_the_requesters_character_set(terms: tuple[str, ...], name: str) -> None:
    """A text that the requester's character set can carry is answered in it."""
    assert charset.answer_terms([name, "plain"], terms) == terms


@pytest.mark.parametrize(
    ("texts", "asked", "answered"),
    [
        (["Doe^John", ""], (), ()),
        (["Doe^John"], ("ISO_IR 100",), ()),
        (["Müller"], (), ("ISO_IR 192",)),
        (["Müller"], ("ISO_IR 6",), ("ISO_IR 192",)),
        (["Müller", "山田"], ("ISO_IR 100",), ("ISO_IR 192",)),
        (["Müller"], ("", "ISO 2022 IR 87"), ("ISO_IR 192",)),
        (["Διονυσιος"], ("ISO_IR 144",), ("ISO_IR 192",)),
        (["山田"], ("ISO_IR 13",), ("ISO_IR 192",)),
        (["Müller"], ("no such set",), ("ISO_IR 192",)),
    ],
)
def test_an_answer_names_the_character_set_that_it_needs(
    texts: list[str], asked: tuple[str, ...], answered: tuple[str, ...]
) -> None:
    """None for ASCII, the requester's where it carries everything, otherwise UTF-8."""
    assert charset.answer_terms(texts, asked) == answered


@pytest.mark.parametrize(
    ("raw", "terms", "text"),
    [
        ("Müller".encode("latin-1"), (), "Müller"),
        ("Müller".encode(), (), "Müller"),
        ("Müller".encode("latin-1"), ("ISO_IR 192",), "Müller"),
        ("Müller".encode("latin-1"), ("ISO-IR 100",), "Müller"),
        ("Müller".encode("latin-1"), ("ISO 2022 IR 100", "ISO 2022 IR 87"), "Müller"),
        ("Müller".encode("latin-1"), ("nonsense",), "Müller"),
        (b"Doe\x1b(Z\xff", ("ISO 2022 IR 6",), "Doeÿ"),
        (b"Doe\x1b", (), "Doe"),
    ],
)
def test_a_wrong_declaration_still_gives_text(
    raw: bytes, terms: tuple[str, ...], text: str
) -> None:
    """Bytes that do not fit their declared character set are read as well as they can be."""
    assert charset.decode(raw, charset.encodings(terms)) == text


@given(st.binary(max_size=60), st.lists(st.sampled_from(["", *charset.python_encoding, "x"])))
def test_no_bytes_make_reading_raise_or_warn(raw: bytes, terms: list[str]) -> None:
    """Any bytes under any declaration decode to text that can be written as UTF-8."""
    charset.decode(raw, charset.encodings(terms))


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("chrFrenMulti.dcm", "Buc^Jérôme"),
        ("chrH31.dcm", "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        ("chrH32.dcm", "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"),
        ("chrI2.dcm", "Hong^Gildong=洪^吉洞=홍^길동"),
        ("chrX1.dcm", "Wang^XiaoDong=王^小東"),
        ("chrX2.dcm", "Wang^XiaoDong=王^小东"),
        ("chrRuss.dcm", "Люкceмбypг"),  # noqa: RUF001  (Cyrillic is meant)
        ("chrGreek.dcm", "Διονυσιος"),
        ("chrArab.dcm", "قباني^لنزار"),
        ("chrHbrw.dcm", "שרון^דבורה"),
        ("chrGerm.dcm", "Äneas^Rüdiger"),
        ("chrKoreanMulti.dcm", "김희중"),
    ],
)
def test_real_files_of_many_languages_are_read(file: str, expected: str) -> None:
    """The names in real files of PS3.5's example languages come out right."""
    dataset = dcmread(get_charset_files(file)[0])
    declared = charset.encodings(charset.terms_of(dataset))
    assert charset.read(dataset, NAME, "PN", declared).rstrip("=") == expected


@pytest.mark.parametrize(
    ("terms", "name", "written"),
    [
        (["ISO_IR 100"], "Buc^Jérôme", b"Buc^J\xe9r\xf4me"),
        (["ISO_IR 203"], "Œuf^Žoë", b"\xbcuf^\xb4o\xeb"),
        (["GB18030"], "王^小东", b"\xcd\xf5^\xd0\xa1\xb6\xab"),
        (["GBK"], "张", b"\xd5\xc5"),
        (["ISO_IR 166"], "ชื่อ", b"\xaa\xd7\xe8\xcd"),
        (
            ["", "ISO 2022 IR 87"],
            "Yamada^Tarou=山田^太郎",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        ),
        (
            ["", "ISO 2022 IR 149"],
            "Hong^Gildong=洪^吉洞",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
        ),
        (["ISO_IR 100"], "王", b"?"),
    ],
)
def test_text_is_written_as_the_standard_shows(terms: list[str], name: str, written: bytes) -> None:
    """The bytes are those of PS3.5 Annexes H to J: each part between delimiters by itself."""
    declared = charset.encodings(terms)
    assert charset.encode(name, declared) == written
    if b"?" not in written:
        assert charset.decode(written, declared) == name
