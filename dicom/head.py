"""Read what the node files of a dataset: the catalogue's attributes, as text, and no pixel.

The dataset is walked by its lengths alone (PS3.5 Chapter 7), some 50 times quicker than it is
parsed, and a dataset that was cut is known by them. Where it does not follow its declared
encoding, pydicom's forgiving parser has the word.
"""

import struct
from collections.abc import Callable, Mapping
from typing import BinaryIO, Final

from pydicom.dataset import Dataset

from dicom import charset, part10
from dicom.attributes import CATALOGUE, DERIVED, Attribute
from dicom.encoding import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
)
from dicom.errors import CannotUnderstand

Texts = Mapping[str, str]
"""DICOM text by keyword; what an object lacks is missing. Several values are joined by a
backslash."""

VALUE_LIMIT: Final = 1 << 16
"""No attribute of the catalogue is longer (PS3.5 Table 6.2-1); a longer value is left out."""

_WANTED: Final[Mapping[int, Attribute]] = {
    one.tag: one for one in CATALOGUE.values() if one.keyword not in DERIVED
}
_KEPT: Final = frozenset({*_WANTED, charset.SPECIFIC_CHARACTER_SET})
_PIXELS: Final = 0x7FE00000
_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST: Final = 64


class _Odd(Exception):  # noqa: N818  (an answer, caught in this file)
    """The bytes do not follow their declared encoding."""


def read(
    dataset: memoryview, transfer_syntax_uid: str, part10_file: Callable[[], BinaryIO]
) -> Texts:
    """Read the catalogue's attributes of an encoded dataset.

    `part10_file` opens the same object as a Part 10 file, for when its dataset is deflated or
    odd. Raises CannotUnderstand when the dataset breaks off, or nobody can read it.
    """
    if transfer_syntax_uid not in DEFLATED:
        try:
            found = _Walk(dataset, transfer_syntax_uid).top()
        except _Odd:
            pass
        else:
            return _texts(found, little_endian=transfer_syntax_uid != BIG_ENDIAN)
    with part10_file() as stream:
        return of_dataset(part10.read_head(stream))


def of_dataset(dataset: Dataset) -> Texts:
    """Read the catalogue's attributes of a dataset that was parsed already."""
    declared = charset.encodings(charset.terms_of(dataset))
    wanted = _WANTED.values()
    found = {one.keyword: charset.read(dataset, one.tag, one.vr, declared) for one in wanted}
    return {keyword: text for keyword, text in found.items() if text}


def _texts(found: Mapping[int, bytes], *, little_endian: bool) -> Texts:
    raw = found.get(charset.SPECIFIC_CHARACTER_SET, b"")
    declared = charset.encodings(charset.split_terms(charset.of_raw(raw, "CS", charset.ASCII)))
    out: dict[str, str] = {}
    for tag, attribute in _WANTED.items():
        raw = found.get(tag, b"")
        if raw:
            text = charset.of_raw(raw, attribute.vr, declared, little_endian=little_endian)
            if text:
                out[attribute.keyword] = text
    return out


class _Walk:
    """Steps over the elements of one dataset. Raises CannotUnderstand where it breaks off."""

    def __init__(self, data: memoryview, transfer_syntax_uid: str) -> None:
        self._data = data
        self._end = len(data)
        self._explicit = transfer_syntax_uid not in IMPLICIT
        order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
        self._explicit_at = struct.Struct(order + "HH2sH").unpack_from
        self._implicit_at = struct.Struct(order + "HHL").unpack_from
        self._long_at = struct.Struct(order + "L").unpack_from

    def top(self) -> dict[int, bytes]:
        """Step over the whole dataset; returns the raw values of what the catalogue has."""
        found: dict[int, bytes] = {}
        at, elements = 0, 0
        while at < self._end:
            tag, vr, value_at, length = self._header(at, explicit=self._explicit)
            elements += tag < _PIXELS
            at = self._behind(tag, vr, value_at, length, explicit=self._explicit, depth=0)
            if tag in _KEPT and vr != b"SQ" and length <= VALUE_LIMIT:
                found[tag] = bytes(self._data[value_at:at])
        if not elements:
            raise CannotUnderstand("dataset holds no elements before its pixel data")
        return found

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
        if not (vr.isalpha() and vr.isupper()):
            raise _Odd
        return group << 16 | element, vr, at + 8, length

    def _behind(
        self, tag: int, vr: bytes, value_at: int, length: int, *, explicit: bool, depth: int
    ) -> int:
        """Give the place behind an element."""
        if tag >> 16 == 0xFFFE and tag != _END_OF_ITEM:
            raise _Odd
        if length == UNDEFINED_LENGTH:
            # What was UN when it was converted is implicit inside (PS3.5 6.2.2).
            return self._behind_items(value_at, explicit=explicit and vr != b"UN", depth=depth)
        if value_at + length > self._end:
            raise _cut()
        return value_at + length

    def _behind_items(self, at: int, *, explicit: bool, depth: int) -> int:
        if depth >= _DEEPEST:
            raise _Odd
        while True:
            tag, _, value_at, length = self._header(at, explicit=False)
            if tag == _END_OF_SEQUENCE:
                return value_at
            if tag != _ITEM:
                raise _Odd
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


def _cut() -> CannotUnderstand:
    return CannotUnderstand("dataset breaks off: its lengths promise more")
