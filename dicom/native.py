"""Write an encoded dataset anew in native little endian: values as they are, other headers.

Values are never decoded, so that what does not conform stays what it was. Sequences and items get
undefined lengths, and group lengths are left out: both would have to be counted anew (PS3.5 7.2,
7.5). Bytes are swapped where the input is big endian.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from dicom.elements import MAX_DEPTH, dictionary_vrs
from dicom.encoding import BIG_ENDIAN, IMPLICIT, LONG_VRS, UNDEFINED_LENGTH
from dicom.errors import CannotUnderstand

Piece = bytes | memoryview
Replaced = Mapping[int, tuple[bytes, Sequence[Piece]]]
"""VR and value, in pieces, of elements of the dataset itself that are to be other."""

PIXEL_DATA: Final = 0x7FE0_0010
_OF_ENCAPSULATED: Final = frozenset({0x7FE0_0001, 0x7FE0_0002, 0x7FE0_0003})
"""Extended Offset Table, its lengths, and the total length: of no use in native pixels."""
_BITS_ALLOCATED: Final = 0x0028_0100
_PIXEL_REPRESENTATION: Final = 0x0028_0103
_ITEM: Final = 0xFFFE_E000
_ITEM_END: Final = 0xFFFE_E00D
_SEQUENCE_END: Final = 0xFFFE_E0DD
_SHORT_LIMIT: Final = 0xFFFF
_UNITS: Final[Mapping[bytes, int]] = {
    **dict.fromkeys((b"US", b"SS", b"OW", b"AT"), 2),
    **dict.fromkeys((b"UL", b"SL", b"FL", b"OF", b"OL"), 4),
    **dict.fromkeys((b"FD", b"OD", b"SV", b"UV", b"OV"), 8),
}
"""How many bytes belong together where a VR holds numbers (PS3.5 7.3)."""

_LONG: Final = struct.Struct("<HH2s2xL")
_SHORT: Final = struct.Struct("<HH2sH")
_PLAIN: Final = struct.Struct("<HHL")
_OPEN_ITEM: Final = _PLAIN.pack(0xFFFE, 0xE000, UNDEFINED_LENGTH)
_CLOSE_ITEM: Final = _PLAIN.pack(0xFFFE, 0xE00D, 0)
_CLOSE_SEQUENCE: Final = _PLAIN.pack(0xFFFE, 0xE0DD, 0)


class _Header(NamedTuple):
    tag: int
    vr: bytes
    """b"" where it is implicit."""
    start: int
    length: int


class _Place(NamedTuple):
    """Where elements or items end, and how they are written until then."""

    end: int
    explicit: bool
    depth: int
    signed: bool
    """Whether pixels are; some elements have their VR from it."""
    delimited: bool
    """Whether a delimitation item has to come before the end."""


class Native:
    """Rewrites one dataset, which is not deflated."""

    def __init__(
        self,
        dataset: memoryview,
        transfer_syntax_uid: str,
        *,
        explicit: bool,
        replaced: Replaced | None = None,
    ) -> None:
        """Read in a transfer syntax, and write explicit or implicit VR.

        Where the dataset has encapsulated Pixel Data, `replaced` has its native value.
        """
        self._data = dataset
        self._swaps = transfer_syntax_uid == BIG_ENDIAN
        self._is_explicit = transfer_syntax_uid not in IMPLICIT
        self._explicit = explicit
        self._replaced = replaced or {}
        order = ">" if self._swaps else "<"
        self._explicit_at = struct.Struct(order + "HH2sH").unpack_from
        self._implicit_at = struct.Struct(order + "HHL").unpack_from
        self._long_at = struct.Struct(order + "L").unpack_from
        self._at = 0
        self._is_wide = False

    def pieces(self) -> Iterator[Piece]:
        """Give the dataset as it is to be written, once.

        Raises CannotUnderstand where its lengths do not fit, or fragments stand where nobody
        gave their native value, as in an encapsulated icon.
        """
        place = _Place(len(self._data), self._is_explicit, 0, signed=False, delimited=False)
        yield from self._elements(place)

    def _elements(self, place: _Place) -> Iterator[Piece]:
        if place.depth > MAX_DEPTH:
            raise CannotUnderstand(f"sequences are nested deeper than {MAX_DEPTH}")
        while self._at < place.end:
            head = self._header(place.end, explicit=place.explicit)
            if head.tag == _ITEM_END and place.delimited:
                self._at = head.start
                return
            if head.tag >> 16 == 0xFFFE:
                raise CannotUnderstand("an item or delimiter stands where an element must")
            if head.tag == _PIXEL_REPRESENTATION and head.length == 2:
                signed = any(self._data[head.start : head.start + 2])
                place = place._replace(signed=signed)
            if head.tag == _BITS_ALLOCATED and not place.depth:
                self._is_wide = max(self._data[head.start : head.start + 2], default=0) > 16
            yield from self._element(head, place)
        if place.delimited:
            raise CannotUnderstand("an item is not closed")

    def _element(self, head: _Header, place: _Place) -> Iterator[Piece]:
        tag, vr = head.tag, head.vr or _vr_of(head.tag, signed=place.signed)
        if head.length == UNDEFINED_LENGTH and vr in {b"OB", b"OW"}:
            if place.depth or tag not in self._replaced:
                raise CannotUnderstand("it holds pixels in fragments that cannot be made native")
            self._step_over_fragments(head.start, place.end)
        elif head.length == UNDEFINED_LENGTH:
            self._at = head.start
            yield self._opening(tag)
            # What was UN when it was converted is implicit inside (PS3.5 6.2.2).
            inside = place.explicit and vr != b"UN"
            yield from self._items(place._replace(explicit=inside, delimited=True))
            return
        else:
            self._at = self._behind(head, place.end)
        if vr == b"SQ":
            end, self._at = self._at, head.start
            yield self._opening(tag)
            yield from self._items(place._replace(end=end, delimited=False))
        elif tag in self._replaced and not place.depth:
            yield from self._written(tag, *self._replaced[tag])
        elif tag & 0xFFFF and not self._is_obsolete(tag):
            value = self._ordered(tag, vr, self._data[head.start : self._at])
            yield from self._written(tag, vr, [value])

    def _is_obsolete(self, tag: int) -> bool:
        return tag in _OF_ENCAPSULATED and PIXEL_DATA in self._replaced

    def _items(self, place: _Place) -> Iterator[Piece]:
        while self._at < place.end:
            head = self._header(place.end, explicit=False)
            self._at = head.start
            if head.tag == _SEQUENCE_END and place.delimited:
                yield _CLOSE_SEQUENCE
                return
            if head.tag != _ITEM:
                raise CannotUnderstand("something else stands where an item must")
            yield _OPEN_ITEM
            to_the_end = head.length == UNDEFINED_LENGTH
            end = place.end if to_the_end else self._behind(head, place.end)
            depth = place.depth + 1
            yield from self._elements(place._replace(end=end, depth=depth, delimited=to_the_end))
            yield _CLOSE_ITEM
        if place.delimited:
            raise CannotUnderstand("a sequence is not closed")
        yield _CLOSE_SEQUENCE

    def _step_over_fragments(self, at: int, end: int) -> None:
        self._at = at
        while True:
            head = self._header(end, explicit=False)
            self._at = head.start
            if head.tag == _SEQUENCE_END:
                return
            if head.tag != _ITEM:
                raise CannotUnderstand("something else stands where a fragment must")
            self._at = self._behind(head, end)

    def _header(self, end: int, *, explicit: bool) -> _Header:
        at = self._at
        if at + 8 > end:
            raise _cut()
        group, number, length = self._implicit_at(self._data, at)
        tag = group << 16 | number
        if not explicit or group == 0xFFFE:
            return _Header(tag, b"", at + 8, length)
        _, _, vr, length = self._explicit_at(self._data, at)
        if vr not in LONG_VRS:
            if not (vr.isalpha() and vr.isupper()):
                raise CannotUnderstand("what stands for a value representation is none")
            return _Header(tag, vr, at + 8, length)
        if at + 12 > end:
            raise _cut()
        return _Header(tag, vr, at + 12, self._long_at(self._data, at + 8)[0])

    def _behind(self, head: _Header, end: int) -> int:
        if head.start + head.length > end:
            raise _cut()
        return head.start + head.length

    def _ordered(self, tag: int, vr: bytes, value: memoryview) -> Piece:
        if self._swaps and self._is_wide and tag == PIXEL_DATA and vr == b"OW":
            raise CannotUnderstand("writers disagree on what 32-bit pixels in big endian mean")
        unit = _UNITS.get(vr, 1) if self._swaps else 1
        if unit == 1:
            return value
        swapped = bytearray(value)
        whole = len(value) // unit * unit
        for i in range(unit):
            swapped[i:whole:unit] = value[unit - 1 - i : whole : unit]
        return bytes(swapped)

    def _opening(self, tag: int) -> bytes:
        """Write the header of a sequence."""
        if self._explicit:
            return _LONG.pack(tag >> 16, tag & 0xFFFF, b"SQ", UNDEFINED_LENGTH)
        return _PLAIN.pack(tag >> 16, tag & 0xFFFF, UNDEFINED_LENGTH)

    def _written(self, tag: int, vr: bytes, value: Sequence[Piece]) -> Iterator[Piece]:
        length = sum(map(len, value))
        pad = b"\0" * (length % 2 if tag == PIXEL_DATA else 0)
        length += len(pad)
        if length >= UNDEFINED_LENGTH:
            raise CannotUnderstand("its pixels are too long for one native element")
        group, number = tag >> 16, tag & 0xFFFF
        if not self._explicit:
            yield _PLAIN.pack(group, number, length)
        elif vr in LONG_VRS:
            yield _LONG.pack(group, number, vr, length)
        elif length <= _SHORT_LIMIT:
            yield _SHORT.pack(group, number, vr, length)
        else:  # its own VR has no room for the length (PS3.5 6.2.2)
            yield _LONG.pack(group, number, b"UN", length)
        yield from (*value, pad)


def _vr_of(tag: int, *, signed: bool) -> bytes:
    """Give the VR of an element that was written without one (PS3.5 A.1)."""
    if tag >> 16 & 1:
        is_creator = 0x10 <= tag & 0xFFFF <= 0xFF
        return b"LO" if is_creator else b"UN"
    known = dictionary_vrs(tag)
    if len(known) == 1:
        return next(iter(known)).encode("ascii")
    if "OW" in known:
        return b"OW"
    if "SS" in known:
        return b"SS" if signed else b"US"
    return b"UN"


def _cut() -> CannotUnderstand:
    return CannotUnderstand("dataset breaks off: its lengths promise more")
