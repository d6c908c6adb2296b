"""The keys of a C-FIND identifier, read from its bytes without a dataset in between (PS3.4 C.4.1).

An honest identifier has some dozens of keys. One that has thousands, or that nests deeper than any
attribute does, is refused before it costs anything.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DatasetSequence

from dicom import charset
from dicom.attributes import Level
from dicom.elements import dictionary_vrs
from dicom.encoding import (
    BIG_ENDIAN,
    DEFLATED,
    IMPLICIT,
    LONG_VRS,
    SHORT_VRS,
    UNDEFINED_LENGTH,
)
from dicom.errors import CannotUnderstand, DoesNotMatch

MOST_KEYS: Final = 1000
"""Elements of an identifier, those within sequences included."""
MAX_DEPTH: Final = 8
"""Sequences within sequences; PS3.4 asks for two."""
INFLATED_LIMIT: Final = 4 << 20
QUERY_RETRIEVE_LEVEL: Final = 0x00080052

_ITEM: Final = 0xFFFEE000
_END_OF_ITEM: Final = 0xFFFEE00D
_END_OF_SEQUENCE: Final = 0xFFFEE0DD


class BadIdentifier(DoesNotMatch):
    """The identifier breaks a rule: 0xA900 with the element that does (PS3.4 C.4.1.1.4)."""

    code = "bad-identifier"

    def __init__(self, tag: int, words: str) -> None:
        self.tag = tag
        name = keyword_for_tag(tag) or "element"
        super().__init__(f"{name} ({tag >> 16:04X},{tag & 0xFFFF:04X}) {words}")


class Keys(Protocol):
    """The keys of an identifier, or of an item of a sequence in it."""

    def tags(self) -> Sequence[int]:
        """List the tags, ascending, without group lengths."""

    def text(self, tag: int, vr: str, declared: charset.Encodings) -> str:
        """Read a key as text by its VR in the dictionary; "" where it is absent or empty."""

    def items(self, tag: int) -> Sequence["Keys"] | None:
        """Give the items of a sequence; None for what is none."""


@dataclass(slots=True)
class Encoded:
    """Keys as they came over the wire."""

    little_endian: bool
    _values: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    _items: dict[int, list["Encoded"]] = field(default_factory=dict)

    def tags(self) -> Sequence[int]:
        """List the tags, ascending, without group lengths."""
        return sorted(tag for tag in {*self._values, *self._items} if tag & 0xFFFF)

    def text(self, tag: int, vr: str, declared: charset.Encodings) -> str:
        """Read a key as text."""
        own, raw = self._values.get(tag, (b"", b""))
        spoken = charset.meant_vr(own.decode("ascii"), vr)
        return charset.of_raw(raw, spoken, declared, little_endian=self.little_endian)

    def items(self, tag: int) -> Sequence[Keys] | None:
        """Give the items of a sequence."""
        return self._items.get(tag)


@dataclass(frozen=True, slots=True)
class Parsed:
    """Keys of a dataset that pydicom has parsed."""

    dataset: Dataset

    def tags(self) -> Sequence[int]:
        """List the tags, ascending, without group lengths."""
        return sorted(int(tag) for tag in self.dataset.keys() if tag.element)  # noqa: SIM118  (a Dataset iterates over elements)

    def text(self, tag: int, vr: str, declared: charset.Encodings) -> str:
        """Read a key as text."""
        return charset.read(self.dataset, tag, vr, declared)

    def items(self, tag: int) -> Sequence[Keys] | None:
        """Give the items of a sequence."""
        if "SQ" not in dictionary_vrs(tag) or tag not in self.dataset:
            return None
        value = self.dataset[tag].value
        return [Parsed(item) for item in value] if isinstance(value, DatasetSequence) else None


def read(identifier: bytes, transfer_syntax_uid: str) -> Encoded:
    """Read the keys of an encoded identifier.

    Raises BadIdentifier where a tag stands twice, where there are too many keys or they nest too
    deep, and CannotUnderstand where the bytes are no dataset.
    """
    if transfer_syntax_uid in DEFLATED:
        identifier = _inflated(identifier)
    explicit = transfer_syntax_uid not in IMPLICIT
    if not explicit and identifier[4:6].isalpha() and identifier[4:6].isupper():
        explicit = identifier[4:6] in SHORT_VRS  # as some send it, whatever was agreed
    return _Reader(identifier, big_endian=transfer_syntax_uid == BIG_ENDIAN).read(explicit=explicit)


def _inflated(packed: bytes) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        found = inflate.decompress(packed, INFLATED_LIMIT)
    except zlib.error as fault:
        raise CannotUnderstand("the identifier cannot be inflated") from fault
    if inflate.unconsumed_tail:
        raise CannotUnderstand(f"the identifier unfolds to more than {INFLATED_LIMIT >> 20} MB")
    return found


class _Reader:
    """Steps over one identifier, once."""

    def __init__(self, data: bytes, *, big_endian: bool) -> None:
        order = ">" if big_endian else "<"
        self._data = data
        self._little_endian = not big_endian
        self._explicit_at = struct.Struct(order + "HH2sH").unpack_from
        self._implicit_at = struct.Struct(order + "HHL").unpack_from
        self._long_at = struct.Struct(order + "L").unpack_from
        self._left = MOST_KEYS

    def read(self, *, explicit: bool) -> Encoded:
        """Read all."""
        keys, _ = self._keys(0, len(self._data), explicit=explicit, depth=0, delimited=False)
        return keys

    def _keys(
        self, at: int, end: int, *, explicit: bool, depth: int, delimited: bool
    ) -> tuple[Encoded, int]:
        """Read elements up to `end`, or to an Item Delimitation Item where `delimited`."""
        found = Encoded(self._little_endian)
        while at < end:
            tag, vr, start, length = self._header(at, end, explicit=explicit)
            if tag == _END_OF_ITEM and delimited:
                return found, start
            if tag >> 16 == 0xFFFE:
                raise CannotUnderstand("an item or delimiter stands where a key must")
            self._left -= 1
            if self._left < 0:
                raise BadIdentifier(tag, f"is one key too many: at most {MOST_KEYS} are read")
            if tag in found._values or tag in found._items:  # noqa: SLF001  (of this file)
                raise BadIdentifier(tag, "stands twice")
            at = self._value(found, (tag, vr, start, length), end, explicit=explicit, depth=depth)
        if delimited:
            raise _cut()
        return found, at

    def _value(
        self,
        found: Encoded,
        header: tuple[int, bytes, int, int],
        end: int,
        *,
        explicit: bool,
        depth: int,
    ) -> int:
        """Read a value or the items of a sequence; returns the place behind."""
        tag, vr, start, length = header
        undefined = length == UNDEFINED_LENGTH
        if not undefined and start + length > end:
            raise _cut()
        by_dictionary = vr in {b"", b"UN"} and "SQ" in dictionary_vrs(tag)
        if not (undefined or vr == b"SQ" or by_dictionary):
            found._values[tag] = vr, self._data[start : start + length]  # noqa: SLF001  (as above)
            return start + length
        if depth >= MAX_DEPTH:
            raise BadIdentifier(tag, f"nests deeper than {MAX_DEPTH} sequences")
        # What was UN when it was converted is implicit inside (PS3.5 6.2.2).
        inside = explicit and vr != b"UN"
        limit = end if undefined else start + length
        items, behind = self._items(start, limit, explicit=inside, depth=depth, open_end=undefined)
        found._items[tag] = items  # noqa: SLF001  (as above)
        return behind

    def _items(
        self, at: int, end: int, *, explicit: bool, depth: int, open_end: bool
    ) -> tuple[list[Encoded], int]:
        items: list[Encoded] = []
        while at < end:
            tag, _, start, length = self._header(at, end, explicit=False)
            if tag == _END_OF_SEQUENCE and open_end:
                return items, start
            if tag != _ITEM:
                raise CannotUnderstand("something else stands where an item must")
            self._left -= 1
            if self._left < 0:
                raise CannotUnderstand(f"more than {MOST_KEYS} keys and items")
            undefined = length == UNDEFINED_LENGTH
            limit = end if undefined else start + length
            if limit > end:
                raise _cut()
            item, at = self._keys(
                start, limit, explicit=explicit, depth=depth + 1, delimited=undefined
            )
            items.append(item)
        if open_end:
            raise _cut()
        return items, at

    def _header(self, at: int, end: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Read an element's tag, VR (b"" where implicit), place of its value, and length."""
        if at + 8 > end:
            raise _cut()
        group, element, length = self._implicit_at(self._data, at)
        tag = group << 16 | element
        if not explicit or group == 0xFFFE:
            return tag, b"", at + 8, length
        _, _, vr, length = self._explicit_at(self._data, at)
        if vr in SHORT_VRS:
            return tag, vr, at + 8, length
        if vr not in LONG_VRS:
            raise CannotUnderstand("what stands for a value representation is none")
        if at + 12 > end:
            raise _cut()
        return tag, vr, at + 12, self._long_at(self._data, at + 8)[0]


def _cut() -> CannotUnderstand:
    return CannotUnderstand("the identifier breaks off: its lengths promise more")


def level_of(keys: Keys, levels: Sequence[Level]) -> Level:
    """Read QueryRetrieveLevel, one of a model's levels. Raises BadIdentifier."""
    text = keys.text(QUERY_RETRIEVE_LEVEL, "CS", charset.ASCII)
    known = ", ".join(levels)
    if not text:
        raise BadIdentifier(QUERY_RETRIEVE_LEVEL, f"is missing; it must be one of {known}")
    if text not in levels:
        raise BadIdentifier(QUERY_RETRIEVE_LEVEL, f"must be one of {known} in this model")
    return Level(text)


def declared_terms(keys: Keys) -> tuple[str, ...]:
    """Read the defined terms of SpecificCharacterSet; none where it is absent or empty."""
    return charset.split_terms(keys.text(charset.SPECIFIC_CHARACTER_SET, "CS", charset.ASCII))
