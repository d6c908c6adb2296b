"""The DICOM file format (PS3.10 Chapter 7): a fresh file meta for received bytes, and its head.

A received dataset is stored byte for byte; only preamble and file meta are ours.
"""

import io
import struct
from collections.abc import Collection
from functools import lru_cache
from typing import BinaryIO, Final, cast

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from dicom.encoding import BIG_ENDIAN, IMPLICIT
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand
from dicom.meta import OWN_END, element

PREAMBLE: Final = b"\0" * 128 + b"DICM"
HEAD_LIMIT_BYTES: Final = 32 << 20
"""A head that takes more memory is not read: thousands of frames describe themselves in less."""
_PIXELS: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})

_SHORT: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<L")
_GROUP_LENGTH: Final = PREAMBLE + _SHORT.pack(2, 0, b"UL", _LONG.size)


def file_meta(arrival: Arrival) -> bytes:
    """Make preamble, prefix and file meta group for one arrived dataset (PS3.10 Table 7.1-1).

    It holds nothing about the sender: the same dataset in the same transfer syntax gives the same
    bytes whoever sent it, so that a duplicate is known by its digest.
    """
    before = _before_instance(arrival.sop_class_uid)
    instance = element(0x0003, b"UI", arrival.sop_instance_uid.encode("ascii"))
    behind = _behind_instance(arrival.transfer_syntax_uid)
    length = len(before) + len(instance) + len(behind)
    return b"".join((_GROUP_LENGTH, _LONG.pack(length), before, instance, behind))


@lru_cache(maxsize=256)
def _before_instance(sop_class_uid: str) -> bytes:
    version = struct.pack("<HH2sHL", 2, 0x0001, b"OB", 0, 2) + b"\0\1"
    return version + element(0x0002, b"UI", sop_class_uid.encode("ascii"))


@lru_cache(maxsize=256)
def _behind_instance(transfer_syntax_uid: str) -> bytes:
    return element(0x0010, b"UI", transfer_syntax_uid.encode("ascii")) + OWN_END


def read_head(part10: BinaryIO | bytes) -> FileDataset:
    """Read everything before the pixel data of a Part 10 file.

    Raises CannotUnderstand when the bytes are not a Part 10 file or their dataset breaks off
    or cannot be parsed. Values stay undecoded until they are asked for.
    """
    stream = io.BytesIO(part10) if isinstance(part10, bytes) else part10
    try:
        head = dcmread(stream, stop_before_pixels=True, force=False)
    except Exception as fault:  # pydicom raises many kinds on hostile bytes
        raise CannotUnderstand(f"dataset cannot be parsed ({type(fault).__name__})") from fault
    if not isinstance(head, FileDataset) or len(head) == 0:
        raise CannotUnderstand("dataset holds no elements before its pixel data")
    return head


class _Sparing:
    """A file that gives no more than so many bytes out; what is passed over does not count."""

    def __init__(self, file: BinaryIO, left_bytes: int) -> None:
        self._file = file
        self._left_bytes = left_bytes
        self.tell = file.tell
        self.seek = file.seek

    def read(self, size_bytes: int) -> bytes:
        """Read on. Raises CannotUnderstand when it has become too much."""
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise CannotUnderstand(
                f"dataset has more than {HEAD_LIMIT_BYTES >> 20} MB to parse before its pixel data"
            )
        return self._file.read(size_bytes)


def read_elements(
    dataset: BinaryIO, transfer_syntax_uid: str, tags: Collection[int] | None
) -> Dataset:
    """Read elements, or all, before the pixel data of an encoded dataset, forgiving what is odd.

    `dataset` stands at its beginning and is not deflated. Raises CannotUnderstand when it cannot
    be parsed, or would take more than HEAD_LIMIT_BYTES of memory. Values stay undecoded until
    they are asked for.
    """
    try:
        return read_dataset(
            cast("BinaryIO", _Sparing(dataset, HEAD_LIMIT_BYTES)),
            is_implicit_VR=transfer_syntax_uid in IMPLICIT,
            is_little_endian=transfer_syntax_uid != BIG_ENDIAN,
            stop_when=lambda tag, _vr, _length: tag in _PIXELS,
            specific_tags=None if tags is None else [BaseTag(tag) for tag in tags],
        )
    except CannotUnderstand:
        raise
    except Exception as fault:  # pydicom raises many kinds on hostile bytes
        raise CannotUnderstand(f"dataset cannot be parsed ({type(fault).__name__})") from fault


def text(dataset: Dataset, keyword: str) -> str:
    """Return an attribute's value as plain text; "" where it is absent, empty or undecodable.

    Values of several components are joined with a backslash, as they stand in the dataset.
    """
    try:
        value = dataset.get(keyword)
        if value is None or value == "":
            return ""
        if isinstance(value, (list, tuple)) or type(value).__name__ == "MultiValue":
            return "\\".join(str(part) for part in value)
        return str(value)
    except Exception:  # noqa: BLE001  (a value that cannot be decoded is as good as none)
        return ""
