"""Private attributes that are safe to keep (PS3.15 E.3.10), found block by block (PS3.5 7.8.1).

A private attribute means something only together with the creator that reserved its block in the
same dataset or item. The list of PS3.15 Table E.3.10-1 (`table/ps315_safe_private.json`) is keyed
by group, creator and the element's last two digits; it holds at every depth. The sequences in
which the list places an attribute are opened, and stay only where something inside stays. What a
sender declares safe by itself (0008,0300) is not believed.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from deid.parse import Element

Key = tuple[int, str, int]
"""Group, creator, and the last two hexadecimal digits of the element."""

_STEP: Final = re.compile(r"\(([0-9a-f]{4}),xx([0-9a-f]{2})\)")
_FIRST_CREATOR: Final = 0x10
_LAST_CREATOR: Final = 0xFF


@dataclass(frozen=True, slots=True)
class SafeList:
    """Which private attributes may stay, with their VR, and which sequences hold such."""

    vrs: Mapping[Key, str]
    containers: frozenset[Key]

    def vr(self, key: Key) -> str:
        """Say the VR of a safe attribute; "" for one that is not safe."""
        return "SQ" if key in self.containers else self.vrs.get(key, "")

    def knows(self, creator: str) -> bool:
        """Whether a creator has safe attributes at all."""
        return any(own[1] == creator for own in self.vrs)

    def digest(self) -> str:
        """Name the list by its content (SHA-256, hex)."""
        rows = sorted([*map(str, self.vrs.items()), *map(str, self.containers)])
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


NOTHING: Final = SafeList(MappingProxyType({}), frozenset())
"""Without the option no private attribute stays."""


def is_creator(tag: int) -> bool:
    """Whether a tag of an odd group reserves a block (gggg,0010-00FF)."""
    return _FIRST_CREATOR <= tag & 0xFFFF <= _LAST_CREATOR


def creators(elements: Iterable[Element]) -> dict[int, str]:
    """Read who reserved each block of one dataset or item: creator by the creator's own tag."""
    return {
        element.tag: bytes(element.value).decode("latin-1").strip("\0 ")
        for element in elements
        if element.tag >> 16 & 1 and is_creator(element.tag)
    }


def creator_tag(tag: int) -> int:
    """Say the tag of the creator that reserved a private element's block."""
    return tag & 0xFFFF_0000 | tag >> 8 & 0xFF


def key(tag: int, by_block: Mapping[int, str]) -> Key | None:
    """Find a private element's meaning; None where nobody reserved its block."""
    creator = by_block.get(creator_tag(tag))
    return (tag >> 16, creator, tag & 0xFF) if creator else None


@cache
def load() -> SafeList:
    """Read the list that is shipped with the package."""
    rows = json.loads((files("deid.table") / "ps315_safe_private.json").read_text("utf-8"))
    vrs: dict[Key, str] = {}
    containers: set[Key] = set()
    for row in rows:
        own = int(row["group"], 16), row["creator"], int(row["element"], 16)
        vrs[own] = row["vr"]
        for group, element in _STEP.findall(row["path"].lower())[:-1]:
            containers.add((int(group, 16), row["creator"], int(element, 16)))
    return SafeList(MappingProxyType(vrs), frozenset(containers))
