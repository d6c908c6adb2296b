"""Read a Range header: which bytes of a representation are wanted (RFC 9110 Chapter 14)."""

import re
from dataclasses import dataclass
from typing import Final

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


class Unsatisfiable(Exception):  # noqa: N818  (an answer: 416)
    """No byte of the representation is in the range."""


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `first` to `last`, both among them, of `size_bytes`."""

    first: int
    last: int
    size_bytes: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    @property
    def content_range(self) -> str:
        """The header that says so."""
        return f"bytes {self.first}-{self.last}/{self.size_bytes}"


def part(header: str, size_bytes: int) -> Part | None:
    """Say which part a Range header asks for; None where the whole is to be given.

    The whole is given for what is no range of bytes, and for several ranges at once, as RFC 9110
    14.2 allows. Raises Unsatisfiable.
    """
    asked = _RANGE.fullmatch(header.strip().replace(" ", ""))
    if asked is None:
        return None
    first, last = asked.groups()
    if not first:
        return _suffix(int(last), size_bytes) if last else None
    if last and int(last) < int(first):
        return None  # no valid range: the header does not count (RFC 9110 14.1.1)
    if int(first) >= size_bytes:
        raise Unsatisfiable
    return Part(int(first), min(int(last), size_bytes - 1) if last else size_bytes - 1, size_bytes)


def _suffix(length: int, size_bytes: int) -> Part:
    if not length or not size_bytes:
        raise Unsatisfiable
    return Part(max(size_bytes - length, 0), size_bytes - 1, size_bytes)


def is_same(if_range: str, etag: str) -> bool:
    """Whether a part may be given: there is no If-Range, or it names what stands here."""
    return not if_range or if_range.strip() == etag


def is_known(if_none_match: str, etag: str) -> bool:
    """Whether the client has what it asks for already (If-None-Match, compared weakly)."""
    if if_none_match.strip() == "*":
        return True
    return any(_strong(one) == _strong(etag) for one in if_none_match.split(","))


def _strong(etag: str) -> str:
    return etag.strip().removeprefix("W/")
