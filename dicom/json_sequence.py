"""A sequence in the DICOM JSON Model as bytes of a dataset again (PS3.18 F.2).

What the index keeps of a sequence is the JSON of its element; C-FIND answers it in the transfer
syntax of the association.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from dicom import charset
from dicom.layout import NUMBERS, Layout

MAX_DEPTH: Final = 16
"""Deeper items are left out of an answer."""
_GROUPS: Final = ("Alphabetic", "Ideographic", "Phonetic")


def items_of(text: str) -> list[Mapping[str, Any]]:
    """Read the items of a sequence from the JSON of its element; none where it is none."""
    try:
        element = json.loads(text) if text else {}
    except ValueError:
        return []
    values = element.get("Value") if isinstance(element, dict) else None
    return [item for item in values or [] if isinstance(item, dict)]


def text_of(element: Mapping[str, Any]) -> str:
    """Give an element's values as DICOM text, joined by backslashes; "" for none."""
    values = element.get("Value") or []
    return "\\".join(_word(value) for value in values)


def _word(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        groups = [str(value.get(group, "")) for group in _GROUPS]
        return "=".join(groups).rstrip("=")
    return str(value)


def encoded(
    items: Sequence[Mapping[str, Any]],
    layout: Layout,
    encode: Callable[[str], bytes],
    told: frozenset[int] = frozenset(),
) -> bytes:
    """Write items of a sequence.

    `told` names the tags that are written of each item; empty for all. Bulk data that JSON only
    names is left out. Raises UnicodeEncodeError as `encode` does.
    """
    names = {f"{tag:08X}" for tag in told}
    if names:
        items = [{name: one for name, one in item.items() if name in names} for item in items]
    return b"".join(_item(item, layout, encode, 0) for item in items)


def _item(
    item: Mapping[str, Any], layout: Layout, encode: Callable[[str], bytes], depth: int
) -> bytes:
    elements = []
    for name in sorted(item):
        element = item[name]
        try:
            tag = int(name, 16)
        except ValueError:
            continue
        if isinstance(element, dict) and tag != charset.SPECIFIC_CHARACTER_SET:
            elements.append(_element(tag, element, layout, encode, depth))
    return layout.item(b"".join(elements))


def _element(
    tag: int,
    element: Mapping[str, Any],
    layout: Layout,
    encode: Callable[[str], bytes],
    depth: int,
) -> bytes:
    vr = str(element.get("vr", "UN"))
    if vr == "SQ":
        inner = element.get("Value") or [] if depth < MAX_DEPTH else []
        items = (_item(one, layout, encode, depth + 1) for one in inner if isinstance(one, dict))
        return layout.element(tag, vr, b"".join(items))
    if "InlineBinary" in element:
        try:
            return layout.element(tag, vr, base64.b64decode(str(element["InlineBinary"])))
        except binascii.Error:
            return layout.element(tag, vr, b"")
    text = text_of(element)
    if vr in NUMBERS:
        values = [layout.number(vr, one) for one in text.split("\\") if one]
        return layout.element(tag, vr, b"".join(values))
    if vr == "AT":
        return layout.element(tag, vr, b"".join(_at(one, layout) for one in text.split("\\")))
    raw = encode(text) if vr in charset.LOCALISED else text.encode("ascii", "replace")
    return layout.element(tag, vr, raw)


def _at(text: str, layout: Layout) -> bytes:
    try:
        tag = int(text, 16)
    except ValueError:
        return b""
    return layout.number("US", str(tag >> 16 & 0xFFFF)) + layout.number("US", str(tag & 0xFFFF))
