"""Search bytes of any kind for identity, in every encoding that DICOM and computers use.

All needles are one regular expression, made of a tree over their bytes, so that a large file is
read once. Case is ignored for ASCII; other letters are searched in both cases. A needle must be
long enough not to occur by chance in a gigabyte of noise; shorter ones are left to the search in
decoded text.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from deid.scan.spellings import spellings
from deid.scan.wanted import Kind, Wanted

_ENCODINGS: Final = (
    "utf-8",
    *(f"iso8859-{number}" for number in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15)),
    "cp1250", "cp1251", "cp1252", "cp1253", "mac-roman", "cp850", "cp866", "koi8-r",
    "shift_jis", "euc_jp", "iso2022_jp", "iso2022_jp_2", "euc_kr", "iso2022_kr", "gb18030", "big5",
    "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be",
)  # fmt: skip
_IN_URLS: Final = frozenset({"utf-8", "iso8859-1"})
"""Searched also with their bytes written as %HH (RFC 3986 2.1)."""
_WIDTHS: Final = {"utf-16-le": 2, "utf-16-be": 2, "utf-32-le": 4, "utf-32-be": 4}
_ESCAPES: Final = re.compile(rb"\x1b(?:\$[()]?[@-F]|\([@-J]|\.[AF])|[\x0e\x0f]")
"""ISO 2022: code extension stands between the pieces that are searched for."""
_CHUNK: Final = 4 << 20
_LEAST_BITS: Final = 29.0
"""By chance a needle of so many bits is found once in half a gigabyte of noise."""
_LETTER_BITS, _DIGIT_BITS, _OTHER_BITS = 6.5, 5.4, 8.0
_WIDE_FACTOR: Final = 0.8
"""Pixels of 16 bits look like UTF-16 more often than noise does."""
_EDGED: Final = 8
"""Shorter words are found as words alone."""
_ALNUM: Final = frozenset(b"0123456789abcdefghijklmnopqrstuvwxyz")
_DIGITS: Final = frozenset(b"0123456789")
_NUMBER: Final = frozenset(b"0123456789.")
_NONE: Final[frozenset[int]] = frozenset()

Buffer = Any
"""bytes, bytearray, memoryview or mmap: what can be sliced and measured."""


@dataclass(frozen=True, slots=True)
class Needle:
    """One line in one spelling and encoding."""

    wanted: Wanted
    encoding: str
    width: int
    """Bytes of a character beside it: 1, 2 in UTF-16, 4 in UTF-32."""
    before: frozenset[int] = field(repr=False)
    """Bytes that must not stand before it."""
    after: frozenset[int] = field(repr=False)


class ByteSearch:
    """Finds lines of the identity file in bytes."""

    def __init__(self, wanted: Iterable[Wanted]) -> None:
        self._needles: dict[bytes, list[Needle]] = {}
        for each in wanted:
            for spelling in spellings(each):
                for data, encoding in _encoded(spelling):
                    known = self._needles.setdefault(data, [])
                    if all(needle.wanted != each for needle in known):
                        known.append(_needle(each, spelling, encoding))
        longest = max(map(len, self._needles), default=0)
        self._margin = longest + 4
        self._pattern = re.compile(_tree_pattern(self._needles), re.DOTALL)
        self._prefixes = {
            data: [n for end in range(1, len(data) + 1) for n in self._at(data[:end])]
            for data in self._needles
        }

    def _at(self, data: bytes) -> list[tuple[int, Needle]]:
        return [(len(data), needle) for needle in self._needles.get(data, ())]

    def find(self, buffer: Buffer) -> Iterator[tuple[int, Needle]]:
        """Yield each place of each needle, by offset."""
        if not self._needles:
            return
        for at in range(0, len(buffer), _CHUNK):
            low = max(at - self._margin, 0)
            window = bytes(buffer[low : at + _CHUNK + self._margin]).lower()
            for offset, needle in self._in_window(window, at - low, at - low + _CHUNK):
                yield low + offset, needle

    def _in_window(self, window: bytes, begin: int, end: int) -> Iterator[tuple[int, Needle]]:
        match = self._pattern.search(window, begin)
        while match is not None and match.start() < end:
            start = match.start()
            for length, needle in self._prefixes[match.group()]:
                if _stands_alone(window, start, start + length, needle):
                    yield start, needle
            match = self._pattern.search(window, start + 1)


def _encoded(spelling: str) -> Iterator[tuple[bytes, str]]:
    """Yield a spelling's bytes in lower case, with the encoding, where they are long enough."""
    for cased in {spelling, spelling.upper(), spelling.lower(), spelling.title()}:
        for encoding in _ENCODINGS:
            try:
                raw = cased.encode(encoding)
            except UnicodeEncodeError:
                continue
            if encoding.startswith("iso2022"):
                raw = max(_ESCAPES.split(raw), key=len)
            data = raw.lower()
            if _bits(data, encoding) < _LEAST_BITS:
                continue
            yield data, encoding
            if encoding in _IN_URLS and not raw.isascii():
                yield quote(raw).encode("ascii").lower(), encoding


def _bits(data: bytes, encoding: str) -> float:
    """Estimate how unlikely bytes are by chance."""
    bits = 0.0
    for byte in data:
        if byte in _DIGITS:
            bits += _DIGIT_BITS
        elif byte in _ALNUM:
            bits += _LETTER_BITS
        elif byte:
            bits += _OTHER_BITS
    if encoding.startswith("iso2022") and not data.isalnum():
        bits *= _WIDE_FACTOR  # two printable bytes for a sign
    return bits * (_WIDE_FACTOR if encoding in _WIDTHS else 1)


def _needle(wanted: Wanted, spelling: str, encoding: str) -> Needle:
    width = _WIDTHS.get(encoding, 1)
    before, after = _NONE, _NONE
    if wanted.kind is Kind.UID:
        before, after = _NUMBER, _DIGITS
    elif wanted.kind is Kind.DATE:
        before = _DIGITS if spelling[:1].isdigit() else _NONE
    elif spelling.isascii():
        if not any(character.isalpha() for character in spelling):
            before, after = _DIGITS, _DIGITS
        elif len(spelling) < _EDGED:
            before, after = _ALNUM, _ALNUM
    return Needle(wanted, encoding, width, before, after)


def _stands_alone(window: bytes, start: int, end: int, needle: Needle) -> bool:
    """Whether no letter or digit beside a needle makes it part of something else."""
    step = needle.width
    left = window[max(start - step, 0) : start].strip(b"\0")
    right = window[end : end + step].strip(b"\0")
    return not (
        (len(left) == 1 and left[0] in needle.before)
        or (len(right) == 1 and right[0] in needle.after)
    )


_Tree = dict[int, Any]
_END: Final = -1


def _tree_pattern(needles: Iterable[bytes]) -> bytes:
    """Make one regular expression that matches the longest needle at a place."""
    tree: _Tree = {}
    for needle in needles:
        node = tree
        for byte in needle:
            node = node.setdefault(byte, {})
        node[_END] = True
    return _branches(tree)


def _branches(tree: Mapping[int, Any]) -> bytes:
    """Write a node; chains of single bytes are written without groups, so nesting stays low."""
    written = bytearray()
    while len(tree) == 1 and _END not in tree:
        (byte,) = tree
        written += re.escape(bytes([byte]))
        tree = tree[byte]
    ends = _END in tree
    choices = [
        re.escape(bytes([byte])) + _branches(child) for byte, child in tree.items() if byte != _END
    ]
    if choices:
        written += b"(?:" + b"|".join(choices) + (b")?" if ends else b")")
    return bytes(written)
