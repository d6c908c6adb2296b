"""Say what an object is by the first bytes of its dataset: its SOP class and its three UIDs.

For a door that has to know while the rest of the object is still on its way.
"""

import io
import zlib
from dataclasses import dataclass
from typing import Final

from dicom import charset, part10
from dicom.encoding import BIG_ENDIAN, DEFLATED
from dicom.errors import CannotUnderstand
from dicom.walk import Cut, Odd, Walk

_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_STUDY, _SERIES = 0x0020000D, 0x0020000E
_WANTED: Final = frozenset({_SOP_CLASS, _SOP_INSTANCE, _STUDY, _SERIES})
_UNTIL: Final = 0x00200010
_INFLATED_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Identity:
    """What a dataset calls itself; "" where it does not say."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str


def read(start: bytes, transfer_syntax_uid: str, *, is_whole: bool) -> Identity:
    """Read it out of an encoded dataset, which may end anywhere behind SeriesInstanceUID.

    Raises Cut where it breaks off before that, also between two elements unless it `is_whole`, and
    CannotUnderstand where nobody can read it.
    """
    if transfer_syntax_uid in DEFLATED:
        start = _inflated(start)
    little_endian = transfer_syntax_uid != BIG_ENDIAN
    try:
        found = Walk(memoryview(start), transfer_syntax_uid).top(_WANTED, until=_UNTIL)
        values = {tag: value for tag, (_vr, value) in found.items()}
    except Odd:
        parsed = part10.read_elements(io.BytesIO(start), transfer_syntax_uid, _WANTED)
        texts = [charset.read(parsed, tag, "UI", charset.ASCII) for tag in sorted(_WANTED)]
    else:
        texts = [
            charset.of_raw(values.get(tag, b""), "UI", charset.ASCII, little_endian=little_endian)
            for tag in sorted(_WANTED)
        ]
    found_all = Identity(*texts)
    if not (is_whole or found_all.series_instance_uid):
        raise Cut("dataset breaks off before its Series Instance UID")
    return found_all


def _inflated(start: bytes) -> bytes:
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(start, _INFLATED_BYTES)
    except zlib.error as fault:
        raise CannotUnderstand("dataset cannot be inflated") from fault
