"""Find what is packed inside bytes (deflated, gzip, zip, zlib, base64, hex) and unpack it.

Whatever looks like the beginning of a packed member is tried, wherever it stands: streams of a
PDF, files of an archive, a packed private element. What large members unpack to goes to unnamed
temporary files, so that memory stays flat.
"""

import base64
import binascii
import mmap
import re
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any, Final

_ZLIB_HEADS: Final = sorted(
    bytes([method, flags])
    for method in range(0x08, 0x80, 0x10)
    for flags in range(256)
    if (method * 256 + flags) % 31 == 0 and not flags & 0x20
)
"""RFC 1950: deflate, any window, the check bits right, no preset dictionary."""
_HEADS: Final = re.compile(
    b"|".join([rb"\x1f\x8b\x08", rb"PK\x03\x04", *map(re.escape, _ZLIB_HEADS)]), re.DOTALL
)
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]{16,}(?:\r?\n[A-Za-z0-9+/]+)*={0,2}")
_HEX: Final = re.compile(rb"(?:[0-9A-Fa-f]{2}[ \r\n]{0,2}){8,}")
_OTHER_ARCHIVES: Final = {
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_LOCAL_HEADER_BYTES: Final = 30
_HEADER_BYTES: Final = 1024
_DEFLATED: Final = 8
_FIRST_FEED: Final = 64
"""Most of what looks like a beginning is none, and breaks off within a few bytes."""
_FEED: Final = 1 << 14
_IN_MEMORY: Final = 8 << 20
_LEAST_INSIDE: Final = 6
_MOST_INSIDE: Final = 8 << 30
"""More than this is taken for an attack on the disk."""

Buffer = Any


@dataclass(frozen=True, slots=True)
class Member:
    """Something unpacked."""

    how: str
    offset: int
    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Closed:
    """Something packed that cannot be unpacked here."""

    why: str
    offset: int


def members(buffer: Buffer) -> Iterator[Member | Closed]:
    """Yield each packed member; its buffer is good until the next one is asked for."""
    for magic, name in _OTHER_ARCHIVES.items():
        if buffer[: len(magic)] == magic:
            yield Closed(f"a {name} archive cannot be opened here", 0)
    position = 0
    while (match := _HEADS.search(buffer, position)) is not None:
        start = match.start()
        position = start + 1
        how, begin = _recipe(bytes(buffer[start : start + _HEADER_BYTES]))
        if not begin:
            if how:
                yield Closed(how, start)
            continue
        with _unpacked(buffer, start + begin) as (inside, end, is_whole, size):
            if size < _LEAST_INSIDE:
                continue
            yield Member(how, start, inside)
            if size >= _MOST_INSIDE:
                yield Closed("more is packed here than can be unpacked", start)
            position = end if is_whole else position


def _recipe(head: bytes) -> tuple[str, int]:
    """Say what begins here, and after how many bytes its deflated stream; 0 for none.

    Checksums are not looked at: what is damaged can still be read.
    """
    if head.startswith(b"\x1f\x8b"):
        return "gzip", _gzip_header(head)
    if not head.startswith(b"PK"):
        return "zlib", 2
    if len(head) < _LOCAL_HEADER_BYTES:
        return "", 0
    flags, method = head[6], int.from_bytes(head[8:10], "little")
    if flags & 1:
        return "a member of a zip archive is encrypted", 0
    names = int.from_bytes(head[26:28], "little") + int.from_bytes(head[28:30], "little")
    if method == _DEFLATED:
        return "zip member", _LOCAL_HEADER_BYTES + names
    # What is stored as it is was searched with the bytes around it.
    return "" if method == 0 else f"a member of a zip archive uses method {method}", 0


def _gzip_header(head: bytes) -> int:
    """Measure the header of a gzip member (RFC 1952 2.3)."""
    flags, end = head[3] if len(head) > 3 else 0, 10
    if flags & 4:
        end += 2 + int.from_bytes(head[end : end + 2], "little")
    for text in (8, 16):
        if flags & text:
            end = head.find(b"\0", end) + 1 or len(head)
    return end + (2 if flags & 2 else 0)


@contextmanager
def _unpacked(buffer: Buffer, begin: int) -> Iterator[tuple[Buffer, int, bool, int]]:
    """Unpack a deflated stream: the bytes, where it ended, whether it ended well, its size.

    A stream that is damaged gives what came before, to the last byte.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as target:
        position, size, feed = begin, 0, _FIRST_FEED
        while not stream.eof and position < len(buffer) and size < _MOST_INSIDE:
            given = bytes(buffer[position : position + feed])
            before = stream.copy()
            try:
                size += target.write(stream.decompress(given, _IN_MEMORY))
            except zlib.error:
                size += target.write(_byte_by_byte(before, given))
                break
            position += len(given) - len(stream.unconsumed_tail) - len(stream.unused_data)
            feed = _FEED
        with _as_buffer(target, size) as inside:
            yield inside, position, stream.eof, size


def _byte_by_byte(stream: Any, given: bytes) -> bytes:
    """Unpack what can be unpacked before the damage."""
    found = bytearray()
    with suppress(zlib.error):
        for at in range(len(given)):
            found += stream.decompress(given[at : at + 1])
    return bytes(found)


@contextmanager
def _as_buffer(target: IO[bytes], size: int) -> Iterator[Buffer]:
    if size <= _IN_MEMORY:
        target.seek(0)
        yield target.read()
        return
    target.flush()
    with mmap.mmap(target.fileno(), size, access=mmap.ACCESS_READ) as mapped:
        yield mapped


@contextmanager
def inflated(buffer: Buffer, begin: int) -> Iterator[Buffer]:
    """Unpack a raw deflated stream, such as the dataset of a deflated transfer syntax."""
    with _unpacked(buffer, begin) as (inside, _, _, _):
        yield inside


def written_out(buffer: Buffer) -> Iterator[Member]:
    """Yield what runs of base64 and of hex digits stand for, from where they may begin."""
    for match in _HEX.finditer(buffer):
        digits = match.group().translate(None, b" \r\n").decode("ascii")
        for skip in (0, 1):
            pairs = digits[skip : len(digits) - (len(digits) - skip) % 2]
            yield Member("hex", match.start(), bytes.fromhex(pairs))
    for match in _BASE64.finditer(buffer):
        run = match.group().translate(None, b"\r\n=")
        for skip in range(4 if len(run) < _FEED else 1):  # short ones at each place
            part = run[skip:]
            part = part[: len(part) - (len(part) % 4 == 1)]
            try:
                decoded = base64.b64decode(part + b"=" * (-len(part) % 4))
            except binascii.Error:
                continue
            yield Member("base64", match.start(), decoded)
