"""Value representations of public attributes, from pydicom's data dictionary (PS3.6)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]  # not in its __all__

VRS: Final[Mapping[int, str]] = MappingProxyType(
    {tag: entry[0] for tag, entry in DicomDictionary.items()}
)
"""Tag to VR, such as "LO" or "US or SS"; repeating groups are not in it."""


def dictionary_vr(tag: int) -> str:
    """Look up a public tag's VR; "" where the dictionary does not know the tag."""
    return VRS.get(tag, "")
