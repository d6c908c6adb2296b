"""Read an encoded dataset into a tree of elements, strictly and without copying (PS3.5 7).

Written for de-identification, not for comfort: every length must fit inside what holds it and
every byte must belong to an element, because bytes that a reader skips are bytes that nobody
cleared. Values are slices of the input, so pixel data is never copied or decoded. The
self-check reads the result with another reader (pydicom).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, NamedTuple

from deid.table.dictionary import dictionary_vr
from dicom.errors import DeidFault

UNDEFINED: Final = 0xFFFF_FFFF
ITEM: Final = 0xFFFE_E000
ITEM_END: Final = 0xFFFE_E00D
SEQUENCE_END: Final = 0xFFFE_E0DD
PIXELS: Final = frozenset({0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""
MAX_DEPTH: Final = 32

LONG_VRS: Final = frozenset(
    {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}
)
"""VRs with a 32-bit length in explicit VR (PS3.5 7.1.2)."""
_SHORT_VRS: Final = frozenset(
    {"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL"}
    | {"SS", "ST", "TM", "UI", "UL", "US"}
)
_VRS: Final = {vr.encode("ascii"): vr for vr in LONG_VRS | _SHORT_VRS}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a dataset's elements are written (PS3.5 Annex A)."""

    implicit: bool
    little: bool
    tag: struct.Struct
    short: struct.Struct
    long: struct.Struct


IMPLICIT_LITTLE: Final = Encoding(
    True, True, struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<L")
)
EXPLICIT_LITTLE: Final = Encoding(
    False, True, struct.Struct("<HH"), struct.Struct("<H"), struct.Struct("<L")
)
EXPLICIT_BIG: Final = Encoding(
    False, False, struct.Struct(">HH"), struct.Struct(">H"), struct.Struct(">L")
)


@dataclass(frozen=True, slots=True)
class Element:
    """One data element as it stands in the input."""

    tag: int
    vr: str
    """As written; for implicit VR what the dictionary says, "UN" where it is silent."""
    value: memoryview
    """The value field; of undefined length, up to and with its Sequence Delimitation Item."""
    items: tuple[tuple["Element", ...], ...] | None = None
    """The items of a sequence; None for every other element."""
    inner: Encoding | None = None
    """How the items are encoded: inside UN always implicit little endian (PS3.5 6.2.2)."""
    undefined: bool = False


@lru_cache(4096)
def name(tag: int) -> str:
    """Write a tag as the standard does: (gggg,eeee)."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def read(data: memoryview, encoding: Encoding) -> tuple[Element, ...]:
    """Read a whole dataset. Raises DeidFault where it cannot be walked to its last byte."""
    elements, position = _dataset(data, 0, len(data), encoding, 0, delimited=False)
    if position != len(data):
        raise DeidFault("dataset cannot be walked to its end")
    return elements


def read_group(
    data: memoryview, position: int, group: int, encoding: Encoding
) -> tuple[tuple[Element, ...], int]:
    """Read elements from `position` on while they are of one group; say where the next begins."""
    found: list[Element] = []
    while position + 8 <= len(data) and encoding.tag.unpack_from(data, position)[0] == group:
        header = _header(data, position, len(data), encoding)
        element, position = _element(data, header, len(data), encoding, 0)
        found.append(element)
    return tuple(found), position


def opened(element: Element, encoding: Encoding) -> Element:
    """Read the items of a private sequence of defined length, which `read` leaves closed.

    `encoding` is that of the dataset around it; inside UN items are implicit little endian.
    Raises DeidFault where the sequence cannot be walked to its last byte.
    """
    if element.items is not None:
        return element
    inner = IMPLICIT_LITTLE if element.vr == "UN" else encoding
    data = element.value
    items, stop = _items(data, 0, len(data), inner, 1, delimited=False)
    if stop != len(data):
        raise DeidFault(f"{name(element.tag)} cannot be walked to its end")
    return Element(element.tag, element.vr, data, items, inner)


def every(elements: tuple[Element, ...]) -> Iterator[Element]:
    """Yield each element at every depth, in order."""
    for element in elements:
        yield element
        for item in element.items or ():
            yield from every(item)


def _dataset(
    data: memoryview, position: int, end: int, encoding: Encoding, depth: int, *, delimited: bool
) -> tuple[tuple[Element, ...], int]:
    """Read elements up to `end`, or up to an Item Delimitation Item where `delimited`."""
    if depth > MAX_DEPTH:
        raise DeidFault(f"sequences are nested deeper than {MAX_DEPTH}")
    found: list[Element] = []
    seen: set[int] = set()
    while position < end:
        header = _header(data, position, end, encoding)
        tag = header.tag
        if tag == ITEM_END and delimited:
            return tuple(found), header.start
        if tag in seen or tag >> 16 == 0xFFFE:
            raise DeidFault(f"{name(tag)} stands where it must not")
        seen.add(tag)
        element, position = _element(data, header, end, encoding, depth)
        found.append(element)
    if delimited:
        raise DeidFault("an item is not closed")
    return tuple(found), position


class _Header(NamedTuple):
    tag: int
    vr: str
    length: int
    start: int
    """Where the value begins."""


def _header(data: memoryview, position: int, end: int, encoding: Encoding) -> _Header:
    """Read an element's header at a position."""
    if position + 8 > end:
        raise DeidFault("dataset breaks off inside an element's header")
    group, number = encoding.tag.unpack_from(data, position)
    tag = group << 16 | number
    if encoding.implicit or group == 0xFFFE:
        (length,) = encoding.long.unpack_from(data, position + 4)
        vr = "" if group == 0xFFFE else dictionary_vr(tag)[:2] or "UN"
        return _Header(tag, vr, length, position + 8)
    vr = _VRS.get(bytes(data[position + 4 : position + 6]), "")
    if not vr:
        raise DeidFault(f"{name(tag)} has a value representation that is none")
    if vr not in LONG_VRS:
        (length,) = encoding.short.unpack_from(data, position + 6)
        return _Header(tag, vr, length, position + 8)
    if position + 12 > end:
        raise DeidFault("dataset breaks off inside an element's header")
    (length,) = encoding.long.unpack_from(data, position + 8)
    return _Header(tag, vr, length, position + 12)


