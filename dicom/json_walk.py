"""Write the elements of an encoded dataset as DICOM JSON text, sequences and all (PS3.18 F.2).

What an element became is remembered by its bytes, since the objects of a Series repeat nearly all
of them: most elements cost one look-up.
"""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from dicom import charset
from dicom.encoding import LONG_VRS, SHORT_VRS, UNDEFINED_LENGTH
from dicom.json_text import (
    UTF_8,
    Parts,
    bulk_text,
    is_bulk,
    named,
    sequence_text,
    value_text,
    vr_of,
)
from dicom.walk import Odd, is_vr

PIXELS: Final = {0x7FE0_0008: "OF", 0x7FE0_0009: "OD", 0x7FE0_0010: "OW"}
CHARACTER_SET: Final = 0x0008_0005
PIXEL_REPRESENTATION: Final = 0x0028_0103
PADDING: Final = 0xFFFC_FFFC
"""From here on there is nothing to tell."""

_ITEM, _END_OF_ITEM, _END_OF_SEQUENCE = 0xFFFE_E000, 0xFFFE_E00D, 0xFFFE_E0DD
_DEEPEST: Final = 64
_SAYS_HOW: Final = frozenset({CHARACTER_SET, PIXEL_REPRESENTATION})
_LAST_CREATOR: Final = 0xFF  # PS3.5 7.8.1
_LONG_HEADER_BYTES: Final = 12
_KNOWN_BYTES: Final = 1024
_MOST_KNOWN: Final = 8192
_MOST_MEANINGS: Final = 64  # honest objects come in a handful of character sets
_SHORT: Final = {vr: vr.decode("ascii") for vr in SHORT_VRS}
_LONG: Final = {vr: vr.decode("ascii") for vr in LONG_VRS}

Known = dict[bytes | tuple[str, bytes], str]


class Short(Exception):  # noqa: N818  (an answer, caught where the dataset is read)
    """The element goes on behind the bytes at hand."""


@dataclass(frozen=True, slots=True)
class Meaning:
    """All that decides what the bytes of an element say."""

    is_explicit: bool
    order: str
    """As in `struct`: "<" or ">"."""
    declared: charset.Encodings = charset.ASCII
    is_signed: bool = False


_known: Final[dict[Meaning, Known]] = {}


def _known_of(meaning: Meaning) -> Known:
    if len(_known) > _MOST_MEANINGS:
        _known.clear()
    return _known.setdefault(meaning, {})


