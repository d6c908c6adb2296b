"""One stored object's header as facts: what geometry, values and identity checks need.

The home of reading Part 10 bytes in this package; pixels stay where they are until asked for.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt
from pydicom import config as pydicom_config
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from ai.inputs.wanted import Acquired, acquired
from dicom.errors import CannotUnderstand, Unsuitable
from dicom.part10 import read_head, text
from dicom.uid import is_valid

Part10 = bytes | memoryview
"""A whole Part 10 file; a memoryview of the mapped spool is read without a copy."""

_BUFFER_BYTES: Final = 16_384
_PIXEL_DATA: Final = b"\xe0\x7f\x10\x00"


@dataclass(frozen=True, slots=True)
class Reference:
    """What names an Instance in the evidence of a report (PS3.3 Table 10-11)."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Header:
    """The facts of one slice. Vectors are (x, y, z) in the patient's frame, in mm."""

    index: int
    """Where the slice stands in the given Series."""
    reference: Reference
    study_instance_uid: str
    series_instance_uid: str
    frame_of_reference_uid: str
    patient: tuple[str, str]
    """PatientID and its issuer, compared between slices and never shown."""
    modality: str
    shape: tuple[int, int]
    """Rows and columns."""
    position: tuple[float, float, float]
    row: tuple[float, float, float]
    column: tuple[float, float, float]
    pixel_spacing_mm: tuple[float, float]
    """Distances between rows and between columns (PS3.3 10.7.1.3)."""
    slope: float
    intercept: float
    acquired: Acquired
    stored: "Stored"


@dataclass(frozen=True, slots=True)
class Stored:
    """How one grey image's pixels are stored (PS3.3 C.7.6.3.1)."""

    shape: tuple[int, int]
    bits_allocated: int
    bits_stored: int
    is_signed: bool
    place: int | None
    """Where the pixels begin in the file, if they are there one by one; None if encoded."""

    @property
    def limits(self) -> tuple[int, int]:
        """The least and the greatest value that can be stored."""
        if self.is_signed:
            return -(2 ** (self.bits_stored - 1)), 2 ** (self.bits_stored - 1) - 1
        return 0, 2**self.bits_stored - 1


@dataclass(frozen=True, slots=True)
class Plane:
    """Where one image lies. Vectors are (x, y, z) in the patient's frame, in mm."""

    shape: tuple[int, int]
    """Rows and columns; of a whole-slide image, of its total pixel matrix."""
    spacing_mm: tuple[float, float] | None = None
    """Distances between rows and between columns; None where nobody calibrated them."""
    position: tuple[float, float, float] | None = None
    """The middle of the first pixel; None for what has no place in space."""
    row: tuple[float, float, float] | None = None
    column: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """Which stored Series a result is about, and whose it is."""

    study_instance_uid: str
    series_instance_uid: str
    references: tuple[Reference, ...]
    """The Instances that were measured, in the order of z, or of InstanceNumber."""
    head: Dataset
    """The first one's header, without pixels: the patient and the study as stored."""
    frame_of_reference_uid: str = ""
    planes: tuple[Plane, ...] = ()
    """One for each reference."""
    thickness_mm: float | None = None
    """From slice to slice; None for what is no stack."""
    heads: tuple[Dataset, ...] = ()
    """One for each reference where images may differ in how they are shown; none where `head`
    speaks for all."""

    def head_of(self, image: int) -> Dataset:
        """Give the header of one image, by its place among the references."""
        return self.heads[image] if self.heads else self.head


def read(index: int, part10: Part10) -> Header:
    """Read one object's facts.

    Raises Unsuitable, naming the attribute, when the object is no single monochrome slice with
    a place in space and, of a CT, values in Hounsfield units.
    """
    found, end = head_and_end(index, part10)
    with pydicom_config.disable_value_validation():
        return _facts(index, found, part10, end)


def head(index: int, part10: Part10) -> Dataset:
    """Read one object's header without its pixels. Raises Unsuitable when it is no Part 10."""
    return head_and_end(index, part10)[0]


def head_and_end(index: int, part10: Part10) -> tuple[FileDataset, int]:
    """Read a header, and say where in the file it ends. Raises as `head` does."""
    try:
        with opened(part10) as stream, pydicom_config.disable_value_validation():
            return read_head(stream), stream.tell()
    except CannotUnderstand as fault:
        raise Unsuitable(f"object {index + 1}: {fault}") from fault


