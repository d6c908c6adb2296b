"""Say what a file from outside is: its UIDs, its transfer syntax, where its dataset begins.

Part 10 files (PS3.10 Chapter 7) are taken, also without preamble, and bare datasets where the
bytes can be read in one way only. The dataset is walked to its end, so that a file that was cut
is known before it is taken.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from dicom import head
from dicom.encoding import SHORT_VRS
from dicom.errors import CannotUnderstand
from dicom.meta import PREFIX, FileMeta, read_meta
from dicom.peek import sop_uids
from dicom.uid import is_storable, is_valid

MEDIA_DIRECTORY: Final = "1.2.840.10008.1.3.10"
"""The SOP class of a DICOMDIR."""
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_IMPLICIT: Final = "1.2.840.10008.1.2"
_PREAMBLE_BYTES: Final = 128
_HEAD: Final = bytes(_PREAMBLE_BYTES) + PREFIX
_GROUP_2: Final = b"\x02\x00"
META_BYTES: Final = 64 << 10
"""A file meta group is far shorter."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """What a file is."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    dataset_offset: int


def examine(file: bytes | memoryview, reopen: Callable[[], BinaryIO]) -> Incoming:
    """Read a whole file; `reopen` opens the same one as a stream.

    Raises CannotUnderstand when it is no DICOM file, breaks off, or has UIDs that cannot be used.
    """
    view = memoryview(file)
    start = bytes(view[:META_BYTES])
    meta = begin(start)
    if meta.sop_class_uid == MEDIA_DIRECTORY:
        return Incoming(MEDIA_DIRECTORY, "", meta.transfer_syntax_uid, meta.dataset_offset)
    if not is_valid(meta.transfer_syntax_uid):
        raise CannotUnderstand("the file meta's transfer syntax is no UID")
    dataset = view[meta.dataset_offset :]
    if not dataset:
        raise CannotUnderstand("the file ends where its dataset should begin")
    found = head.read(dataset, meta.transfer_syntax_uid, reopen)
    # The dataset has the word: tools that change UIDs often leave the file meta as it was.
    sop_class = found.get("SOPClassUID") or meta.sop_class_uid
    for keyword, value in (
        ("SOPClassUID", sop_class),
        *((key, found.get(key, "")) for key in _NEEDED),
    ):
        if not is_storable(value):
            raise CannotUnderstand(f"{keyword} is {'not usable as a UID' if value else 'missing'}")
    return Incoming(
        sop_class, found["SOPInstanceUID"], meta.transfer_syntax_uid, meta.dataset_offset
    )


_NEEDED: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def begin(start: bytes) -> FileMeta:
    """Read where a file's dataset begins, and in which encoding, out of its first bytes.

    META_BYTES of them are enough. Raises CannotUnderstand when it is no DICOM file.
    """
    if start[_PREAMBLE_BYTES : _PREAMBLE_BYTES + len(PREFIX)] == PREFIX:
        return read_meta(start)
    # Some writers leave out the preamble, with or without the prefix behind it.
    at = len(PREFIX) if start.startswith(PREFIX) else 0
    if start[at:].startswith(_GROUP_2):
        meta = read_meta(_HEAD + start[at:])
        return replace(meta, dataset_offset=meta.dataset_offset - len(_HEAD) + at)
    return _bare(start)


def _bare(start: bytes) -> FileMeta:
    """Recognise a dataset without file meta, in one of the two usual encodings (PS3.5 A.1, A.2)."""
    is_explicit = start[4:6] in SHORT_VRS
    syntax = _EXPLICIT if is_explicit else _IMPLICIT
    found = sop_uids(start, syntax)
    begins = start[:2] == b"\x08\x00"
    if begins and is_valid(found.sop_class_uid) and is_valid(found.sop_instance_uid):
        return FileMeta(found.sop_class_uid, found.sop_instance_uid, syntax, 0)
    raise CannotUnderstand("no DICOM file: the prefix DICM is missing")
