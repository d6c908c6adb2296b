"""Objects that come as metadata in DICOM JSON with their bulk data in parts (PS3.18 10.5.1.2).

Bulk data lies in a file without a name until the whole body is there: metadata says only by
references what belongs where. Each object is then written as a Part 10 file would be.
"""

import json
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, BinaryIO, Final

from dicom import json_encode, part10
from dicom.entity import Arrival
from dicom.errors import CannotUnderstand, Fault, OutOfResources
from node.web.dicomweb.intake import PartIntake
from node.web.dicomweb.outcome import Outcome, failed

METADATA_BYTES: Final = 8 << 20
"""Of one request; a thousand slices describe themselves in less."""
MOST_OBJECTS: Final = 10_000
"""Of one request."""
BULK_BYTES: Final = 4 << 30
"""Of one request."""
VALUE_BYTES: Final = 64 << 20
"""Of a value other than pixel data, which is held in memory."""
_STEP_BYTES: Final = 1 << 20
_EXPLICIT: Final = "1.2.840.10008.1.2.1"
_NATIVE: Final = frozenset({_EXPLICIT, "1.2.840.10008.1.2"})
_PIXEL_DATA: Final = "7FE00010"
_ITEM: Final = struct.Struct("<HHL")
_SYNTAXES: Final[Mapping[str, str]] = {
    "image/jpeg": "1.2.840.10008.1.2.4.50",
    "image/jls": "1.2.840.10008.1.2.4.80",
    "image/jp2": "1.2.840.10008.1.2.4.90",
    "image/dicom-rle": "1.2.840.10008.1.2.5",
}
"""What bulk data is in that does not say it itself (PS3.18 8.7.3.3)."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one part of bulk data lies in the file."""

    start: int
    length: int
    syntax: str