class JsonWalk:
    """Writes elements of one dataset. `data` is the part of it that is at hand."""

    def __init__(self, data: bytes, meaning: Meaning) -> None:
        self.data = data
        self._names_bulk = False
        self._mean(meaning)
        self._creators: dict[int, str] = {}

    def _mean(self, meaning: Meaning) -> None:
        self._meaning = meaning
        self._known = _known_of(meaning)
        self._is_explicit = meaning.is_explicit
        self._explicit_at = struct.Struct(meaning.order + "HH2sH").unpack_from
        self._implicit_at = struct.Struct(meaning.order + "HHL").unpack_from
        self._long_at = struct.Struct(meaning.order + "L").unpack_from

    def header(self, at: int, end: int) -> tuple[int, str, int, int]:
        """Read tag, VR ("" where it is implicit), place of the value, and length.

        Raises Short and Odd.
        """
        if at + 8 > end:
            raise Short
        if not self._is_explicit:
            group, element, length = self._implicit_at(self.data, at)
            return group << 16 | element, "", at + 8, length
        group, element, written, length = self._explicit_at(self.data, at)
        vr = _SHORT.get(written)
        if vr is not None:
            return group << 16 | element, vr, at + 8, length
        if group == 0xFFFE:  # items and delimiters have no VR (PS3.5 7.5)
            return group << 16 | element, "", at + 8, self._long_at(self.data, at + 4)[0]
        if written in _LONG:
            if at + 12 > end:
                raise Short
            length = self._long_at(self.data, at + 8)[0]
            return group << 16 | element, _LONG[written], at + 12, length
        if not is_vr(written):
            raise Odd
        return group << 16 | element, "UN", at + 8, length  # one of those to come (PS3.5 7.1.2)

    def known_run(self, at: int, last: int, found: Parts) -> tuple[int, int]:
        """Take the elements from here on whose text is known; most of them are.

        `last` is the tag before them. Gives the place and the tag where something else begins.
        """
        data, known, end = self.data, self._known, len(self.data)
        explicit_at = self._explicit_at if self._is_explicit else None
        while at + _LONG_HEADER_BYTES <= end:
            if explicit_at is None:
                group, number, length = self._implicit_at(data, at)
                behind = at + 8 + length
            else:
                group, number, vr, length = explicit_at(data, at)
                behind = at + 8 + length
                if vr not in _SHORT:
                    if vr not in _LONG:
                        break
                    length = self._long_at(data, at + 8)[0]
                    behind = at + _LONG_HEADER_BYTES + length
            tag = group << 16 | number
            if tag <= last or length > _KNOWN_BYTES or behind > end or tag in _SAYS_HOW:
                break
            key: bytes | tuple[str, bytes] = data[at:behind]
            if group & 1:
                if number <= _LAST_CREATOR:
                    break
                if self._creators:
                    key = self._creator_of(tag), data[at:behind]
            text = known.get(key)
            if text is None:
                break
            if text:
                found[tag] = text
            at, last = behind, tag
        return at, last

    def element(self, at: int, end: int, path: str = "", depth: int = 0) -> tuple[str, int]:
        """Write an element; gives its text, "" for what is left out, and the place behind it.

        Raises Short where it goes on behind `end`, Odd where it breaks the encoding.
        """
        header = self.header(at, end)
        tag, _, value_at, length = header
        behind = value_at + length
        if length > _KNOWN_BYTES:
            return self._written(header, end, path, depth)
        if behind > end:
            raise Short
        key: bytes | tuple[str, bytes] = self.data[at:behind]
        if tag >> 16 & 1 and self._creators and tag & 0xFFFF > _LAST_CREATOR:
            key = self._creator_of(tag), self.data[at:behind]
        text = self._known.get(key)
        if text is None:
            self._names_bulk = False
            text, _ = self._written(header, end, path, depth)
            if not self._names_bulk:  # else it depends on the path
                if len(self._known) >= _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = text
        self._note(tag, self.data[value_at:behind])
        return text, behind

    def meant_vr(self, tag: int, vr: str) -> str:
        """Say the VR of an element that has none, or was sent as UN (PS3.5 6.2.2)."""
        if vr and vr != "UN":
            return vr
        return vr_of(tag, self._creator_of(tag), is_signed=self._meaning.is_signed)

    def _creator_of(self, tag: int) -> str:
        if not tag >> 16 & 1:
            return ""
        return self._creators.get(tag >> 16 << 16 | (tag & 0xFF00) >> 8, "")

    def _note(self, tag: int, raw: bytes) -> None:
        """Take note of what says how to read the elements that follow."""
        if tag == CHARACTER_SET:
            terms = charset.split_terms(charset.of_raw(raw, "CS", charset.ASCII))
            self._mean(replace(self._meaning, declared=charset.encodings(terms)))
        elif tag == PIXEL_REPRESENTATION and len(raw) == 2:  # one US
            self._mean(replace(self._meaning, is_signed=raw in {b"\1\0", b"\0\1"}))
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:  # PS3.5 7.8.1
            self._creators[tag] = raw.decode("latin-1").strip(" \0")

    def _written(
        self, header: tuple[int, str, int, int], end: int, path: str, depth: int
    ) -> tuple[str, int]:
        tag, written_vr, value_at, length = header
        if tag >> 16 == 0xFFFE:  # an item where an element must be
            raise Odd
        vr = self.meant_vr(tag, written_vr)
        place = f"{path}{tag:08X}"
        if length == UNDEFINED_LENGTH:
            text, behind = self._unmeasured((vr, written_vr), value_at, end, place, depth)
        else:
            behind = value_at + length
            if behind > end:
                raise Short
            if tag & 0xFFFF == 0:  # a group's length
                return "", behind
            text = self._measured((tag, vr, value_at, length), written_vr, place, depth)
        return named(tag, text), behind

    def _unmeasured(
        self, vrs: tuple[str, str], at: int, end: int, place: str, depth: int
    ) -> tuple[str, int]:
        """Write what has no length: a sequence, or fragments of pixels."""
        vr, written_vr = vrs
        if vr in {"OB", "OW"}:
            return self._bulk(vr, place), self._behind_fragments(at, end)
        with self._reading(self._inner(written_vr)):
            return self._items(at, end, f"{place}/", depth, is_delimited=True)

    def _measured(
        self, header: tuple[int, str, int, int], written_vr: str, place: str, depth: int
    ) -> str:
        tag, vr, value_at, length = header
        if vr == "SQ" and length:
            return self._sequence(value_at, length, written_vr, place, depth)
        if is_bulk(vr, length):
            return self._bulk(vr, place)
        if tag == CHARACTER_SET:
            return UTF_8
        raw = self.data[value_at : value_at + length]
        return value_text(vr, raw, self._meaning.declared, self._meaning.order)

    def _bulk(self, vr: str, place: str) -> str:
        self._names_bulk = True
        return bulk_text(vr, place)

    def _inner(self, written_vr: str) -> Meaning:
        """Say how the items are encoded: those of what was sent as UN in implicit VR."""
        if written_vr == "UN":
            return replace(self._meaning, is_explicit=False, order="<")
        return self._meaning

    def _sequence(self, value_at: int, length: int, written_vr: str, place: str, depth: int) -> str:
        """Write a sequence of known length; where it holds no items, its bytes."""
        behind = value_at + length
        try:
            with self._reading(self._inner(written_vr)):
                return self._items(value_at, behind, f"{place}/", depth, is_delimited=False)[0]
        except (Odd, Short):
            if is_bulk("UN", length):
                return self._bulk("UN", place)
            return value_text("UN", self.data[value_at:behind], charset.ASCII, "<")

    @contextmanager
    def _reading(self, meaning: Meaning) -> Iterator[None]:
        """Read an inner dataset: what it says of itself ends with it."""
        outer, creators = self._meaning, self._creators
        self._mean(meaning)
        try:
            yield
        finally:
            self._mean(outer)
            self._creators = creators

    def _items(
        self, at: int, end: int, path: str, depth: int, *, is_delimited: bool
    ) -> tuple[str, int]:
        if depth >= _DEEPEST:
            raise Odd
        meaning, written = self._meaning, list[str]()
        while is_delimited or at < end:
            tag, at, length = self._item_header(at, end)
            if tag == _END_OF_SEQUENCE and is_delimited:
                break
            if tag != _ITEM:
                raise Odd
            self._creators = {}
            text, at = self._item(at, end, length, f"{path}{len(written)}/", depth + 1)
            written.append(text)
            if self._meaning is not meaning:
                self._mean(meaning)
        return sequence_text(written), at

    def _item_header(self, at: int, end: int) -> tuple[int, int, int]:
        if at + 8 > end:
            raise Short
        group, element, length = self._implicit_at(self.data, at)
        return group << 16 | element, at + 8, length

    def _item(self, at: int, end: int, length: int, path: str, depth: int) -> tuple[str, int]:
        to_delimiter = length == UNDEFINED_LENGTH
        if not to_delimiter:
            if at + length > end:
                raise Short
            end = at + length
        parts: list[str] = []
        while to_delimiter or at < end:
            if to_delimiter and self._tag(at, end) == _END_OF_ITEM:
                at += 8
                break
            text, at = self.element(at, end, path, depth)
            if text:
                parts.append(text)
        return f"{{{','.join(parts)}}}", at

    def _tag(self, at: int, end: int) -> int:
        if at + 8 > end:
            raise Short
        group, element, _ = self._implicit_at(self.data, at)
        return int(group << 16 | element)

    def _behind_fragments(self, at: int, end: int) -> int:
        """Step over the fragments of encapsulated pixels (PS3.5 A.4)."""
        while True:
            tag, at, length = self._item_header(at, end)
            if tag == _END_OF_SEQUENCE:
                return at
            if tag != _ITEM or length == UNDEFINED_LENGTH:
                raise Odd
            at += length
