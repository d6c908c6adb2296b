"""Read a multipart body as it comes, piece by piece, and keep none of it (RFC 2046 5.1).

Pure: whatever the pieces are, the parts are the same.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from dicom.errors import CannotUnderstand

LONGEST_BOUNDARY: Final = 200
"""RFC 2046 has 70; some write a few more."""
HEADERS_BYTES: Final = 16 << 10
"""Of one part; honest ones have some hundred."""
PREAMBLE_BYTES: Final = 64 << 10
_BLANKS: Final = b" \t"
_MOST_BLANKS: Final = 1024
_END: Final = b"\r\n"
_FOLD: Final = re.compile(rb"\r\n[ \t]+")


class BadMultipart(CannotUnderstand):
    """The body does not follow RFC 2046; parts that ended before it went wrong stand."""

    code = "bad-multipart"


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins."""

    headers: Mapping[str, str]
    """By name in small letters."""


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the part that began; never empty."""

    chunk: memoryview


@dataclass(frozen=True, slots=True)
class End:
    """The part is whole."""


Event = Begin | Data | End


class _At(Enum):
    PREAMBLE = auto()
    BEHIND_BOUNDARY = auto()
    HEADERS = auto()
    BODY = auto()
    EPILOGUE = auto()


class PartReader:
    """One body. It holds back less than one boundary, or the headers of one part."""

    def __init__(self, boundary: str) -> None:
        """Begin. Raises BadMultipart for a boundary that cannot be one."""
        if not (0 < len(boundary) <= LONGEST_BOUNDARY and boundary.isascii()):
            raise BadMultipart(f"the boundary must have 1 to {LONGEST_BOUNDARY} ASCII characters")
        self._delimiter = b"\r\n--" + boundary.encode("ascii")
        self._held = _END  # so that a boundary at the very beginning is one behind a line
        self._at = _At.PREAMBLE
        self._passed = 0

    @property
    def is_over(self) -> bool:
        """Whether the last boundary has come."""
        return self._at is _At.EPILOGUE

    def feed(self, piece: bytes) -> Iterator[Event]:
        """Read on; give what of the parts can be told now. Raises BadMultipart."""
        data = self._held + piece if self._held else bytes(piece)
        start = 0
        while self._at is not _At.EPILOGUE:
            before = self._at
            if before in {_At.PREAMBLE, _At.BODY}:
                found = data.find(self._delimiter, start)
                end = found if found >= 0 else max(start, len(data) - len(self._delimiter) + 1)
                yield from self._until(memoryview(data)[start:end], is_last=found >= 0)
                start = end + len(self._delimiter) if found >= 0 else end
            elif before is _At.BEHIND_BOUNDARY:
                start = self._behind_boundary(data, start)
            else:
                end = data.find(_END + _END, start)
                if (end if end >= 0 else len(data)) - start > HEADERS_BYTES:
                    words = f"a part's headers have more than {HEADERS_BYTES >> 10} KiB"
                    raise BadMultipart(words)
                if end >= 0:
                    yield Begin(_headers(data[start:end]))
                    start = end + 2 * len(_END)
                    self._at = _At.BODY
            if self._at is before:
                break
        self._held = b"" if self._at is _At.EPILOGUE else data[start:]

    def close(self) -> None:
        """Say that nothing more comes. Raises BadMultipart where the body breaks off."""
        if not self.is_over:
            raise BadMultipart("the body breaks off before its last boundary")

    def _until(self, passed: memoryview, *, is_last: bool) -> Iterator[Event]:
        """Pass what stands before a boundary on."""
        if self._at is _At.PREAMBLE:
            self._passed += len(passed)
            if self._passed > PREAMBLE_BYTES:
                raise BadMultipart("the body does not begin with its boundary")
        elif passed:
            yield Data(passed)
        if is_last:
            if self._at is _At.BODY:
                yield End()
            self._at = _At.BEHIND_BOUNDARY

    def _behind_boundary(self, data: bytes, start: int) -> int:
        """Read "--", the end of all parts, or the rest of the line; returns where it ends."""
        if data[start : start + 2] == b"--":
            self._at = _At.EPILOGUE
            return start + 2
        at = start
        while data[at : at + 1] and data[at : at + 1] in _BLANKS:
            at += 1
        if data[at : at + 2] == _END:
            self._at = _At.HEADERS
            return at  # with the end of the line: a part without headers has an empty line next
        if not _could_be(data[at : at + 2], at > start) or at - start > _MOST_BLANKS:
            raise BadMultipart("a boundary is followed by something else on its line")
        return start


def _headers(lines: bytes) -> dict[str, str]:
    """Read what stands between the boundary's line and the empty one."""
    found: dict[str, str] = {}
    for line in _FOLD.sub(b" ", lines).split(_END):
        name, colon, value = line.decode("latin-1").partition(":")
        if line and not (colon and name.strip()):
            raise BadMultipart("a part has a header without a name")
        if line:
            found.setdefault(name.strip().lower(), value.strip())
    return found


def _could_be(rest: bytes, is_padded: bool) -> bool:  # noqa: FBT001  (one caller, above)
    """Whether more bytes could make this an end of line, or of everything."""
    return rest in {b"", b"\r"} or (rest == b"-" and not is_padded)
