"""Write single elements in the layout of a transfer syntax (PS3.5 Chapter 7)."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dicom.encoding import BIG_ENDIAN, DEFLATED, IMPLICIT, LONG_VRS

NUMBERS: Final = {
    "US": "H", "SS": "h", "UL": "L", "SL": "l", "UV": "Q", "SV": "q", "FL": "f", "FD": "d",
}  # fmt: skip
"""The `struct` format of binary numbers by VR."""

_SHORT_LIMIT: Final = 0xFFFE
"""The longest value whose length has two bytes in explicit VR; what is longer is of VR UN then
(PS3.5 6.2.2)."""
_ITEM: Final = 0xFFFEE000

Start = tuple[bytes, Callable[[int], bytes]]


@dataclass(frozen=True, slots=True)
class Layout:
    """Whether VRs are written, in which byte order, and whether the whole is deflated."""

    explicit: bool
    order: str
    """"<" or ">", as in `struct`."""
    deflated: bool

    @classmethod
    def of(cls, transfer_syntax_uid: str) -> "Layout":
        """Give the layout of a transfer syntax whose datasets are not encapsulated."""
        order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
        return cls(transfer_syntax_uid not in IMPLICIT, order, transfer_syntax_uid in DEFLATED)

    def start(self, tag: int, vr: str) -> Start:
        """Give what stands before every value of an attribute: fixed bytes, then its length."""
        named = struct.pack(f"{self.order}HH", tag >> 16, tag & 0xFFFF)
        if not self.explicit:
            return named, struct.Struct(f"{self.order}L").pack
        if vr.encode() in LONG_VRS:
            return named + vr.encode() + b"\0\0", struct.Struct(f"{self.order}L").pack
        return named + vr.encode(), struct.Struct(f"{self.order}H").pack

    def element(self, tag: int, vr: str, raw: bytes) -> bytes:
        """Write an element; its value is padded to an even length."""
        if len(raw) % 2:
            raw += b"\0" if vr in {"UI", "OB", "UN"} else b" "
        if self.is_too_long(vr, raw):
            vr = "UN"
        before, length = self.start(tag, vr)
        return before + length(len(raw)) + raw

    def is_too_long(self, vr: str, raw: bytes) -> bool:
        """Whether the length of a value does not fit its VR."""
        return self.explicit and len(raw) > _SHORT_LIMIT and vr.encode() not in LONG_VRS

    def item(self, content: bytes) -> bytes:
        """Write an item of a sequence (PS3.5 7.5.1)."""
        header = struct.pack(f"{self.order}HHL", _ITEM >> 16, _ITEM & 0xFFFF, len(content))
        return header + content

    def number(self, vr: str, text: str) -> bytes:
        """Write a binary number; nothing where the text is none that fits."""
        try:
            value = float(text) if vr in {"FL", "FD"} else int(text)
            return struct.pack(self.order + NUMBERS[vr], value)
        except (ValueError, struct.error, OverflowError):
            return b""

    def whole(self, elements: bytes) -> bytes:
        """Finish a dataset: deflate it where the transfer syntax asks for that (PS3.5 A.5)."""
        if not self.deflated:
            return elements
        deflate = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = deflate.compress(elements) + deflate.flush()
        return packed + b"\0" * (len(packed) % 2)
