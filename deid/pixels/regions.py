"""Where an ultrasound image shows what it measured: SequenceOfUltrasoundRegions (PS3.3 C.8.5.5)."""

from typing import Final

from deid.parse import Element, Encoding, name
from deid.pixels.attributes import find
from deid.pixels.boxes import Box, clip
from dicom.errors import DeidFault

_REGIONS: Final = 0x0018_6011
_CORNERS: Final = (0x0018_6018, 0x0018_601A, 0x0018_601C, 0x0018_601E)


def regions(
    elements: tuple[Element, ...], encoding: Encoding, columns: int, rows: int
) -> tuple[Box, ...]:
    """Read the regions of an image, cut to its size; none where it has none.

    Raises DeidFault for a region without corners.
    """
    sequence = find(elements, _REGIONS)
    if sequence is None:
        return ()
    inner = sequence.inner or encoding
    found = (clip(_box(item, inner), columns, rows) for item in sequence.items or ())
    return tuple(box for box in found if box is not None)


def _box(item: tuple[Element, ...], encoding: Encoding) -> Box:
    corners: list[int] = []
    for tag in _CORNERS:
        element = find(item, tag)
        if element is None or len(element.value) != encoding.long.size:
            raise DeidFault(f"{name(tag)} of an ultrasound region is missing")
        corners.append(int(encoding.long.unpack(element.value)[0]))
    x0, y0, x1, y1 = corners
    return Box(x0, y0, x1 + 1, y1 + 1)  # the standard names the last pixel that belongs to it
