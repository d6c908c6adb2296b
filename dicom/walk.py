"""Step over the elements of a dataset by their lengths alone (PS3.5 Chapter 7).

What is made for every element is counted in nanoseconds here: limits are loops and moved ends.
"""

import io
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Final, Protocol

from dicom.encoding import BIG_ENDIAN, IMPLICIT, LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH
from dicom.errors import CannotUnderstand
from dicom.part10 import HEAD_LIMIT_BYTES

VALUE_LIMIT: Final = 1 << 16
"""No attribute of the catalogue is longer (PS3.5 Table 6.2-1); a longer value is left out."""
ELEMENT_LIMIT: Final = 100_000
"""No honest dataset has so many elements beside one another; a hostile one has millions."""
PIXELS: Final = 0x7FE00000
DELIMITERS: Final = 0xFFFE0000
FUNCTIONAL_GROUPS: Final = 0x52000000
"""From here on sequences may be large: thousands of frames describe themselves."""

_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST: Final = 64
_STEP_BYTES: Final = 1 << 16

Found = Mapping[int, tuple[bytes, bytes]]
"""VR (b"" where it is implicit) and raw value by tag."""


class Bytes(Protocol):
    """What a dataset is read from: a memoryview, or slices of a file."""

    def __len__(self) -> int: ...

    def __getitem__(self, place: slice, /) -> bytes | memoryview: ...


class Odd(Exception):  # noqa: N818  (an answer, caught in dicom/head.py)
    """The elements do not follow their declared encoding, or one another."""


class Cut(CannotUnderstand):
    """The dataset breaks off."""


class Slices:
    """A dataset in a file, of which only what is asked for is read."""

    def __init__(self, file: BinaryIO, start: int) -> None:
        self._file = file
        self._start = start
        self._length = file.seek(0, io.SEEK_END) - start

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, place: slice, /) -> bytes:
        self._file.seek(self._start + place.start)
        return self._file.read(place.stop - place.start)


def _unpacker(data: Bytes, layout: struct.Struct) -> Callable[[Any, int], tuple[Any, ...]]:
    if isinstance(data, memoryview):
        return layout.unpack_from
    return lambda _, at: layout.unpack(data[at : at + layout.size])


