"""Name the element at a path as the standard's dictionary does."""

import re
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_description, dictionary_has_tag, repeater_has_tag

_STEP: Final = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")
PRIVATE: Final = "private element"
UNKNOWN: Final = "element unknown to the standard"


@lru_cache(4096)
def words(path: str) -> str:
    """Say a path such as "(0008,1140)/(0008,1155)" in the names of its elements."""
    return " > ".join(_name(int(group + element, 16)) for group, element in _STEP.findall(path))


def _name(tag: int) -> str:
    if tag >> 16 & 1:
        return PRIVATE
    if dictionary_has_tag(tag) or repeater_has_tag(tag):
        return dictionary_description(tag) or UNKNOWN
    return UNKNOWN
