"""Whether an encoded dataset breaks off before its end, by its lengths alone (PS3.5 Chapter 7).

Parsers forgive a dataset that was cut: pydicom takes what is there. A node that stores for others
must notice. Only headers are read; values are skipped. Where a dataset does not follow its
declared encoding nothing is concluded: other checks meet it.
"""

import os
import struct
from typing import BinaryIO, Final

_LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = (0xFFFE, 0xE000)
_END_OF_ITEM: Final = (0xFFFE, 0xE00D)
_END_OF_SEQUENCE: Final = (0xFFFE, 0xE0DD)
_DEEPEST: Final = 64

_IMPLICIT: Final = frozenset(("1.2.840.10008.1.2", "1.2.840.113619.5.2"))
_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"
_DEFLATED: Final = frozenset(
    ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205")
)


class _Cut(Exception):  # noqa: N818  (an answer, caught in this file)
    """The stream ended where more was promised."""


class _Odd(Exception):  # noqa: N818  (as above)
    """The bytes do not follow their declared encoding."""


def breaks_off(stream: BinaryIO, transfer_syntax_uid: str) -> bool:
    """Whether the dataset from here to the stream's end is shorter than its lengths say.

    Deflated datasets are not looked into. Leaves the stream's position anywhere.
    """
    if transfer_syntax_uid in _DEFLATED:
        return False
    order = ">" if transfer_syntax_uid == _BIG_ENDIAN else "<"
    start = stream.tell()
    end = stream.seek(0, os.SEEK_END)
    stream.seek(start)
    walk = _Walk(stream, end, order)
    try:
        while stream.tell() < end:
            walk.element(explicit=transfer_syntax_uid not in _IMPLICIT, depth=0)
    except _Cut:
        return True
    except _Odd:
        return False
    return False


class _Walk:
    """Skips elements one after the other."""

    def __init__(self, stream: BinaryIO, end: int, order: str) -> None:
        self._stream = stream
        self._end = end
        self._tag = struct.Struct(order + "HH")
        self._short = struct.Struct(order + "H")
        self._long = struct.Struct(order + "L")

    def _read(self, count: int) -> bytes:
        found = self._stream.read(count)
        if len(found) < count:
            raise _Cut
        return found

    def _skip(self, count: int) -> None:
        if self._stream.tell() + count > self._end:
            raise _Cut
        self._stream.seek(count, os.SEEK_CUR)

    def _length(self) -> int:
        return int(self._long.unpack(self._read(4))[0])

    def element(self, *, explicit: bool, depth: int) -> tuple[int, int]:
        """Skip one element with its value; returns its tag."""
        tag: tuple[int, int] = self._tag.unpack(self._read(4))
        if tag[0] == 0xFFFE:
            if tag != _END_OF_ITEM:
                raise _Odd
            self._skip(4)
            return tag
        vr = self._read(2) if explicit else b""
        if explicit and not (vr.isalpha() and vr.isupper()):
            raise _Odd
        if explicit and vr not in _LONG_VRS:
            self._skip(int(self._short.unpack(self._read(2))[0]))
            return tag
        if explicit:
            self._read(2)
        length = self._length()
        if length == _UNDEFINED:
            self._items(explicit=explicit and vr != b"UN", depth=depth)
        else:
            self._skip(length)
        return tag

    def _items(self, *, explicit: bool, depth: int) -> None:
        if depth >= _DEEPEST:
            raise _Odd
        while (tag := self._tag.unpack(self._read(4))) != _END_OF_SEQUENCE:
            if tag != _ITEM:
                raise _Odd
            length = self._length()
            if length != _UNDEFINED:
                self._skip(length)
                continue
            while self.element(explicit=explicit, depth=depth + 1) != _END_OF_ITEM:
                pass
        self._skip(4)