def pixels(part10: Part10, header: Header) -> npt.NDArray[Any]:
    """Decode one slice's stored values (y, x). Raises Unsuitable when that is not possible."""
    return decode(part10, title(header.reference.sop_instance_uid, header.index), header.stored)


def decode(part10: Part10, name: str, how: Stored) -> npt.NDArray[Any]:
    """Decode one grey image (y, x); the array is the caller's own. Raises Unsuitable."""
    if how.place is not None:
        return _native(part10, how, how.place)
    stored = decode_any(part10, name)
    if stored.shape != how.shape:
        raise Unsuitable(f"{name}: its pixel data is not Rows x Columns")
    return stored


def decode_any(part10: Part10, name: str) -> npt.NDArray[Any]:
    """Decode the pixels of an object as pydicom does. Raises Unsuitable."""
    try:
        with opened(part10) as stream, pydicom_config.disable_value_validation():
            return dcmread(stream).pixel_array
    except Exception as fault:  # decoders raise many kinds on hostile or unsupported data
        words = f"its pixel data cannot be decoded ({type(fault).__name__})"
        raise Unsuitable(f"{name}: {words}") from fault


def _native(part10: Part10, how: Stored, place: int) -> npt.NDArray[Any]:
    """Copy pixels that lie in the file one by one; about ten times as fast as to parse again."""
    letter = "i" if how.is_signed else "u"
    count = how.shape[0] * how.shape[1]
    dtype = f"<{letter}{how.bits_allocated // 8}"
    stored = np.frombuffer(part10, dtype, count, place).reshape(how.shape).copy()
    unused = how.bits_allocated - how.bits_stored
    if unused:  # they may hold anything (PS3.5 8.1.1)
        np.left_shift(stored, unused, out=stored)
        np.right_shift(stored, unused, out=stored)
    return stored


def stored(head: FileDataset, part10: Part10, end: int) -> Stored:
    """Read how an image's pixels are stored; `end` is where its header ends in the file.

    Raises Unsuitable where Rows, Columns or the bits are missing or make no sense.
    """
    slice_ = _Values(_title(head, 0), head)
    shape = (int(slice_.numbers("Rows", 1)[0]), int(slice_.numbers("Columns", 1)[0]))
    allocated = int(slice_.numbers("BitsAllocated", 1)[0])
    bits = int(slice_.numbers("BitsStored", 1)[0])
    if not 0 < bits <= allocated <= 64 or min(shape) <= 0:
        raise slice_.fault("its Rows, Columns, BitsAllocated and BitsStored do not fit together")
    is_signed = text(head, "PixelRepresentation") == "1"
    place = None
    if allocated in {8, 16} and text(head, "SamplesPerPixel") in {"", "1"}:
        syntax = str(head.file_meta.get("TransferSyntaxUID", ""))
        place = _place(part10, end, syntax, shape[0] * shape[1] * allocated // 8)
    return Stored(shape, allocated, bits, is_signed, place)


def _place(part10: Part10, end: int, syntax: str, size_bytes: int) -> int | None:
    """Find the first native pixel (PS3.5 7.1); None where pydicom is to look for it."""
    explicit = syntax == ExplicitVRLittleEndian
    if not explicit and syntax != ImplicitVRLittleEndian:
        return None
    before = bytes(part10[end : end + (12 if explicit else 8)])
    if len(before) < 8 or before[:4] != _PIXEL_DATA or (explicit and len(before) < 12):
        return None
    length = int.from_bytes(before[-4:], "little")
    place = end + len(before)
    if not size_bytes <= length <= len(part10) - place:
        return None
    return place


def title(uid: str, index: int) -> str:
    """Name an object in words. What stands for its UID and is none may be a name (P6)."""
    return f"instance {uid}" if is_valid(uid) else f"object {index + 1}"


def _title(head: Dataset, index: int) -> str:
    return title(text(head, "SOPInstanceUID"), index)


class _Window(io.RawIOBase):
    """A readable file over a memoryview; lets go of the memory when it is closed."""

    name = ""  # pydicom asks a buffered reader for it

    def __init__(self, memory: memoryview) -> None:
        super().__init__()
        self._memory = memory
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), max(0, len(self._memory) - self._at))
        buffer[:count] = self._memory[self._at : self._at + count]
        self._at += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._memory)}[whence]
        self._at = max(0, start + offset)
        return self._at

    def close(self) -> None:
        if not self.closed:
            self._memory.release()
        super().close()