class Walk:
    """Steps over the elements of one dataset, once."""

    def __init__(self, data: Bytes, transfer_syntax_uid: str) -> None:
        self._data = data
        self._end = len(data)
        self._nested_left_bytes = HEAD_LIMIT_BYTES
        self._at, self._last = 0, -1
        order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
        self._explicit_at = _unpacker(data, struct.Struct(order + "HH2sH"))
        self._implicit_at = _unpacker(data, struct.Struct(order + "HHL"))
        self._long_at = _unpacker(data, struct.Struct(order + "L"))
        # Some send explicit VR where implicit was agreed; pydicom knows it by the same two bytes.
        self._explicit = transfer_syntax_uid not in IMPLICIT or is_vr(self._slice(4, 6))

    def _slice(self, start: int, end: int) -> bytes:
        return bytes(self._data[start : min(end, self._end)])

    def top(
        self,
        kept: frozenset[int],
        *,
        sequences: frozenset[int] = frozenset(),
        until: int = DELIMITERS,
        is_whole: bool = True,
    ) -> Found:
        """Step over the dataset; returns the raw values of what is to be kept.

        Of `sequences` the whole elements are kept, with their headers.
        `until` is the tag from which on nothing is asked for. Unless it `is_whole` the dataset may
        break off in its pixel data. Raises Odd, Cut, and CannotUnderstand where it has no elements
        or too many.
        """
        found: dict[int, tuple[bytes, bytes]] = {}
        try:
            self._step_over(found, kept, sequences, until)
        except (Odd, Cut) as what:
            broken_pixels = isinstance(what, Cut) and self._last >= PIXELS
            if not self._is_padding(self._at) and (is_whole or not broken_pixels):
                raise
        if self._last < 0 or self._header(0, explicit=self._explicit)[0] >= PIXELS:
            raise CannotUnderstand("dataset holds no elements before its pixel data")
        return found

    def _step_over(
        self,
        found: dict[int, tuple[bytes, bytes]],
        kept: frozenset[int],
        sequences: frozenset[int],
        until: int,
    ) -> None:
        data, explicit, end = self._data, self._explicit, self._end
        at, last = 0, -1
        try:
            for _ in range(ELEMENT_LIMIT):
                if at >= end:
                    return
                tag, vr, value_at, length = self._header(at, explicit=explicit)
                if not last < tag < until:
                    if last < tag < DELIMITERS:
                        return
                    raise Odd
                last = tag
                behind = value_at + length
                if length == UNDEFINED_LENGTH or behind > end:
                    behind = self._behind(tag, vr, value_at, length, explicit=explicit, depth=0)
                if tag in kept and vr != b"SQ" and length <= VALUE_LIMIT:
                    found[tag] = vr, bytes(data[value_at:behind])
                elif tag in sequences and behind - at <= VALUE_LIMIT:
                    found[tag] = vr, bytes(data[at:behind])
                at = behind
            raise CannotUnderstand(f"dataset has more than {ELEMENT_LIMIT} elements")
        finally:
            self._at, self._last = at, last

    def _is_padding(self, at: int) -> bool:
        """Whether nothing but zeros follows: some pad a dataset, and lose no element by it."""
        return all(
            not self._slice(start, start + _STEP_BYTES).strip(b"\0")
            for start in range(at, self._end, _STEP_BYTES)
        )

    def _header(self, at: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Read an element's tag, VR (b"" where implicit), place of its value, and length."""
        if at + 8 > self._end:
            raise _cut()
        if not explicit:
            group, element, length = self._implicit_at(self._data, at)
            return group << 16 | element, b"", at + 8, length
        group, element, vr, length = self._explicit_at(self._data, at)
        if vr in SHORT_VRS:
            return group << 16 | element, vr, at + 8, length
        if group == 0xFFFE:  # items and delimiters have no VR (PS3.5 7.5)
            return group << 16 | element, b"", at + 8, self._long_at(self._data, at + 4)[0]
        if vr in LONG_VRS:
            if at + 12 > self._end:
                raise _cut()
            return group << 16 | element, vr, at + 12, self._long_at(self._data, at + 8)[0]
        if not is_vr(vr):
            raise Odd
        return group << 16 | element, vr, at + 8, length

    def _behind(
        self, tag: int, vr: bytes, value_at: int, length: int, *, explicit: bool, depth: int
    ) -> int:
        """Give the place behind an element."""
        if tag >> 16 == 0xFFFE and tag != _END_OF_ITEM:
            raise Odd
        if length == UNDEFINED_LENGTH:
            # What was UN when it was converted is implicit inside (PS3.5 6.2.2).
            explicit = explicit and vr != b"UN"
            if depth == 0 and tag < FUNCTIONAL_GROUPS:
                return self._behind_sequence(value_at, explicit=explicit)
            return self._behind_items(value_at, explicit=explicit, depth=depth)
        if value_at + length > self._end:
            raise _cut()
        return value_at + length

    def _behind_sequence(self, value_at: int, *, explicit: bool) -> int:
        """Step over a sequence of undefined length, which costs time as long as it is."""
        end = self._end
        self._end = min(end, value_at + self._nested_left_bytes)
        try:
            behind = self._behind_items(value_at, explicit=explicit, depth=0)
        except Cut:
            if self._end < end:
                raise too_large("describes itself in") from None
            raise
        finally:
            self._end = end
        self._nested_left_bytes -= behind - value_at
        return behind

    def _behind_items(self, at: int, *, explicit: bool, depth: int) -> int:
        if depth >= _DEEPEST:
            raise Odd
        while True:
            tag, _, value_at, length = self._header(at, explicit=False)
            if tag == _END_OF_SEQUENCE:
                return value_at
            if tag != _ITEM:
                raise Odd
            if length == UNDEFINED_LENGTH:
                at = self._behind_item(value_at, explicit=explicit, depth=depth)
            elif value_at + length > self._end:
                raise _cut()
            else:
                at = value_at + length

    def _behind_item(self, at: int, *, explicit: bool, depth: int) -> int:
        while True:
            tag, vr, value_at, length = self._header(at, explicit=explicit)
            at = self._behind(tag, vr, value_at, length, explicit=explicit, depth=depth + 1)
            if tag == _END_OF_ITEM:
                return at


def is_vr(two: bytes) -> bool:
    """Whether two bytes can be a value representation."""
    return two.isalpha() and two.isupper()


def _cut() -> Cut:
    return Cut("dataset breaks off: its lengths promise more")


def too_large(what: str) -> CannotUnderstand:
    """Make the fault of a head that would take more than HEAD_LIMIT_BYTES."""
    limit = HEAD_LIMIT_BYTES >> 20
    return CannotUnderstand(f"dataset {what} more than {limit} MB before its pixel data")
