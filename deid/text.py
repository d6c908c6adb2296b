"""Text of elements: decoded by its character sets, and brought to a form that can be compared.

The canonical form makes every search a search for a plain substring: words set apart by single
spaces, values set apart by bars, so that " lee " is a word and "| lee |" is a whole value. Neither
punctuation, case, full width, kana nor invisible characters hide a match: "DOE^JOHN",
"doe_john" and "Doe, John" agree, and so do "ヤマダ" and "やまだ".
"""

import re
import unicodedata
import warnings
from collections.abc import Iterable
from typing import Final

from pydicom.charset import decode_bytes, encode_string, python_encoding

from dicom.errors import DeidFault

TEXT_VRS: Final = frozenset({"LO", "LT", "PN", "SH", "ST", "UC", "UT"})
"""VRs that SpecificCharacterSet governs (PS3.5 6.1.2.2)."""
SINGLE_VALUED: Final = frozenset({"LT", "ST", "UT"})
"""VRs in which a backslash is text (PS3.5 6.2)."""

_WORD: Final = re.compile(r"[^\W_]+")
_DELIMITERS: Final = set(b"\r\n\t\f\\^=")
_PIECE: Final = re.compile(r"[^\W\d_]+|0*([0-9]+)|\|")
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_FOLDED: Final = {code: code - 0x60 for code in range(0x30A1, 0x30F7)} | {
    zero + digit: 0x30 + digit for zero in (0x0660, 0x06F0) for digit in range(10)
}
"""Katakana to hiragana, and Arabic-Indic digits to ASCII."""
_SPELLED: Final = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ø": "oe", "å": "aa", "æ": "ae"})

DEFAULT_CODECS: Final = (python_encoding[""],)


def codecs(specific_character_set: bytes) -> tuple[str, ...]:
    """Turn the value of SpecificCharacterSet into Python codecs (PS3.3 C.12.1.1.2).

    Raises DeidFault for a character set that the standard does not define: text in it cannot
    be searched.
    """
    terms = specific_character_set.decode("ascii", "replace").rstrip("\0 ").split("\\")
    try:
        return tuple(python_encoding[term.strip()] for term in terms)
    except KeyError:
        raise DeidFault("(0008,0005) names an unknown character set") from None


def decode(value: bytes, by: tuple[str, ...]) -> str:
    """Decode a value, code extensions included (PS3.5 6.1.2.5).

    Raises UnicodeError when it is not text in these character sets.
    """
    if b"\x1b" not in value:
        return value.decode(by[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns and puts U+FFFD; judged below
        text = decode_bytes(value, by, _DELIMITERS)
    if "\ufffd" in text or "\x1b" in text:
        raise UnicodeError("escape sequences do not decode")
    return text


def encode(value: str, by: tuple[str, ...]) -> bytes:
    """Encode a value so that `decode` gives it back, code extensions included.

    Raises UnicodeError when these character sets cannot write it.
    """
    if value.isascii():
        return value.encode("ascii")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns and puts "?"; judged below
        encoded = value.encode(by[0]) if len(by) == 1 else encode_string(value, by)
    if decode(encoded, by) != value:
        raise UnicodeError("the character sets cannot write this text")
    return encoded


def words(text: str) -> list[str]:
    """Split text into its words in canonical form."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).translate(_FOLDED)
    return _WORD.findall(text.casefold())


def canonical(values: Iterable[str]) -> str:
    """Write values in canonical form: "| first value | second value |"."""
    return "| " + " | ".join(" ".join(words(value)) for value in values) + " |"


def apart(canonical_text: str) -> str:
    """Set numbers apart from letters in canonical text, and take their leading zeros off.

    "| head3 | mrn00471 |" becomes "| head 3 | mrn 471 |".
    """
    found = _PIECE.finditer(canonical_text)
    return " ".join(each[1] or each[0] for each in found)


def plain(word: str) -> set[str]:
    """Spell a canonical word without diacritics, in the ways people type it."""
    if word.isascii():
        return set()
    bare = "".join(c for c in unicodedata.normalize("NFKD", word) if not unicodedata.combining(c))
    spelled = unicodedata.normalize("NFC", word).translate(_SPELLED)
    return {bare, spelled} - {word}


def has_word_gaps(word: str) -> bool:
    """Whether the word's script sets words apart (Thai, Chinese, Japanese, Korean do not)."""
    return all(ord(character) < 0x0E00 for character in word)