@contextmanager
def opened(part10: Part10) -> Iterator[BinaryIO]:
    """Read an object as a file, without copying it or holding on to its memory."""
    # A reader that pydicom may keep in a dataset or a traceback must not keep the spool mapped.
    with io.BufferedReader(_Window(memoryview(part10)), _BUFFER_BYTES) as stream:
        yield stream


def _facts(index: int, head: FileDataset, part10: Part10, end: int) -> Header:
    slice_ = _Values(_title(head, index), head)
    slice_.refuse_unless_one_grey_slice()
    orientation = slice_.numbers("ImageOrientationPatient", 6)
    row, column = _unit(slice_, orientation[:3]), _unit(slice_, orientation[3:])
    if abs(float(np.dot(row, column))) > 0.01:
        raise slice_.fault("its rows and columns are not at a right angle")
    x, y, z = slice_.numbers("ImagePositionPatient", 3)
    between_rows, between_columns = slice_.numbers("PixelSpacing", 2)
    if min(between_rows, between_columns) <= 0:
        raise slice_.fault("its PixelSpacing is not positive")
    slope, intercept = slice_.rescale()
    pixels_as = stored(head, part10, end)
    return Header(
        index=index,
        reference=Reference(slice_.words("SOPClassUID"), slice_.words("SOPInstanceUID")),
        study_instance_uid=slice_.words("StudyInstanceUID"),
        series_instance_uid=slice_.words("SeriesInstanceUID"),
        frame_of_reference_uid=text(head, "FrameOfReferenceUID"),
        patient=(text(head, "PatientID"), text(head, "IssuerOfPatientID")),
        modality=text(head, "Modality"),
        shape=pixels_as.shape,
        position=(x, y, z),
        row=row,
        column=column,
        pixel_spacing_mm=(between_rows, between_columns),
        slope=slope,
        intercept=intercept,
        acquired=acquired(head),
        stored=pixels_as,
    )


def _unit(slice_: "_Values", vector: tuple[float, ...]) -> tuple[float, float, float]:
    length = float(np.linalg.norm(vector))
    if abs(length - 1) > 0.01:
        raise slice_.fault("its ImageOrientationPatient holds no unit vectors")
    x, y, z = (part / length for part in vector)
    return x, y, z


@dataclass(frozen=True, slots=True)
class _Values:
    """Reads what a slice must have; every fault names the Instance and the attribute."""

    name: str
    head: Dataset

    def fault(self, words: str) -> Unsuitable:
        return Unsuitable(f"{self.name}: {words}")

    def words(self, keyword: str) -> str:
        value = text(self.head, keyword)
        if not value:
            raise self.fault(f"it has no {keyword}")
        return value

    def numbers(self, keyword: str, count: int) -> tuple[float, ...]:
        parts = self.words(keyword).split("\\")
        try:
            values = tuple(float(part) for part in parts)
        except ValueError as fault:
            raise self.fault(f"its {keyword} is not numeric") from fault
        if len(values) != count or not np.isfinite(values).all():
            raise self.fault(f"its {keyword} needs {count} finite numbers")
        return values

    def refuse_unless_one_grey_slice(self) -> None:
        if text(self.head, "NumberOfFrames") not in {"", "1"}:
            raise self.fault("it is multi-frame; single-frame slices are measured")
        if text(self.head, "PhotometricInterpretation") != "MONOCHROME2":
            raise self.fault("its PhotometricInterpretation is not MONOCHROME2")

    def rescale(self) -> tuple[float, float]:
        """Read slope and intercept; a CT must have them, and give Hounsfield units."""
        is_ct = text(self.head, "Modality") == "CT"
        if is_ct and text(self.head, "RescaleType") not in {"", "HU"}:
            raise self.fault("its RescaleType is not HU")
        if not is_ct and not text(self.head, "RescaleSlope"):
            return 1.0, 0.0
        (slope,) = self.numbers("RescaleSlope", 1)
        (intercept,) = self.numbers("RescaleIntercept", 1)
        if slope == 0:
            raise self.fault("its RescaleSlope is 0")
        return slope, intercept
