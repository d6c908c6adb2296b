"""Pixel Data as a row of frames: each one's bytes by its number, and the whole written again.

What did not change is passed on as slices of the input, so memory holds one frame and what is new.
"""

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

import numpy as np
from pydicom.uid import UID

from deid.container import Chunk, Opened
from deid.parse import Element
from deid.pixels import encapsulated, native
from deid.pixels.image import Image
from deid.pixels.spill import Spill
from dicom.errors import DeidFault

_BLOCK_BYTES: Final = 4096
"""Changed frames are compared in blocks of this size; equal ones stay slices of the input."""

Written = tuple[tuple[Chunk, ...], dict[int, tuple[str, bytes]]]
"""The chunks of the value, and attributes that changed with it."""


class Frames(Protocol):
    """The frames of one object."""

    def frame(self, number: int) -> bytes:
        """Give a frame as it is encoded, by its number from 0."""

    def write(self, replaced: Iterable[bytes | None]) -> Written:
        """Write all frames; one that is None stays as it is."""


def open_frames(
    pixels: Element, elements: tuple[Element, ...], opened: Opened, image: Image
) -> Frames:
    """Tell the frames apart.

    Raises DeidFault where they are not as the dataset says, NotClean where they cannot be told.
    """
    if pixels.undefined != UID(opened.transfer_syntax_uid).is_encapsulated:
        raise DeidFault("(7FE0,0010) is not encoded as the transfer syntax says")
    if pixels.undefined:
        parts = encapsulated.split(pixels, elements, opened.encoding, image.frames)
        return Fragmented(pixels.value, parts)
    return Native(pixels.value, image)


class Native:
    """Frames that stand one behind the other."""

    def __init__(self, value: memoryview, image: Image) -> None:
        self._value = value
        self._size_bytes = native.frame_bytes(image, len(value))
        self._end = self._size_bytes * image.frames
        if self._end > len(value):
            raise DeidFault("(7FE0,0010) is shorter than its frames")

    def frame(self, number: int) -> bytes:
        """Give a frame's bytes."""
        return bytes(self._value[number * self._size_bytes :][: self._size_bytes])

    def write(self, replaced: Iterable[bytes | None]) -> Written:
        """Write all frames; what follows the last one, where nobody looks, becomes zeros."""
        spill = Spill()
        kept = 0
        for number, new in enumerate(replaced):
            start = number * self._size_bytes
            for first, last in _differences(self._value[start : start + self._size_bytes], new):
                spill.keep(self._value[kept : start + first])
                spill.add(new[first:last] if new else b"")
                kept = start + last
        tail = self._value[self._end :]
        if any(tail):
            spill.keep(self._value[kept : self._end])
            spill.add(bytes(len(tail)))
        else:
            spill.keep(self._value[kept:])
        return spill.chunks(), {}


class Fragmented:
    """Frames of encapsulated pixel data."""

    def __init__(self, value: memoryview, parts: encapsulated.Encapsulated) -> None:
        self._value = value
        self._parts = parts

    def frame(self, number: int) -> bytes:
        """Join a frame's fragments."""
        return b"".join(self._parts.frames[number])

    def write(self, replaced: Iterable[bytes | None]) -> Written:
        """Write new frames as one fragment each, the others as they are."""
        changed = False

        def watched() -> Iterator[bytes | None]:
            nonlocal changed
            for frame in replaced:
                changed |= frame is not None
                yield frame

        written = encapsulated.join(self._parts, watched())
        return written if changed else ((self._value,), {})


def _differences(old: memoryview, new: bytes | None) -> list[tuple[int, int]]:
    """List where bytes differ, by blocks: the first and the one behind the last."""
    if new is None or not old:
        return []
    if len(new) != len(old):
        raise DeidFault("a cleaned frame has another size than it had")
    differ = np.frombuffer(old, np.uint8) != np.frombuffer(new, np.uint8)
    blocks = np.logical_or.reduceat(differ, np.arange(0, len(old), _BLOCK_BYTES))
    edges = np.flatnonzero(np.diff(np.concatenate(([False], blocks, [False])).astype(np.int8)))
    return [
        (int(first) * _BLOCK_BYTES, min(int(last) * _BLOCK_BYTES, len(old)))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]
