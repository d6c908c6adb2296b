"""Find where a value lies in an encoded dataset, by the tags that lead to it, and read no other."""

import io
import zlib
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, NamedTuple

from dicom.encoding import DEFLATED, UNDEFINED_LENGTH
from dicom.errors import CannotUnderstand
from dicom.meta import OWN_START_BYTES, own_dataset_offset
from dicom.walk import ELEMENT_LIMIT, Odd, Slices, Walk, is_vr

MAX_INFLATED_BYTES: Final = 256 << 20
"""A deflated dataset that unfolds to more is not looked into."""

_ITEM: Final = 0xFFFE_E000
_ITEM_END: Final = 0xFFFE_E00D
_SEQUENCE_END: Final = 0xFFFE_E0DD


class Place(NamedTuple):
    """Where one element lies in its dataset."""

    tag: int
    vr: bytes
    """b"" where it is implicit."""
    header: int
    """Where the element begins."""
    start: int
    """Where its value begins."""
    length: int
    """Of the value; UNDEFINED_LENGTH where items or fragments follow up to a delimiter."""


class Fragment(NamedTuple):
    """One fragment of encapsulated pixel data (PS3.5 A.4)."""

    header: int
    start: int
    length: int


def dataset_of(part10: BinaryIO, transfer_syntax_uid: str) -> tuple[BinaryIO, int]:
    """Give a stream that holds a Part 10 file's dataset, and where in it the dataset begins.

    The stream is the file itself unless its dataset is deflated. Raises CannotUnderstand.
    """
    part10.seek(0)
    start = own_dataset_offset(part10.read(OWN_START_BYTES))
    if transfer_syntax_uid not in DEFLATED:
        return part10, start
    part10.seek(start)
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        unfolded = inflating.decompress(part10.read(), MAX_INFLATED_BYTES)
    except zlib.error as fault:
        raise CannotUnderstand("the deflated dataset cannot be inflated") from fault
    if not inflating.eof:
        raise CannotUnderstand(
            "the deflated dataset breaks off, or unfolds to more than"
            f" {MAX_INFLATED_BYTES >> 20} MB"
        )
    return io.BytesIO(unfolded), 0


class Finder(Walk):
    """Finds elements of one dataset in a stream."""

    def __init__(self, stream: BinaryIO, start: int, transfer_syntax_uid: str) -> None:
        super().__init__(Slices(stream, start), transfer_syntax_uid)
        self._explicit = self._explicit and is_vr(self._slice(4, 6))  # and others the other way

    def top(self) -> Iterator[Place]:  # type: ignore[override]  # places instead of values
        """Give the elements of the dataset itself. Raises CannotUnderstand where they end badly."""
        return self._places(0, self._end, explicit=self._explicit, depth=0)

    @property
    def size_bytes(self) -> int:
        """The length of the dataset."""
        return self._end

    def find(self, path: Sequence[int]) -> Place | None:
        """Find an element by tags and item numbers in turn: tag, or tag, item, tag, and so on.

        Items are numbered from 0. None where there is none. Raises CannotUnderstand.
        """
        at, end, explicit = 0, self._end, self._explicit
        for depth, tag in enumerate(path[::2]):
            place = self._find(tag, at, end, explicit=explicit, depth=depth)
            if place is None or depth * 2 + 1 == len(path):
                return place
            explicit = explicit and place.vr != b"UN"
            inside = self._item(place, path[depth * 2 + 1], end, explicit=explicit)
            if inside is None:
                return None
            at, end = inside
        return None

    def fragments(self, pixels: Place) -> Iterator[Fragment]:
        """Give the items of encapsulated pixel data, the offset table first."""
        at = pixels.start
        while True:
            tag, _, start, length = self._header(at, explicit=False)
            if tag == _SEQUENCE_END:
                return
            if tag != _ITEM or length == UNDEFINED_LENGTH:
                raise CannotUnderstand("something else stands where a fragment must")
            if start + length > self._end:
                raise CannotUnderstand("the pixel data breaks off")
            yield Fragment(at, start, length)
            at = start + length

    def is_fragment(self, at: int, length: int) -> bool:
        """Whether a fragment of this length begins there, and ends within the dataset."""
        if at + 8 + length > self._end:
            return False
        tag, _, _, found = self._header(at, explicit=False)
        return tag == _ITEM and found == length

    def value(self, place: Place, most_bytes: int) -> bytes:
        """Read a value, cut to `most_bytes`."""
        return self._slice(place.start, place.start + min(place.length, most_bytes))

    def _find(self, tag: int, at: int, end: int, *, explicit: bool, depth: int) -> Place | None:
        for place in self._places(at, end, explicit=explicit, depth=depth):
            if place.tag == tag:
                return place
            if place.tag > tag:
                return None
        return None

    def _places(self, at: int, end: int, *, explicit: bool, depth: int) -> Iterator[Place]:
        try:
            for _ in range(ELEMENT_LIMIT):
                if at >= end:
                    return
                tag, vr, start, length = self._header(at, explicit=explicit)
                if tag == _ITEM_END:
                    return
                yield Place(tag, vr, at, start, length)
                at = self._behind(tag, vr, start, length, explicit=explicit, depth=depth)
        except Odd as fault:
            raise CannotUnderstand("the dataset does not follow its encoding") from fault
        raise CannotUnderstand(f"dataset has more than {ELEMENT_LIMIT} elements")

    def _item(
        self, sequence: Place, number: int, end: int, *, explicit: bool
    ) -> tuple[int, int] | None:
        """Find where the elements of an item begin, and where they end at the latest."""
        at = sequence.start
        if sequence.length != UNDEFINED_LENGTH:
            end = min(end, at + sequence.length)
        try:
            for left in range(number, -1, -1):
                if at >= end:
                    return None
                tag, _, start, length = self._header(at, explicit=False)
                if tag == _SEQUENCE_END:
                    return None
                _require_item(tag)
                if not left:
                    return start, end if length == UNDEFINED_LENGTH else min(end, start + length)
                if length == UNDEFINED_LENGTH:
                    at = self._behind_item(start, explicit=explicit, depth=1)
                else:
                    at = start + length
        except Odd as fault:
            raise CannotUnderstand("the dataset does not follow its encoding") from fault
        return None


def _require_item(tag: int) -> None:
    if tag != _ITEM:
        raise Odd
