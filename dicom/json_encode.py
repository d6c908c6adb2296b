"""Encode a dataset of the DICOM JSON Model in Explicit VR Little Endian (PS3.18 Annex F, PS3.5 7).

Values are written as they stand; whether they meet their representation is not judged here.
"""

import base64
import binascii
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from dicom.encoding import LONG_VRS, SHORT_VRS
from dicom.errors import CannotUnderstand

MAX_DEPTH: Final = 32
"""Sequences within sequences."""
_LAYOUTS: Final = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
_FLOATS: Final = frozenset({"FL", "FD"})
_TEXTS: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI"}
    | {"UR", "UT"}
)
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")
_SHORT: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<HH2sHL")
_ITEM: Final = struct.Struct("<HHL")
_UTF_8: Final = {"vr": "CS", "Value": ["ISO_IR 192"]}
_CHARACTER_SET: Final = "00080005"

Bulk = Callable[[str], bytes]
"""Gives the value that a BulkDataURI stands for. Raises CannotUnderstand."""


def encode(dataset: Mapping[str, Any], bulk: Bulk, *, is_start: bool = True) -> bytes:
    """Encode a dataset, its text in UTF-8; elements of group 0002 are left out.

    What goes behind its start names no character set again. Raises CannotUnderstand naming the
    element that cannot be encoded.
    """
    return _dataset({**dataset, _CHARACTER_SET: _UTF_8} if is_start else dataset, bulk, 0)


def header(tag: int, vr: str, length: int) -> bytes:
    """Write what stands before a value. Raises CannotUnderstand where it is too long."""
    name = vr.encode("ascii", "replace")
    if name in SHORT_VRS and length < 1 << 16:
        return _SHORT.pack(tag >> 16, tag & 0xFFFF, name, length)
    if name in LONG_VRS and length <= 0xFFFFFFFF:
        return _LONG.pack(tag >> 16, tag & 0xFFFF, name, 0, length)
    raise CannotUnderstand(f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has no known VR, or is too long")


def _dataset(dataset: Mapping[str, Any], bulk: Bulk, depth: int) -> bytes:
    if depth > MAX_DEPTH:
        raise CannotUnderstand(f"sequences nest deeper than {MAX_DEPTH}")
    found = sorted((_tag(name), element) for name, element in _items(dataset))
    return b"".join(_element(tag, element, bulk, depth) for tag, element in found if tag >> 16 != 2)


def _items(dataset: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(dataset, Mapping):
        raise CannotUnderstand("a dataset is no JSON object")
    for name, element in dataset.items():
        if not isinstance(element, Mapping) or not isinstance(element.get("vr"), str):
            raise CannotUnderstand("an element has no vr")
        yield name, element


def _tag(name: str) -> int:
    if len(name) != 8 or not name.isascii() or not name.isalnum():
        raise CannotUnderstand("the name of an element is no tag of 8 hexadecimal digits")
    try:
        return int(name, 16)
    except ValueError:
        raise CannotUnderstand("the name of an element is no tag") from None


def _element(tag: int, element: Mapping[str, Any], bulk: Bulk, depth: int) -> bytes:
    vr = element["vr"]
    try:
        value = _value(vr, element, bulk, depth)
    except (TypeError, ValueError, OverflowError, AttributeError, struct.error) as fault:
        words = f"({tag >> 16:04X},{tag & 0xFFFF:04X}) has a value that is none of its VR"
        raise CannotUnderstand(words) from fault
    if len(value) % 2:
        value += b" " if vr in _TEXTS and vr != "UI" else b"\0"
    return header(tag, vr, len(value)) + value


def _value(vr: str, element: Mapping[str, Any], bulk: Bulk, depth: int) -> bytes:
    if "BulkDataURI" in element:
        return bulk(str(element["BulkDataURI"]))
    if "InlineBinary" in element:
        try:
            return base64.b64decode(element["InlineBinary"], validate=True)
        except binascii.Error as fault:
            raise CannotUnderstand("an InlineBinary is no base64") from fault
    values = element.get("Value", [])
    if not isinstance(values, list):
        raise TypeError
    if vr == "SQ":
        return b"".join(_item(one, bulk, depth) for one in values)
    if vr == "AT":
        tags = [_tag(one) for one in values]
        return b"".join(struct.pack("<HH", one >> 16, one & 0xFFFF) for one in tags)
    if vr in _LAYOUTS:
        numbers = [float(one) if vr in _FLOATS else int(one) for one in values]
        return struct.pack(f"<{len(numbers)}{_LAYOUTS[vr]}", *numbers)
    if vr not in _TEXTS and values:
        raise ValueError
    return "\\".join(_text(vr, one) for one in values).encode("utf-8", "replace")


def _item(dataset: Mapping[str, Any], bulk: Bulk, depth: int) -> bytes:
    content = _dataset(dataset or {}, bulk, depth + 1)
    return _ITEM.pack(0xFFFE, 0xE000, len(content)) + content


def _text(vr: str, value: Any) -> str:
    if value is None:
        return ""
    if vr == "PN":
        groups = [str(value.get(group, "")) for group in _GROUPS]
        return "=".join(groups).rstrip("=")
    if isinstance(value, float):
        return _decimal(value)
    if not isinstance(value, (str, int)) or isinstance(value, bool):
        raise TypeError
    return str(value)


def _decimal(value: float) -> str:
    """Write a number in the 16 characters of a DS (PS3.5 6.2), as exactly as they allow."""
    text = repr(value)
    for digits in range(16, 0, -1):
        if len(text) <= 16:
            break
        text = f"{value:.{digits}g}"
    return text
