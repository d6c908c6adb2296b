"""Write elements that were read, some of their values changed, in the same or another encoding.

What is not changed keeps its bytes; only numbers are turned where the byte order differs.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final

from deid import encode, parse, text
from deid.level import find
from deid.parse import IMPLICIT_LITTLE, UNDEFINED, Element, Encoding
from deid.vault.modules import CHARACTER_SET
from dicom.errors import DeidFault

Codecs = tuple[str, ...]

_WIDTHS: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes that change places between little and big endian, by VR (PS3.5 7.3)."""


@dataclass(frozen=True, slots=True)
class Rewriter:
    """Writes elements, each value as `change` gives it."""

    change: Callable[[Element, Codecs], bytes]
    """The new value of an element that is no sequence; the codecs are those of its text."""
    dropped: frozenset[int] = frozenset()
    """Attributes that are left out, at every depth."""

    def element(
        self, element: Element, source: Encoding, target: Encoding, codecs: Codecs
    ) -> bytes:
        """Write one element that was read in `source` in the encoding `target`.

        Group lengths are left out, they would no longer be right. Raises DeidFault for a value
        that became too long for its VR.
        """
        if element.tag in self.dropped or element.tag & 0xFFFF == 0:
            return b""
        if element.items is not None:
            # Inside UN it is implicit little endian, whatever is outside (PS3.5 6.2.2).
            inner = IMPLICIT_LITTLE if element.vr == "UN" else target
            within = element.inner or source
            contents = [self._item(item, within, inner, codecs) for item in element.items]
            return encode.sequence(element.tag, element.vr, contents, target, inner)
        if element.undefined:
            start = encode.header(element.tag, element.vr, UNDEFINED, target)
            return start + bytes(element.value)
        value = self.change(element, codecs)
        if source.little != target.little and element.vr in _WIDTHS:
            value = _turned(value, _WIDTHS[element.vr])
        return encode.element(element.tag, element.vr, value, target)

    def _item(
        self, item: tuple[Element, ...], source: Encoding, target: Encoding, codecs: Codecs
    ) -> bytes:
        own = codecs_of(item, codecs)
        ordered = sorted(item, key=lambda element: element.tag)
        return b"".join(self.element(element, source, target, own) for element in ordered)


def with_private_items(elements: tuple[Element, ...], encoding: Encoding) -> tuple[Element, ...]:
    """Read private sequences at every depth, which the parser leaves closed.

    What says to be a sequence and is none stays as it is.
    """
    read: list[Element] = []
    for element in elements:
        found = element
        if element.items is None and element.vr == "SQ":
            with suppress(DeidFault):
                found = parse.opened(element, encoding)
        if found.items:
            inner = found.inner or encoding
            found = replace(
                found, items=tuple(with_private_items(item, inner) for item in found.items)
            )
        read.append(found)
    return tuple(read)


def codecs_of(elements: tuple[Element, ...], outer: Codecs) -> Codecs:
    """Say how a dataset's text is to be decoded: as it says itself, otherwise as around it."""
    own = find(elements, CHARACTER_SET)
    return outer if own is None else text.codecs(bytes(own.value))


def _turned(value: bytes, width: int) -> bytes:
    return b"".join(value[at : at + width][::-1] for at in range(0, len(value), width))
