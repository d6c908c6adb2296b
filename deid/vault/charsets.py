"""Bring a result and the identity that it gets back under one SpecificCharacterSet.

Bytes are left alone where they can be: when both declare the same character sets, or one of them is
plain ASCII. Otherwise all text of both becomes UTF-8 (ISO_IR 192).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from deid import text
from deid.level import find
from deid.parse import Element, every, name
from deid.table.dictionary import dictionary_vr
from deid.vault.modules import CHARACTER_SET
from deid.vault.rewrite import Codecs
from deid.vault.snapshot import Snapshot
from dicom.errors import DeidFault

UTF_8: Final = b"ISO_IR 192"
_ESCAPE: Final = b"\x1b"


@dataclass(frozen=True, slots=True)
class Agreement:
    """The character set of the whole, and whether text must be written anew in it."""

    character_set: bytes
    """The value of SpecificCharacterSet; b"" where none is needed."""
    to_utf_8: bool

    def text(self, value: bytes, codecs: Codecs, tag: int) -> bytes:
        """Give a text value as it is to be written. Raises DeidFault where it does not decode."""
        if not self.to_utf_8 or _is_plain(value):
            return value
        try:
            return text.decode(value, codecs).encode("utf-8")
        except UnicodeError:
            raise DeidFault(f"{name(tag)}: its text is not in its character set") from None


def agree(result: tuple[Element, ...], snapshot: Snapshot) -> Agreement:
    """Say under which character set a result and a snapshot come together."""
    own, theirs = _declared(result), snapshot.value(CHARACTER_SET)
    items = (each for element in result for item in element.items or () for each in every(item))
    is_uniform = not any(each.tag == CHARACTER_SET for each in items)
    if _all_plain(snapshot.elements) or (own == theirs and is_uniform):
        return Agreement(own, to_utf_8=False)
    if _all_plain(result) and is_uniform:
        return Agreement(theirs, to_utf_8=False)
    return Agreement(UTF_8, to_utf_8=True)


def is_text(element: Element) -> bool:
    """Whether an element's value is text that SpecificCharacterSet governs."""
    return not text.TEXT_VRS.isdisjoint((element.vr, dictionary_vr(element.tag)))


def _declared(elements: tuple[Element, ...]) -> bytes:
    element = find(elements, CHARACTER_SET)
    return b"" if element is None else bytes(element.value).strip(b"\0 ")


def _all_plain(elements: Iterable[Element]) -> bool:
    return all(
        _is_plain(bytes(element.value))
        for element in every(tuple(elements))
        if element.items is None and is_text(element)
    )


def _is_plain(value: bytes) -> bool:
    return value.isascii() and _ESCAPE not in value
