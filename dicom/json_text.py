"""Values of a dataset as text of the DICOM JSON Model, out of their raw bytes (PS3.18 F.2).

Text is written at once, not objects: nearly all elements of a Series repeat, and text is kept.
"""

import array
import base64
import math
import re
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from json.encoder import encode_basestring as quoted
from typing import Final

from pydicom.datadict import dictionary_VR, private_dictionary_VR

from dicom import charset

Parts = dict[int, str]
"""Elements by tag, in the order of tags: JSON text like `"0020000D":{...}`."""

UTF_8: Final = '{"vr":"CS","Value":["ISO_IR 192"]}'
"""SpecificCharacterSet of whatever is told: JSON is UTF-8."""

VALUE_LIMIT_BYTES: Final = 4096
"""What is longer is bulk data: named, not told."""

_BULK: Final = frozenset(
    {"DS", "FL", "FD", "IS", "LT", "OB", "OD", "OF", "OL", "OV", "OW", "SL", "SS", "ST", "SV"}
    | {"UC", "UL", "UN", "UR", "US", "UT", "UV"}
)
_SHORT_TEXT_LIMIT_BYTES: Final = 1 << 16  # of the other VRs; more than explicit VR can say
_WHOLE_TEXT: Final = frozenset({"LT", "ST", "UT", "UR"})  # a backslash is part of the value
_WORDS: Final = frozenset({"AE", "AS", "CS", "DA", "DT", "LO", "SH", "TM", "UC", "UI"})
_LAYOUTS: Final = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
_SWAPPED: Final = {"OW": "H", "OF": "f", "OL": "I", "OD": "d", "OV": "Q"}
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.\d{1,30})?", re.ASCII)
_DECIMAL: Final = re.compile(
    r"[+-]?(?:\d{1,40}\.?\d{0,40}|\.\d{1,40})(?:[eE][+-]?\d{1,3})?", re.ASCII
)
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def head_text(parts: Parts) -> str:
    """Join the elements of a dataset to one JSON object."""
    return f"{{{','.join(parts.values())}}}"


def named(tag: int, text: str) -> str:
    """Write an element with its tag before it."""
    return f'"{tag:08X}":{text}'


def sequence_text(items: Sequence[str]) -> str:
    """Write a sequence of items that are written already."""
    return f'{{"vr":"SQ","Value":[{",".join(items)}]}}' if items else '{"vr":"SQ"}'


def is_bulk(vr: str, length_bytes: int) -> bool:
    """Whether a value is too long to be told (PS3.18 Table F.2.3-1 says of which VRs)."""
    limit = VALUE_LIMIT_BYTES if vr in _BULK else _SHORT_TEXT_LIMIT_BYTES
    return length_bytes > limit


def bulk_text(vr: str, path: str) -> str:
    """Write an element whose value is told elsewhere (PS3.18 F.2.6)."""
    return f'{{"vr":"{vr}","BulkDataURI":"{path}"}}'


def value_text(vr: str, raw: bytes, declared: charset.Encodings, order: str) -> str:
    """Write an element that is no sequence, with its value where it has one (PS3.18 F.2.2).

    `order` is "<" or ">" as in `struct`. Bytes that do not fit their VR are told as they are, as
    UN. Nothing is raised.
    """
    if not raw:
        return f'{{"vr":"{vr}"}}'
    if vr in _LAYOUTS or vr == "AT":
        size = struct.calcsize("<" + _LAYOUTS.get(vr, "L"))
        if len(raw) % size:
            return _binary("UN", raw)
        values: Iterator[str] = _tags(raw, order) if vr == "AT" else _numbers(vr, raw, order)
    elif vr == "PN":
        values = _names(raw, declared)
    elif vr in {"DS", "IS"}:
        values = (_number(one.strip()) for one in _text(raw, charset.ASCII).split("\\"))
    elif vr in _WHOLE_TEXT:
        values = iter([_word(_text(raw, declared if vr != "UR" else charset.ASCII).rstrip(" "))])
    elif vr in _WORDS:
        own = declared if vr in charset.LOCALISED else charset.ASCII
        values = (_word(one.strip(" ")) for one in _text(raw, own).split("\\"))
    else:
        return _binary(vr, raw, order)
    found = list(values)
    if found.count("null") == len(found):
        return f'{{"vr":"{vr}"}}'
    return f'{{"vr":"{vr}","Value":[{",".join(found)}]}}'


def _binary(vr: str, raw: bytes, order: str = "<") -> str:
    """Write bytes in base64, in little endian (PS3.18 F.2.7)."""
    if order == ">" and vr in _SWAPPED:
        words = array.array(_SWAPPED[vr])
        if len(raw) % words.itemsize == 0:
            words.frombytes(raw)
            words.byteswap()
            raw = words.tobytes()
    return f'{{"vr":"{vr}","InlineBinary":"{base64.b64encode(raw).decode("ascii")}"}}'


def _text(raw: bytes, declared: charset.Encodings) -> str:
    text = charset.decode(raw, declared)
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")  # a lone surrogate is no character
    return text.replace("\0", "")


def _word(text: str) -> str:
    return quoted(text) if text else "null"


def _number(text: str) -> str:
    """Write a DS or IS: a number as it stands where JSON reads it so, else as a string."""
    if _NUMBER.fullmatch(text):
        return text
    if _DECIMAL.fullmatch(text):
        value = float(text)
        if math.isfinite(value):
            bare = text.lstrip("+")
            return str(int(bare)) if bare.lstrip("-").isdigit() else repr(value)
    return _word(text)


def _numbers(vr: str, raw: bytes, order: str) -> Iterator[str]:
    layout = _LAYOUTS[vr]
    size = struct.calcsize("<" + layout)
    for value in struct.unpack(f"{order}{len(raw) // size}{layout}", raw):
        if isinstance(value, float) and not math.isfinite(value):
            yield f'"{"NaN" if math.isnan(value) else value}"'  # NaN, inf, -inf: no JSON numbers
        else:
            yield repr(value)


def _tags(raw: bytes, order: str) -> Iterator[str]:
    halves = struct.unpack(f"{order}{len(raw) // 2}H", raw)
    pairs = zip(halves[::2], halves[1::2], strict=True)
    return (f'"{group:04X}{element:04X}"' for group, element in pairs)


def _names(raw: bytes, declared: charset.Encodings) -> Iterator[str]:
    """Write each person name by its component groups (PS3.18 F.2.2)."""
    for name in _text(raw, declared).split("\\"):
        groups = zip(_GROUPS, name.split("="), strict=False)
        kept = [(word, group.strip()) for word, group in groups]
        parts = [f'"{word}":{quoted(group)}' for word, group in kept if group]
        yield f"{{{','.join(parts)}}}" if parts else "null"


def vr_of(tag: int, creator: str, *, is_signed: bool) -> str:
    """Say the VR of a tag whose element does not (PS3.5 A.1, PS3.6); UN where nobody knows.

    `creator` is the private creator of a private tag. `is_signed`: the object's
    PixelRepresentation is 1, which decides about US or SS.
    """
    words = _vr_words(tag, creator)
    if " or " not in words:
        return words
    return "OW" if "OW" in words else "SS" if is_signed else "US"


@lru_cache(maxsize=8192)
def _vr_words(tag: int, creator: str) -> str:
    group, element = tag >> 16, tag & 0xFFFF
    try:
        if not group & 1:
            return dictionary_VR(tag)
        if 0x10 <= element <= 0xFF:
            return "LO"
        return private_dictionary_VR(tag, creator) if creator else "UN"
    except KeyError:
        return "UN"
