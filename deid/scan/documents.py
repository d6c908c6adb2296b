"""Find the strings that PDF shows, which stand in parentheses and angle brackets."""

import re
from collections.abc import Iterator
from typing import Any, Final

_SHOWS: Final = re.compile(
    rb"\[((?:[^\[\]\\]|\\.)*)\]\s*TJ|((?:\((?:[^()\\]|\\.)*\)|<[0-9A-Fa-f\s]*>))\s*(?:Tj|'|\")"
)
_PART: Final = re.compile(rb"\(((?:[^()\\]|\\.)*)\)|<([0-9A-Fa-f\s]*)>", re.DOTALL)
_ESCAPE: Final = re.compile(rb"\\([0-7]{1,3}|\r?\n|.)", re.DOTALL)
_MOST: Final = 64 << 20
"""Longer page contents are left to the search in bytes."""
_OPERATORS: Final = (b"Tj", b"TJ")

Buffer = Any


def texts(buffer: Buffer) -> Iterator[tuple[str, str]]:
    """Yield what a PDF's page content shows, kerned words joined (ISO 32000-1 9.4.3).

    Fonts with an encoding of their own are not followed.
    """
    if len(buffer) > _MOST or all(buffer.find(each) < 0 for each in _OPERATORS):
        return
    shown = [_joined(match.group(1) or match.group(2)) for match in _SHOWS.finditer(buffer)]
    if shown:
        yield "PDF text", "".join(shown)
        yield "PDF text", " ".join(shown)


def _joined(array: bytes) -> str:
    written = b"".join(
        _ESCAPE.sub(_plain, literal) if literal else _bytes(digits)
        for literal, digits in _PART.findall(array)
    )
    return written.replace(b"\0", b"").decode("latin-1")


def _plain(match: re.Match[bytes]) -> bytes:
    code = match.group(1)
    if code.isdigit():
        return bytes([int(code, 8) & 0xFF])
    return {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(code, b"" if code.endswith(b"\n") else code)


def _bytes(digits: bytes) -> bytes:
    plain = b"".join(digits.split())
    return bytes.fromhex((plain + b"0" * (len(plain) % 2)).decode("ascii"))
