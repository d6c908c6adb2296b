"""The file meta of a Part 10 file: what it declares, and where its dataset begins (PS3.10 7.1)."""

import struct
from dataclasses import dataclass
from typing import Final

from dicom.encoding import LONG_VRS
from dicom.errors import CannotUnderstand
from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

PREFIX: Final = b"DICM"
_PREAMBLE_BYTES: Final = 128
_SHORT: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<L")
_TOLD: Final = (0x0002, 0x0003, 0x0010)
"""The elements of group 0002 that FileMeta tells, in its order."""


def element(number: int, vr: bytes, value: bytes, pad: bytes = b"\0") -> bytes:
    """Encode an element of group 0002 with a short length."""
    if len(value) % 2:
        value += pad
    return _SHORT.pack(2, number, vr, len(value)) + value


_OWN_START: Final = PREFIX + struct.pack("<HH2sH", 2, 0, b"UL", _LONG.size)
OWN_START_BYTES: Final = _PREAMBLE_BYTES + len(_OWN_START) + _LONG.size
OWN_END: Final = element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")) + element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), b" "
)
"""What ends the file meta of every file that this version of the node writes."""


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the file says of itself; "" where it says nothing."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int


def read_meta(file: bytes | memoryview) -> FileMeta:
    """Read the file meta group at the head of a Part 10 file.

    `file` may end anywhere after the group. The group's own length is not believed: elements are
    walked. Raises CannotUnderstand when this is no Part 10 file, or its meta breaks off or names
    no transfer syntax.
    """
    offset = _PREAMBLE_BYTES + len(PREFIX)
    if bytes(file[_PREAMBLE_BYTES:offset]) != PREFIX:
        raise CannotUnderstand("no DICOM file: the prefix DICM is missing")
    values: dict[int, bytes] = {}
    while offset + _SHORT.size <= len(file):
        group, element, vr, length = _SHORT.unpack_from(file, offset)
        if group != 2:
            break
        start = offset + _SHORT.size
        if vr in LONG_VRS and start + _LONG.size <= len(file):
            length = _LONG.unpack_from(file, start)[0]
            start += _LONG.size
        offset = start + length
        if offset > len(file):
            raise CannotUnderstand("the file meta breaks off")
        if element in _TOLD:
            values[element] = bytes(file[start:offset])
    sop_class, sop_instance, syntax = (
        values.get(each, b"").decode("ascii", "replace").strip("\0 ") for each in _TOLD
    )
    if not syntax:
        raise CannotUnderstand("the file meta names no transfer syntax")
    return FileMeta(sop_class, sop_instance, syntax, offset)


def dataset_offset(file: bytes | memoryview) -> int:
    """Say where the dataset begins, whoever wrote the file; raises as `read_meta` does.

    What this version of the node wrote is known by how its meta begins and ends, and is not
    walked: that would be a tenth of what it costs to send an object. A file that begins and ends
    its meta as ours do is taken at its word.
    """
    if len(file) >= OWN_START_BYTES and _begins_as_own(file):
        end = own_dataset_offset(file)
        if file[end - len(OWN_END) : end] == OWN_END:
            return end
    return read_meta(file).dataset_offset


def own_dataset_offset(file: bytes | memoryview) -> int:
    """Say where the dataset begins in a file that the node wrote, in whichever version.

    `file` may end behind OWN_START_BYTES. The group's length is ours and true, whereas a walk
    would take a dataset that begins with group 0002 for more of it. Raises CannotUnderstand.
    """
    if not _begins_as_own(file):
        raise CannotUnderstand("no file of this node: its file meta begins otherwise")
    if len(file) < OWN_START_BYTES:
        raise CannotUnderstand("the file meta breaks off")
    return OWN_START_BYTES + int(_LONG.unpack_from(file, OWN_START_BYTES - _LONG.size)[0])


def _begins_as_own(file: bytes | memoryview) -> bool:
    return file[_PREAMBLE_BYTES : OWN_START_BYTES - _LONG.size] == _OWN_START
