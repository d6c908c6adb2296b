"""Say that pixels were compressed with loss once more (PS3.3 C.7.6.1.1.5)."""

import re
from collections.abc import Sequence
from typing import Final

from deid.parse import Element
from deid.pixels.attributes import text
from deid.pixels.image import Image

_LOSSY: Final = 0x0028_2110
_RATIO: Final = 0x0028_2112
_METHOD: Final = 0x0028_2114
_JPEG: Final = "ISO_10918_1"
_IS_RATIO: Final = re.compile(r"[0-9]{1,8}(\.[0-9]{1,6})?")
_IS_METHOD: Final = re.compile(r"ISO_[0-9]{4,6}_[0-9]{1,2}")


def lossy_attributes(
    elements: tuple[Element, ...], image: Image, sizes_bytes: Sequence[int]
) -> dict[int, tuple[str, bytes]]:
    """Write LossyImageCompression and add a ratio and a method to those that stand there.

    `sizes_bytes` are those of the frames written. What stands there and is neither a ratio nor
    a method of ISO is dropped.
    """
    ratio = image.raw_bytes * len(sizes_bytes) / max(sum(sizes_bytes), 1)
    ratios = [each for each in _values(elements, _RATIO) if _IS_RATIO.fullmatch(each)]
    methods = [each for each in _values(elements, _METHOD) if _IS_METHOD.fullmatch(each)]
    if len(ratios) != len(methods):
        ratios, methods = [], []
    return {
        _LOSSY: ("CS", b"01"),
        _RATIO: ("DS", "\\".join([*ratios, f"{ratio:.2f}"]).encode("ascii")),
        _METHOD: ("CS", "\\".join([*methods, _JPEG]).encode("ascii")),
    }


def _values(elements: tuple[Element, ...], tag: int) -> list[str]:
    return [each.strip() for each in text(elements, tag).split("\\")]
