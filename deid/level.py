"""Where a walk is in a dataset, and what an item inherits from the dataset around it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType
from typing import Final

from deid import text
from deid.parse import Element

NO_CREATORS: Final[Mapping[int, str]] = MappingProxyType({})


class Mode(Enum):
    """How the inside of a sequence is treated beyond its attributes' own actions."""

    PLAIN = "plain"
    CLEAN = "clean"
    """Inside a sequence that is cleaned: unlisted free text is cleaned, too."""
    REDACT = "redact"
    """Inside a sequence that is replaced by a dummy: whatever can tell something is replaced."""
    HIDE = "hide"
    """The same, and numbers and coded words tell something as well."""


@dataclass(frozen=True, slots=True)
class Level:
    """One dataset or item of the walk."""

    path: str
    """Written before each element's tag in accounts."""
    tags: tuple[int, ...]
    """The tags of the enclosing sequences."""
    codecs: tuple[str, ...]
    pseudonym: str
    mode: Mode
    creators: Mapping[int, str]
    """Who reserved each private block of this very dataset."""
    is_personal: bool
    """Whether this is a content item whose value is somebody's identity."""


TOP: Final = Level("", (), text.DEFAULT_CODECS, "", Mode.PLAIN, NO_CREATORS, is_personal=False)


def find(elements: tuple[Element, ...], tag: int) -> Element | None:
    """Find an element at one level of a dataset."""
    return next((each for each in elements if each.tag == tag), None)


def ascii_value(elements: tuple[Element, ...], tag: int) -> str:
    """Read a value of a VR without character sets (UI, CS), padding removed; "" for none."""
    element = find(elements, tag)
    return bytes(element.value).decode("ascii", "replace").strip("\0 ") if element else ""


def decoded(elements: tuple[Element, ...], tag: int, codecs: tuple[str, ...]) -> str:
    """Read text for a pseudonym: whatever the bytes are, the same bytes give the same text."""
    element = find(elements, tag)
    if element is None:
        return ""
    value = bytes(element.value)
    try:
        return text.decode(value, codecs).strip("\0 ")
    except UnicodeError:
        return value.decode("latin-1").strip("\0 ")
