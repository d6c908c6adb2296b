"""Write elements, items and sequences as bytes (PS3.5 7)."""

from collections.abc import Iterable
from typing import Final

from deid.parse import ITEM, LONG_VRS, UNDEFINED, Encoding, name
from dicom.errors import DeidFault

_NULL_PADDED: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UI", "UN"})


def header(tag: int, vr: str, length: int, encoding: Encoding) -> bytes:
    """Write an element's tag, VR and length.

    Raises DeidFault where an explicit VR of 16-bit length cannot say the length.
    """
    start = encoding.tag.pack(tag >> 16, tag & 0xFFFF)
    if encoding.implicit:
        return start + encoding.long.pack(length)
    if vr in LONG_VRS:
        return start + vr.encode("ascii") + b"\0\0" + encoding.long.pack(length)
    if length > 0xFFFE:
        raise DeidFault(f"{name(tag)} is too long for {vr}")
    return start + vr.encode("ascii") + encoding.short.pack(length)


def element(tag: int, vr: str, value: bytes, encoding: Encoding) -> bytes:
    """Write one element, padded to even length as its VR asks (PS3.5 6.2)."""
    if len(value) % 2:
        value += b"\0" if vr in _NULL_PADDED else b" "
    return header(tag, vr, len(value), encoding) + value


def item(content: bytes, encoding: Encoding) -> bytes:
    """Write one item of defined length."""
    return encoding.tag.pack(ITEM >> 16, ITEM & 0xFFFF) + encoding.long.pack(len(content)) + content


def sequence(
    tag: int, vr: str, contents: Iterable[bytes], outer: Encoding, inner: Encoding
) -> bytes:
    """Write a sequence of defined length; `inner` differs from `outer` inside UN."""
    value = b"".join(item(content, inner) for content in contents)
    if len(value) >= UNDEFINED:
        raise DeidFault(f"{name(tag)} is too long")
    return header(tag, vr, len(value), outer) + value
