"""Open a Part 10 file into its encoded dataset, and close a new one around the result (PS3.10 7).

Only the transfer syntax is taken from the old file meta; preamble and every other element of it
(AE titles, private information) stay behind.
"""

import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from deid import encode
from deid.parse import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, Encoding, read_group
from dicom.errors import DeidFault
from dicom.part10 import PREAMBLE
from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

MAX_INFLATED_BYTES: Final = 2 << 30
"""More than this out of a deflated dataset is taken for an attack on memory."""
_TRANSFER_SYNTAX: Final = 0x0002_0010
_RAW_DEFLATE: Final = -zlib.MAX_WBITS

Chunk = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Opened:
    """A Part 10 file's dataset, inflated where it was deflated, and how it is encoded."""

    dataset: memoryview
    transfer_syntax_uid: str
    encoding: Encoding
    deflated: bool


def open_part10(part10: memoryview) -> Opened:
    """Find the dataset of a Part 10 file and its encoding.

    Raises DeidFault for what is no Part 10 file, names no transfer syntax or an unknown one,
    cannot be inflated, or keeps its pixels elsewhere (JPIP: the URL would name the patient's
    object and the pixels were never seen here).
    """
    if bytes(part10[128:132]) != b"DICM":
        raise DeidFault("not a DICOM file: the prefix DICM is missing")
    meta, start = read_group(part10, 132, 0x0002, EXPLICIT_LITTLE)
    syntax = next((each for each in meta if each.tag == _TRANSFER_SYNTAX), None)
    if syntax is None:
        raise DeidFault("file meta names no transfer syntax")
    uid = UID(bytes(syntax.value).decode("ascii", "replace").rstrip("\0 "))
    if uid.is_private or not uid.is_transfer_syntax:
        raise DeidFault("the transfer syntax is not one of the standard's")
    if "JPIP" in uid.name:
        raise DeidFault("a JPIP object keeps its pixels at a URL; they cannot be checked here")
    dataset = part10[start:]
    deflated = uid == DeflatedExplicitVRLittleEndian
    if deflated:
        dataset = memoryview(_inflate(dataset))
    return Opened(dataset, str(uid), _encoding(uid), deflated)


def _encoding(uid: UID) -> Encoding:
    if uid.is_implicit_VR:
        return IMPLICIT_LITTLE
    return EXPLICIT_LITTLE if uid.is_little_endian else EXPLICIT_BIG


def _inflate(data: memoryview) -> bytes:
    stream = zlib.decompressobj(_RAW_DEFLATE)
    try:
        inflated = stream.decompress(data, MAX_INFLATED_BYTES)
    except zlib.error as fault:
        raise DeidFault("the deflated dataset cannot be inflated") from fault
    if not stream.eof:
        raise DeidFault("the deflated dataset breaks off or is too large")
    return inflated  # bytes behind the stream (some writers add a checksum) are left behind


def close_part10(
    dataset: Iterable[Chunk], *, opened: Opened, sop_class_uid: str, sop_instance_uid: str
) -> tuple[Chunk, ...]:
    """Put a zero preamble and a fresh file meta before a new dataset (PS3.10 7.1).

    The dataset's chunks are passed on as they are; only a deflated one is compressed again.
    """
    meta = b"".join(
        encode.element(0x0002_0000 | number, vr, value, EXPLICIT_LITTLE)
        for number, vr, value in (
            (0x0001, "OB", b"\0\1"),
            (0x0002, "UI", sop_class_uid.encode("ascii")),
            (0x0003, "UI", sop_instance_uid.encode("ascii")),
            (0x0010, "UI", opened.transfer_syntax_uid.encode("ascii")),
            (0x0012, "UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            (0x0013, "SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        )
    )
    length = encode.element(0x0002_0000, "UL", len(meta).to_bytes(4, "little"), EXPLICIT_LITTLE)
    start = PREAMBLE + length + meta
    if not opened.deflated:
        return (start, *dataset)
    stream = zlib.compressobj(wbits=_RAW_DEFLATE)
    packed = b"".join([*(stream.compress(chunk) for chunk in dataset), stream.flush()])
    return (start, packed + b"\0" * (len(packed) % 2))
