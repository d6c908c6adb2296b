"""Read DICOM with pydicom and yield every text in it, at every depth, with its element's path."""

import io
import logging
import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

_PREFIX: Final = 128
_TEXT: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_BYTES: Final = frozenset({"OB", "OW", "UN", ""})
_PIXELS: Final = frozenset({0x7FE0_0008, 0x7FE0_0009, 0x7FE0_0010})
_DEFERRED: Final = 1 << 20
_MOST_BYTES: Final = 1 << 16
"""Longer values without a character set are left to the search in bytes."""
_FIRST_GROUPS: Final = (b"\x02\x00", b"\x08\x00")
DEFLATED: Final = "1.2.840.10008.1.2.1.99"

Buffer = Any


@dataclass(frozen=True, slots=True)
class Text:
    """One text of a dataset."""

    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Unread:
    """A part of a dataset that could not be read as one."""

    where: str
    why: str


def is_dicom(buffer: Buffer) -> bool:
    """Whether bytes look like DICOM: a Part 10 file, or a dataset without one's preamble."""
    if buffer[_PREFIX : _PREFIX + 4] == b"DICM":
        return True
    return buffer[:2] in _FIRST_GROUPS and buffer[3:4] == b"\0" and len(buffer) > 16


def meta_end(buffer: Buffer) -> int:
    """Say where the file meta information of a Part 10 file ends; 0 where there is none."""
    if buffer[_PREFIX : _PREFIX + 4] != b"DICM":
        return 0
    position = _PREFIX + 4
    while buffer[position : position + 2] == b"\x02\x00":
        long = buffer[position + 4 : position + 6] in {b"OB", b"UN", b"OW", b"UT", b"SQ"}
        at = position + (8 if long else 6)
        length = int.from_bytes(buffer[at : at + (4 if long else 2)], "little")
        position = at + (4 if long else 2) + length
    return min(position, len(buffer))


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep pydicom's remarks about odd values to ourselves: they quote them."""
    remarks = logging.getLogger("pydicom")
    before, remarks.disabled = remarks.disabled, True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        remarks.disabled = before


@contextmanager
def opened(source: Path | Buffer) -> Iterator[Dataset]:
    """Open a file, or bytes, as a dataset; pixel data of a file stays on disk.

    Raises whatever pydicom raises for what is no DICOM.
    """
    with _quiet():
        if isinstance(source, Path):
            yield pydicom.dcmread(source, force=True, defer_size=_DEFERRED)
        elif isinstance(source, mmap.mmap):
            source.seek(0)
            yield pydicom.dcmread(source, force=True)  # type: ignore[arg-type]  # has read and seek
        else:
            yield pydicom.dcmread(io.BytesIO(bytes(source)), force=True)


def texts(dataset: Dataset) -> Iterator[Text | Unread]:
    """Yield every text of a dataset and of its file meta information."""
    meta = getattr(dataset, "file_meta", None)
    if meta is not None:
        yield from _texts(meta, "file meta ")
    yield from _texts(dataset, "")


def _texts(dataset: Dataset, path: str) -> Iterator[Text | Unread]:
    for tag in list(dataset.keys()):
        where = f"{path}({tag >> 16:04X},{tag & 0xFFFF:04X})"
        try:
            found = list(_element(dataset, BaseTag(tag), where))
        except Exception as fault:  # noqa: BLE001  (whatever a reader stumbles over is told)
            yield Unread(where, f"cannot be read ({type(fault).__name__})")
            continue
        yield from found


def _element(dataset: Dataset, tag: BaseTag, where: str) -> Iterator[Text | Unread]:
    raw = dataset.get_item(tag, keep_deferred=True)
    if tag in _PIXELS or (raw.VR in _BYTES and (getattr(raw, "length", 0) or 0) > _DEFERRED):
        return
    element = dataset[tag]
    if element.VR == "SQ":
        for number, item in enumerate(element.value, 1):
            yield from _texts(item, f"{where}[{number}]/")
    elif element.VR in _TEXT:
        yield Text(where, _written(element.value))
    elif isinstance(element.value, bytes) and len(element.value) <= _MOST_BYTES:
        for value in (element.value, _turned(element.value)):
            for encoding in ("utf-8", "latin-1", "utf-16-le"):
                yield Text(where, value.decode(encoding, "replace").strip("\0 "))


def _turned(value: bytes) -> bytes:
    """Turn the bytes of each pair, as text in an OW of the other byte order stands."""
    pairs = bytearray(value[: len(value) // 2 * 2])
    pairs[::2], pairs[1::2] = pairs[1::2], pairs[::2]
    return bytes(pairs)


def _written(value: Any) -> str:
    """Write a value as text; several values stand apart."""
    if value is None:
        return ""
    if isinstance(value, list | tuple) or type(value).__name__ == "MultiValue":
        return "\\".join(str(each) for each in value)
    return str(value)
