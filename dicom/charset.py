r"""Text in and out of a dataset by its SpecificCharacterSet (PS3.5 6.1, PS3.3 C.12.1.1.2).

Reading never fails and never warns: what a declared character set cannot decode is read as well
as it can be, since a wrong declaration must not hide an object. Values are read from the raw
bytes, without the checks that a value meets its representation.
"""

import re
import struct
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from pydicom.charset import CODES_TO_ENCODINGS, encode_string, python_encoding
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from dicom.encoding import UNDEFINED_LENGTH

SPECIFIC_CHARACTER_SET: Final = 0x00080005
UTF_8: Final = "ISO_IR 192"
LOCALISED: Final = frozenset({"SH", "LO", "ST", "LT", "PN", "UC", "UT"})
"""The value representations whose text follows SpecificCharacterSet (PS3.5 6.1.2.3)."""

_OFTEN_BYTES: Final = 64
"""Shorter values are remembered: the objects of a Series have nearly all of them in common."""
_ALONE: Final = frozenset({"UTF8", "GBK", "GB18030"})
_FRAGMENTS: Final = re.compile(rb"^[^\x1b]+|\x1b[^\x1b]*")
_PARTS: Final = re.compile(r"([\^=\\\r\n\f\t])")
_RESET: Final = re.compile(rb"[\^=\\\r\n\f\t]")
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "L", "SL": "l"}
_WORDS: Final = LOCALISED | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"}

Encodings = tuple[str, ...]
"""Python's names of the declared character sets, the initial one first."""

_LATIN_9: Final = "iso8859_15"
_ENCODINGS: Final = {
    **python_encoding,
    "ISO_IR 203": _LATIN_9,  # newer than pydicom's table (PS3.3 Table C.12-2)
    "ISO 2022 IR 203": _LATIN_9,
}
TERMS: Final = tuple(term for term in _ENCODINGS if term)
"""The defined terms that are understood."""
_CODES: Final = {**CODES_TO_ENCODINGS, b"\x1b-b": _LATIN_9}
_ASCII: Final = "iso8859"  # pydicom's name for "nothing declared"
ASCII: Final[Encodings] = (_ASCII,)
"""Nothing declared."""


def encodings(terms: Sequence[str]) -> Encodings:
    """Translate defined terms into Python's encodings; slips in spelling are forgiven."""
    found = [_ENCODINGS.get(_spelt(term), "") for term in terms] or [_ASCII]
    if found[0] in _ALONE:
        return (found[0],)
    first = found[0] or _ASCII
    return (first, *(name for name in found[1:] if name and name not in _ALONE))


def _spelt(term: str) -> str:
    slipped = re.fullmatch(r"ISO[ _-]?(2022[ _-])?IR[ _-]?(\d+)", term.strip(), re.IGNORECASE)
    if slipped is None:
        return term.strip()
    return f"ISO 2022 IR {slipped[2]}" if slipped[1] else f"ISO_IR {slipped[2]}"


def terms_of(dataset: Dataset) -> tuple[str, ...]:
    """Read the defined terms of SpecificCharacterSet; none where it is absent or empty."""
    return split_terms(read(dataset, SPECIFIC_CHARACTER_SET, "CS", ASCII))


def split_terms(declared: str) -> tuple[str, ...]:
    """Split the value of SpecificCharacterSet into its defined terms."""
    return tuple(part.strip() for part in declared.split("\\")) if declared else ()


def read(dataset: Dataset, tag: int, vr: str, declared: Encodings) -> str:
    """Read an element as text; "" where it is absent, empty or no text.

    Several values stay joined by a backslash. Padding is stripped from each value.
    """
    element: object = dataset.get_item(tag)
    if isinstance(element, RawDataElement):
        is_sequence = element.VR == "SQ" or element.length == UNDEFINED_LENGTH
        raw = b"" if is_sequence else element.value or b""
        spoken = meant_vr(element.VR or "", vr)
        return of_raw(raw, spoken, declared, little_endian=element.is_little_endian)
    return _of_value(element) if isinstance(element, DataElement) else ""


def meant_vr(own: str, expected: str) -> str:
    """Say by which VR to read an element, given its own and the dictionary's.

    Words where a number belongs are words, and the other way round; else the dictionary knows
    better, as for what has no VR, or was sent as UN (PS3.5 6.2.2).
    """
    if own in _NUMBERS or (own in _WORDS and expected in _NUMBERS):
        return own
    return expected


def of_raw(raw: bytes, vr: str, declared: Encodings, *, little_endian: bool = True) -> str:
    """Read the encoded value of an element as text, as `read` does."""
    if len(raw) <= _OFTEN_BYTES:
        return _of_known(raw, vr, declared, little_endian)
    return _of_raw(raw, vr, declared, little_endian)


