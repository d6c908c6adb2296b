"""Walk an encoded dataset into a tree of elements, none of them decoded (PS3.5 Chapter 7).

For whoever judges an object as it was written: VRs stay as they stand there, values are slices of
the input, and the walk ends at the pixel data. Lengths alone are followed, so the walk is quick,
but every one of them has to fit inside what holds it.
"""

import struct
import zlib
from functools import lru_cache
from typing import Final, NamedTuple

from dicom.encoding import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
)
from dicom.errors import CannotUnderstand

MAX_DEPTH: Final = 64
MAX_INFLATED_BYTES: Final = 256 << 20
"""More in front of the pixel data of a deflated object is taken for an attack on memory."""
PIXELS: Final = frozenset({0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010})
"""Float Pixel Data, Double Float Pixel Data, Pixel Data."""

_ITEM: Final = 0xFFFE_E000
_ITEM_END: Final = 0xFFFE_E00D
_SEQUENCE_END: Final = 0xFFFE_E0DD
_VRS: Final = {vr: vr.decode("ascii") for vr in LONG_VRS | SHORT_VRS}


class Element(NamedTuple):
    """One data element as it stands in the input."""

    tag: int
    vr: str
    """As written, also where that is no VR; "" in implicit VR."""
    value: memoryview
    """The value field; empty for sequences that were walked, and for pixel data."""
    items: tuple[tuple["Element", ...], ...] | None = None
    """The items of a sequence; None for every other element."""


@lru_cache(8192)
def dictionary_vrs(tag: int) -> frozenset[str]:
    """List the VRs that PS3.6 knows for a public tag; none where it does not know the tag."""
    from pydicom.datadict import dictionary_VR  # loads much: whoever reads no object needs none

    if tag >> 16 & 1:
        return frozenset()
    try:
        return frozenset(dictionary_VR(tag).split(" or "))
    except KeyError:
        return frozenset()


def read(dataset: memoryview, transfer_syntax_uid: str) -> tuple[Element, ...]:
    """Walk a dataset up to its pixel data, which is the last element given.

    Raises CannotUnderstand where a length does not fit, an item is missing or not closed, what
    should be a VR is none, nesting is too deep, or a deflated dataset cannot be inflated.
    """
    deflated = transfer_syntax_uid in DEFLATED
    if deflated:
        dataset = memoryview(_inflated(dataset))
    explicit = transfer_syntax_uid not in IMPLICIT
    walk = _Walk(dataset, big_endian=transfer_syntax_uid == BIG_ENDIAN, deflated=deflated)
    elements, _ = walk.elements(0, len(dataset), explicit=explicit, depth=0, delimited=False)
    return elements


def _inflated(data: memoryview) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as fault:
        raise CannotUnderstand("the deflated dataset cannot be inflated") from fault


class _Walk:
    """Steps over the elements of one dataset."""

    def __init__(self, data: memoryview, *, big_endian: bool, deflated: bool) -> None:
        order = ">" if big_endian else "<"
        self._data = data
        self._deflated = deflated
        self._explicit_at = struct.Struct(order + "HH2sH").unpack_from
        self._implicit_at = struct.Struct(order + "HHL").unpack_from
        self._long_at = struct.Struct(order + "L").unpack_from

    def elements(
        self, at: int, end: int, *, explicit: bool, depth: int, delimited: bool
    ) -> tuple[tuple[Element, ...], int]:
        """Read elements up to `end`, or to an Item Delimitation Item where `delimited`."""
        if depth > MAX_DEPTH:
            raise CannotUnderstand(f"sequences are nested deeper than {MAX_DEPTH}")
        found: list[Element] = []
        while at < end:
            tag, vr, start, length = self._header(at, end, explicit=explicit)
            if tag == _ITEM_END and delimited:
                return tuple(found), start
            if tag >> 16 == 0xFFFE:
                raise CannotUnderstand("an item or delimiter stands where an element must")
            if tag in PIXELS and depth == 0:
                if length != UNDEFINED_LENGTH and not self._deflated:
                    self._behind(start, length, end)
                found.append(Element(tag, vr, self._data[:0]))
                return tuple(found), end
            element, at = self._element(
                (tag, vr, start, length), end, explicit=explicit, depth=depth
            )
            found.append(element)
        if delimited:
            raise CannotUnderstand("an item is not closed")
        return tuple(found), at

    def _header(self, at: int, end: int, *, explicit: bool) -> tuple[int, str, int, int]:
        """Read tag, VR, where the value begins, and its length."""
        if at + 8 > end:
            raise _cut()
        group, number, length = self._implicit_at(self._data, at)
        if not explicit or group == 0xFFFE:
            return group << 16 | number, "", at + 8, length
        _, _, written, length = self._explicit_at(self._data, at)
        if written in LONG_VRS:
            if at + 12 > end:
                raise _cut()
            (length,) = self._long_at(self._data, at + 8)
            return group << 16 | number, _VRS[written], at + 12, length
        vr = _VRS.get(written)
        if vr is None:
            if not (written.isalpha() and written.isupper()):
                raise CannotUnderstand("what stands for a value representation is none")
            vr = written.decode("ascii")  # PS3.5 7.1.2: those to come have a short length
        return group << 16 | number, vr, at + 8, length

    def _element(
        self, header: tuple[int, str, int, int], end: int, *, explicit: bool, depth: int
    ) -> tuple[Element, int]:
        tag, vr, start, length = header
        if length == UNDEFINED_LENGTH and vr in {"OB", "OW"}:
            return Element(tag, vr, self._data[:0], ()), self._fragments_end(start, end)
        if length == UNDEFINED_LENGTH:
            # What was UN when it was converted is implicit inside (PS3.5 6.2.2).
            inside = explicit and vr != "UN"
            items, at = self._items(start, end, explicit=inside, depth=depth, delimited=True)
            return Element(tag, vr, self._data[:0], items), at
        at = self._behind(start, length, end)
        if vr == "SQ" or (not explicit and "SQ" in dictionary_vrs(tag)):
            items, at = self._items(start, at, explicit=explicit, depth=depth, delimited=False)
            return Element(tag, vr, self._data[:0], items), at
        return Element(tag, vr, self._data[start:at]), at

    def _fragments_end(self, at: int, end: int) -> int:
        """Step over the fragments of an encapsulated icon (PS3.5 A.4)."""
        while True:
            tag, _, start, length = self._header(at, end, explicit=False)
            if tag == _SEQUENCE_END:
                return start
            if tag != _ITEM:
                raise CannotUnderstand("something else stands where a fragment must")
            at = self._behind(start, length, end)

    def _behind(self, start: int, length: int, end: int) -> int:
        if start + length > end:
            raise _cut()
        return start + length

    def _items(
        self, at: int, end: int, *, explicit: bool, depth: int, delimited: bool
    ) -> tuple[tuple[tuple[Element, ...], ...], int]:
        items: list[tuple[Element, ...]] = []
        while at < end:
            tag, _, start, length = self._header(at, end, explicit=False)
            if tag == _SEQUENCE_END and delimited:
                return tuple(items), start
            if tag != _ITEM:
                raise CannotUnderstand("something else stands where an item must")
            to_the_end = length == UNDEFINED_LENGTH
            limit = end if to_the_end else self._behind(start, length, end)
            item, at = self.elements(
                start, limit, explicit=explicit, depth=depth + 1, delimited=to_the_end
            )
            items.append(item)
        if delimited:
            raise CannotUnderstand("a sequence is not closed")
        return tuple(items), at


def _cut() -> CannotUnderstand:
    return CannotUnderstand("dataset breaks off: its lengths promise more")
