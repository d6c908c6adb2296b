"""The Patient and Study modules of a study, taken before they are replaced, as compact bytes.

A snapshot is a dataset (explicit VR little endian, deflated) of the module attributes as they stood
in the original, with its SpecificCharacterSet: text is kept byte for byte, also where it breaks its
character set, as real scanners' text does.
"""

import zlib
from dataclasses import dataclass
from typing import Final

from deid import parse, text
from deid.container import open_part10
from deid.level import ascii_value, find
from deid.parse import EXPLICIT_LITTLE, Element
from deid.vault import modules
from deid.vault.rewrite import Codecs, Rewriter, codecs_of
from deid.vault.sealing import VaultTampered

_VERSION: Final = b"\x01"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A study's identity, opened. Holds patient data: never log it."""

    encoded: bytes
    """The dataset in explicit VR little endian, for whoever reads it by other means."""
    elements: tuple[Element, ...]
    """The module attributes and SpecificCharacterSet, slices of `encoded`."""
    codecs: Codecs

    @property
    def study_instance_uid(self) -> str:
        """The original Study Instance UID."""
        return ascii_value(self.elements, modules.STUDY_INSTANCE_UID)

    def value(self, tag: int) -> bytes:
        """Give the value of an attribute without padding; b"" where there is none."""
        element = find(self.elements, tag)
        return b"" if element is None else bytes(element.value).strip(b"\0 ")


def take(part10: memoryview) -> bytes:
    """Take the snapshot of an original Part 10 file.

    Raises DeidFault for what cannot be read.
    """
    opened = open_part10(part10)
    elements = parse.read(opened.dataset, opened.encoding)
    codecs = codecs_of(elements, text.DEFAULT_CODECS)
    unchanged = Rewriter(lambda element, _: bytes(element.value))
    dataset = b"".join(
        unchanged.element(element, opened.encoding, EXPLICIT_LITTLE, codecs)
        for element in sorted(elements, key=lambda element: element.tag)
        if modules.belongs(element.tag) or element.tag == modules.CHARACTER_SET
    )
    return _VERSION + zlib.compress(dataset, 9)


def read(snapshot: bytes) -> Snapshot:
    """Open a snapshot. Raises VaultTampered for bytes that are none of this version."""
    if not snapshot.startswith(_VERSION):
        raise VaultTampered("a snapshot of the vault is of another version; update this node")
    try:
        encoded = zlib.decompress(snapshot[len(_VERSION) :])
    except zlib.error as fault:
        raise VaultTampered("a snapshot of the vault cannot be inflated") from fault
    elements = parse.read(memoryview(encoded), EXPLICIT_LITTLE)
    return Snapshot(encoded, elements, codecs_of(elements, text.DEFAULT_CODECS))