def _of_raw(raw: bytes, vr: str, declared: Encodings, little_endian: bool) -> str:  # noqa: FBT001  (lru_cache is quicker without keywords)
    if vr in _NUMBERS:
        layout = ("<" if little_endian else ">") + _NUMBERS[vr]
        whole = len(raw) >= struct.calcsize(layout)
        return str(struct.unpack_from(layout, raw)[0]) if whole else ""
    return _stripped(decode(raw, declared if vr in LOCALISED else ASCII))


_of_known = lru_cache(maxsize=16_384)(_of_raw)


def _of_value(element: DataElement) -> str:
    value = element.value
    if value is None or element.VR == "SQ":
        return ""
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes)):
        parts = [value] if element.VR == "PN" and element.VM == 1 else list(value)
        return _stripped("\\".join(str(part) for part in parts))
    return _stripped(decode(value, ASCII) if isinstance(value, bytes) else str(value))


def _stripped(text: str) -> str:
    # Lone surrogates cannot be stored or sent; zero bytes pad UIDs.
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    if "\\" not in text:
        return text.strip(" \0").replace("\0", "")
    return "\\".join(part.strip(" \0") for part in text.split("\\")).replace("\0", "")


def decode(raw: bytes, declared: Encodings) -> str:
    """Decode bytes; what does not fit its character set is read as UTF-8 or Latin-1 instead."""
    if b"\x1b" in raw:
        return "".join(_fragments(raw, declared))
    if raw.isascii() and declared[0] != "shift_jis":
        return raw.decode("ascii")
    return _tried(raw, declared[0])


def _tried(raw: bytes, encoding: str) -> str:
    wanted = ("utf-8", "latin-1") if encoding == _ASCII else (encoding, "utf-8", "latin-1")
    for name in wanted:
        try:
            return raw.decode(name)
        except UnicodeError:
            continue
    return raw.decode("latin-1")


def _fragments(raw: bytes, declared: Encodings) -> Iterator[str]:
    """Decode what follows each escape sequence with the set that it names (PS3.5 6.1.2.5)."""
    for fragment in _FRAGMENTS.findall(raw):
        if not fragment.startswith(b"\x1b"):
            yield decode(fragment, declared)
            continue
        length = 4 if fragment[1:3] in {b"$(", b"$)"} else 3
        encoding = _CODES.get(fragment[:length], declared[0])
        if encoding.startswith("iso2022_jp"):  # Python reads these escapes itself
            yield _tried(fragment, encoding)
            continue
        body = fragment[length:]
        reset = _RESET.search(body)
        # A delimiter returns to the initial set; where that is plain ASCII, bytes above 0x7F
        # behind it can only belong to the set that was left.
        if reset is None or declared[0] == _ASCII:
            yield _tried(body, encoding)
        else:
            yield _tried(body[: reset.start()], encoding)
            yield decode(body[reset.start() :], declared)


def encode(text: str, declared: Encodings) -> bytes:
    """Encode text; what no declared set has becomes a question mark.

    Each part between delimiters stands by itself, as the initial set returns there
    (PS3.5 6.1.2.5.3).
    """
    if text.isascii():
        return text.encode("ascii")
    if len(declared) == 1 and declared[0] != "shift_jis":
        return text.encode(declared[0], "replace")
    parts = _PARTS.split(text)
    return b"".join(
        part.encode("ascii") if part.isascii() else encode_string(part, list(declared))
        for part in parts
    )


def answer_terms(texts: Iterable[str], asked: Sequence[str]) -> tuple[str, ...]:
    """Choose the SpecificCharacterSet of an answer: none, the requester's, or else UTF-8."""
    texts = [text for text in texts if not text.isascii()]
    if not texts:
        return ()
    declared = encodings(asked)
    is_known = len(declared) == 1 or _LATIN_9 not in declared  # pydicom writes the escapes
    if declared != ASCII and is_known and all(_fits(text, declared) for text in texts):
        return tuple(asked)
    return (UTF_8,)


def _fits(text: str, declared: Encodings) -> bool:
    if not all(any(_has(character, name) for name in declared) for character in text):
        return False
    parts = re.split(r"[\^=\\]", text)
    return all(decode(encode(part, declared), declared) == part for part in parts)


def _has(character: str, encoding: str) -> bool:
    if character.isascii():
        return True
    if encoding == _ASCII:
        return False
    try:
        encoded = character.encode(encoding)
    except UnicodeError:
        return False
    # JIS X 0201 has single bytes only, although Python's codec knows more.
    return encoding != "shift_jis" or len(encoded) == 1
