"""Value representations of public attributes, from pydicom's data dictionary (PS3.6)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.datadict import (  # type: ignore[attr-defined]  # not in its __all__
    DicomDictionary,
    RepeatersDictionary,
)

VRS: Final[Mapping[int, str]] = MappingProxyType(
    {tag: entry[0] for tag, entry in DicomDictionary.items()}
)
"""Tag to VR, such as "LO" or "US or SS"; repeating groups are not in it."""
_REPEATED: Final[Mapping[int, str]] = MappingProxyType(
    {
        int(pattern.replace("x", "0"), 16): entry[0]
        for pattern, entry in RepeatersDictionary.items()
        if pattern[:4] in {"50xx", "60xx"}
    }
)
"""The same for curves and overlays, by their first group."""


def dictionary_vr(tag: int) -> str:
    """Look up a public tag's VR; "" where the dictionary does not know the tag."""
    found = VRS.get(tag, "")
    if not found and tag >> 24 in {0x50, 0x60} and not tag >> 16 & 1:
        return _REPEATED.get(tag & 0xFF00_FFFF, "")
    return found