def _element(
    data: memoryview, header: _Header, end: int, encoding: Encoding, depth: int
) -> tuple[Element, int]:
    """Read one element's value, and its items where it is a sequence."""
    tag, vr, length, start = header
    undefined = length == UNDEFINED
    if not undefined and start + length > end:
        raise DeidFault(f"{name(tag)} is longer than what holds it")
    private = bool(tag >> 16 & 1)
    known = "" if private else dictionary_vr(tag)
    if undefined and vr in {"OB", "OW"}:
        stop = _fragments_end(data, start, end, encoding)
        return Element(tag, vr, data[start:stop], undefined=True), stop
    inner = _inner(vr, known, encoding, undefined=undefined, private=private)
    if inner is not None:
        limit = end if undefined else start + length
        items, stop = _items(data, start, limit, inner, depth, delimited=undefined)
        return Element(tag, vr, data[start:stop], items, inner, undefined), stop
    if undefined:
        raise DeidFault(f"{name(tag)} has no length")
    if known == "SQ" and length:
        raise DeidFault(f"{name(tag)} is a sequence by the standard but not in this dataset")
    return Element(tag, vr, data[start : start + length]), start + length


def _inner(
    vr: str, known: str, encoding: Encoding, *, undefined: bool, private: bool
) -> Encoding | None:
    """Say how an element's items are encoded; None where it has none to be read.

    Private sequences of defined length are left closed: they are removed whole.
    """
    if undefined:
        return IMPLICIT_LITTLE if vr == "UN" else encoding if vr == "SQ" else None
    if private:
        return None
    if vr == "SQ":
        return encoding
    return IMPLICIT_LITTLE if vr == "UN" and known == "SQ" else None


def _items(
    data: memoryview, position: int, end: int, encoding: Encoding, depth: int, *, delimited: bool
) -> tuple[tuple[tuple[Element, ...], ...], int]:
    """Read the items of a sequence up to its end or its delimiter."""
    items: list[tuple[Element, ...]] = []
    while position < end:
        tag, _, length, position = _header(data, position, end, encoding)
        if tag == SEQUENCE_END and delimited:
            return tuple(items), position
        if tag != ITEM:
            raise DeidFault(f"{name(tag)} stands where an item must")
        open_ended = length == UNDEFINED
        limit = end if open_ended else position + length
        if limit > end:
            raise DeidFault("an item is longer than its sequence")
        item, position = _dataset(data, position, limit, encoding, depth + 1, delimited=open_ended)
        items.append(item)
    if delimited:
        raise DeidFault("a sequence is not closed")
    return tuple(items), position


def _fragments_end(data: memoryview, position: int, end: int, encoding: Encoding) -> int:
    """Find where encapsulated pixel data ends, delimiter included (PS3.5 A.4)."""
    while position < end:
        tag, _, length, position = _header(data, position, end, encoding)
        if tag == SEQUENCE_END:
            return position
        if tag != ITEM or position + length > end:
            break
        position += length
    raise DeidFault("encapsulated pixel data breaks off")


def fragments(value: memoryview, encoding: Encoding) -> Iterator[memoryview]:
    """Yield the fragments of encapsulated pixel data, the Basic Offset Table first."""
    position = 0
    while position < len(value):
        tag, _, length, position = _header(value, position, len(value), encoding)
        if tag != ITEM:
            return
        yield value[position : position + length]
        position += length
