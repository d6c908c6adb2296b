"""What a compressed frame says of itself, which need not be what its dataset says."""

from typing import Final

_J2K_START: Final = b"\xff\x4f\xff\x51"
_J2K_PRECISION_AT: Final = 42
"""Of the first component: behind SOC, and the fields of SIZ (ISO/IEC 15444-1 A.5.1)."""
_JPEG_START: Final = b"\xff\xd8"
_JPEG_LS_FRAME: Final = 0xF7
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {_JPEG_LS_FRAME}
"""Markers of a frame header (ISO/IEC 10918-1 B.1.1.3, ISO/IEC 14495-1 C.1.1)."""


def precision_bits(frame: bytes) -> int | None:
    """Read how many bits a sample takes in a JPEG, JPEG-LS or JPEG 2000 codestream.

    None where it is no such codestream, or has no frame header where one must be.
    """
    start = max(frame.find(_J2K_START, 0, 512), 0)  # in a JP2 file, boxes come before it
    if frame.startswith(_J2K_START, start):
        at = start + _J2K_PRECISION_AT
        return (frame[at] & 0x7F) + 1 if at < len(frame) else None
    return _jpeg_precision_bits(frame) if frame.startswith(_JPEG_START) else None


def _jpeg_precision_bits(frame: bytes) -> int | None:
    at = len(_JPEG_START)
    while at + 4 < len(frame) and frame[at] == 0xFF:
        if frame[at + 1] == 0xFF:  # filled up before the marker
            at += 1
            continue
        if frame[at + 1] in _FRAMES:
            return frame[at + 4]
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return None