@dataclass(slots=True)
class Gathered:
    """What has come of one body. One thread at a time uses it."""

    folder: Path
    outcome: Outcome
    trouble: Callable[[], str]
    """Says why the disk should take no more now; "" when it may."""
    metadata: bytearray = field(default_factory=bytearray)
    places: dict[str, list[_Place]] = field(default_factory=dict)
    size_bytes: int = 0
    file: BinaryIO | None = None

    def part(self, headers: Mapping[str, str], *, is_first: bool) -> PartIntake:
        """Take the next part: the first is the metadata."""
        return _Metadata(self) if is_first else _Bulk(self, headers)

    def write(self, chunk: memoryview) -> None:
        """Append bulk data. Raises OutOfResources, CannotUnderstand where it is too much."""
        self.size_bytes += len(chunk)
        if self.size_bytes > BULK_BYTES:
            raise CannotUnderstand(f"the bulk data has more than {BULK_BYTES >> 30} GB")
        if words := self.trouble():
            raise OutOfResources(words)
        try:
            if self.file is None:
                self.file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115  (see close)
            self.file.write(chunk)
        except OSError as fault:
            raise OutOfResources(f"bulk data cannot be kept ({fault.strerror})") from fault

    def store(self, begin: Callable[[], PartIntake]) -> None:
        """Write every object of the metadata; `begin` gives who takes the next one."""
        for one in self._objects():
            intake = begin()
            try:
                for piece in self._pieces(one):
                    intake.write(memoryview(piece))
            except Fault as fault:
                intake.abandon(fault)
            else:
                intake.finish()

    def close(self) -> None:
        """Let the file go. May be called again."""
        if self.file is not None:
            self.file.close()
            self.file = None

    def _objects(self) -> list[Mapping[str, Any]]:
        try:
            found = json.loads(bytes(self.metadata))
        except (ValueError, RecursionError):
            self.outcome.broken = "the metadata is no JSON"
            return []
        finally:
            self.metadata.clear()
        objects = found if isinstance(found, list) else [found]
        if len(objects) > MOST_OBJECTS:
            self.outcome.broken = f"the metadata tells of more than {MOST_OBJECTS} objects"
            return []
        return [one if isinstance(one, dict) else {} for one in objects]

    def _pieces(self, one: Mapping[str, Any]) -> Iterator[bytes]:
        """Write a Part 10 file. Raises CannotUnderstand."""
        pixels = one.get(_PIXEL_DATA, {})
        uri = pixels.get("BulkDataURI") if isinstance(pixels, dict) else None
        places = self._places(str(uri)) if uri is not None else []
        syntax = places[0].syntax if places else _EXPLICIT
        yield part10.file_meta(Arrival("", "", syntax, "", "", "", "", 0.0))
        split = uri is not None
        before = {k: v for k, v in one.items() if not split or k.upper() < _PIXEL_DATA}
        yield json_encode.encode(before, self._value)
        if split:
            vr = str(pixels.get("vr", "OW"))
            native = syntax in _NATIVE
            yield from self._native(vr, places) if native else self._encapsulated(places)
            behind = {k: v for k, v in one.items() if k.upper() > _PIXEL_DATA}
            if behind:
                yield json_encode.encode(behind, self._value, is_start=False)

    def _places(self, uri: str) -> list[_Place]:
        found = self.places.get(uri) or self.places.get(uri.rpartition("/")[2])
        if not found:
            raise CannotUnderstand("the metadata refers to bulk data that did not come")
        return found

    def _value(self, uri: str) -> bytes:
        places = self._places(uri)
        if sum(one.length for one in places) > VALUE_BYTES:
            raise CannotUnderstand(f"a value has more than {VALUE_BYTES >> 20} MB")
        return b"".join(piece for one in places for piece in self._read(one))

    def _read(self, place: _Place) -> Iterator[bytes]:
        assert self.file is not None
        for at in range(place.start, place.start + place.length, _STEP_BYTES):
            self.file.seek(at)
            yield self.file.read(min(_STEP_BYTES, place.start + place.length - at))

    def _native(self, vr: str, places: list[_Place]) -> Iterator[bytes]:
        length = sum(one.length for one in places)
        yield json_encode.header(int(_PIXEL_DATA, 16), vr, length + length % 2)
        for one in places:
            yield from self._read(one)
        yield bytes(length % 2)

    def _encapsulated(self, places: list[_Place]) -> Iterator[bytes]:
        """Write a fragment for each part, behind an empty offset table (PS3.5 A.4)."""
        yield struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
        yield _ITEM.pack(0xFFFE, 0xE000, 0)
        for one in places:
            yield _ITEM.pack(0xFFFE, 0xE000, one.length + one.length % 2)
            yield from self._read(one)
            yield bytes(one.length % 2)
        yield _ITEM.pack(0xFFFE, 0xE0DD, 0)


class _Metadata:
    """Takes the metadata, as far as it is not too much."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes."""
        if len(self._gathered.metadata) + len(chunk) > METADATA_BYTES:
            self._gathered.outcome.broken = f"the metadata has more than {METADATA_BYTES >> 20} MB"
            return
        self._gathered.metadata += chunk

    def finish(self) -> None:
        """Leave it until everything has come."""

    def abandon(self, fault: Fault | None = None) -> None:
        """Forget it: without it there is nothing to store."""
        del fault
        self._gathered.metadata.clear()


class _Bulk:
    """Takes one part of bulk data."""

    def __init__(self, gathered: Gathered, headers: Mapping[str, str]) -> None:
        self._gathered = gathered
        self._name = headers.get("content-location") or headers.get("content-id", "").strip("<>")
        self._start = gathered.size_bytes
        kind = Message()
        kind["Content-Type"] = headers.get("content-type", "application/octet-stream")
        named = kind.get_param("transfer-syntax")
        default = _SYNTAXES.get(kind.get_content_type(), _EXPLICIT)
        self._syntax = named if isinstance(named, str) else default

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes."""
        try:
            self._gathered.write(chunk)
        except (CannotUnderstand, OutOfResources) as fault:
            self._gathered.outcome.add(failed(fault))
            self._gathered.outcome.broken = str(fault)

    def finish(self) -> None:
        """Remember where it lies."""
        place = _Place(self._start, self._gathered.size_bytes - self._start, self._syntax)
        self._gathered.places.setdefault(self._name, []).append(place)

    def abandon(self, fault: Fault | None = None) -> None:
        """Store nothing that refers to it."""
