"""Search one file after the other in every way there is, and tell where, never what, was found."""

import io
import mmap
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from deid.scan import datasets, documents, inside, pixels
from deid.scan.fuzzy import ReadSearch
from deid.scan.needles import ByteSearch
from deid.scan.texts import TextSearch
from deid.scan.wanted import Wanted

_DEEPEST: Final = 4
"""So many packings inside each other are opened."""
_PREAMBLE: Final = 128
_HEAD: Final = 4096
_TEXT_CHUNK: Final = 1 << 20
_TEXT_MARGIN: Final = 256
_LARGE: Final = 256
"""So many bytes out of base64 or hex may hold something packed again."""
_CONTROLS: Final = bytes(set(range(32)) - set(b"\t\n\r\f\x1b"))

_MARKS: Final = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}

Buffer = Any


@dataclass(frozen=True, slots=True)
class Finding:
    """A line of the identity file that occurs somewhere; the value itself is never told."""

    file: str
    where: str
    line: int
    kind: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Gap:
    """A part of a file that could not be looked into."""

    file: str
    where: str
    why: str


@dataclass(frozen=True, slots=True)
class _Place:
    """Where bytes come from."""

    label: str = ""
    """What leads to them, such as "zip member: "; "" for a whole file's."""
    depth: int = 0
    file: Path | None = None
    """The file that they are, where they are one."""

    def inside(self, how: str) -> "_Place":
        """Name what was packed in here."""
        return _Place(f"{self.label}{how}: ", self.depth + 1)


@dataclass(slots=True)
class _Notes:
    """What one file gave so far."""

    found: Counter[tuple[str, Wanted]] = field(default_factory=Counter)
    gaps: dict[tuple[str, str], None] = field(default_factory=dict)

    def note(self, where: str, wanted: Iterable[Wanted]) -> None:
        self.found.update((where, each) for each in wanted)


@dataclass(frozen=True, slots=True)
class Listed:
    """A file, and the path that was given, from which on its name is searched."""

    file: Path
    under: Path


def find_files(paths: Sequence[Path]) -> tuple[list[Listed], list[tuple[Listed, str]]]:
    """List files, folders searched to every depth, in an order that a person can follow.

    Beside them, each folder that cannot be listed or is only linked to, and why it is left out.
    """
    files: list[Listed] = []
    left_out: list[tuple[Listed, str]] = []
    for path in paths:

        def unlisted(fault: OSError, under: Path = path) -> None:
            words = f"cannot be listed ({fault.strerror})"
            left_out.append((Listed(Path(fault.filename), under), words))

        if not path.is_dir():
            files.append(Listed(path, path.parent))
        for here, folders, names in os.walk(path, onerror=unlisted):
            folders.sort()
            links = [Path(here, each) for each in folders if Path(here, each).is_symlink()]
            left_out.extend((Listed(link, path), "a link: name it itself") for link in links)
            inside_here = (Path(here, name) for name in sorted(names))
            files += [Listed(file, path) for file in inside_here if file.is_file()]
    return files, left_out


class Scanner:
    """Searches files for the lines of an identity file."""

    def __init__(
        self,
        wanted: Sequence[Wanted],
        reader: pixels.Reader | None = None,
        most_frames: int | None = None,
    ) -> None:
        """Make the searches; `reader` looks into pixels, `most_frames` of each object."""
        self._bytes = ByteSearch(wanted)
        self._texts = TextSearch(wanted)
        self._read = ReadSearch(wanted)
        self._reader = reader
        self._most_frames = most_frames

    def scan(self, listed: Listed) -> list[Finding | Gap]:
        """Search one file: its path, its bytes, all that is packed in it, its texts, its pixels."""
        file, notes = listed.file, _Notes()
        for part in file.relative_to(listed.under).parts:
            notes.note("file name", self._texts.find(part))
        try:
            with _mapped(file) as buffer:
                self._buffer(buffer, notes, _Place(file=file))
        except OSError as fault:
            notes.gaps["file", f"cannot be read ({fault.strerror})"] = None
        shown = self.masked(listed)
        findings = [
            Finding(shown, where, wanted.line, str(wanted.kind), count)
            for (where, wanted), count in notes.found.items()
        ]
        return [*findings, *(Gap(shown, where, why) for where, why in notes.gaps)]

    def masked(self, listed: Listed) -> str:
        """Write a path without those of its parts that hold identity themselves."""
        shown, above = listed.under, listed.under
        for part in listed.file.relative_to(listed.under).parts:
            shown /= f"[{_place(above, part)}, name hidden]" if self._texts.find(part) else part
            above /= part
        return str(shown)

    def _buffer(self, buffer: Buffer, notes: _Notes, place: _Place) -> None:
        """Search bytes, and what is inside them."""
        end_of_meta = datasets.meta_end(buffer)
        for offset, needle in self._bytes.find(buffer):
            notes.note(place.label + _region(offset, end_of_meta), [needle.wanted])
        self._text(buffer, notes, place)
        if end_of_meta:
            preamble = bytes(buffer[:_PREAMBLE]).decode("latin-1").strip("\0 ")
            notes.note(f"{place.label}preamble", self._texts.find(preamble))
        for where, text in documents.texts(buffer):
            notes.note(place.label + where, self._texts.find(text))
        self._members(buffer, notes, place)
        if datasets.is_dicom(buffer):
            self._dicom(buffer, notes, place)

    def _members(self, buffer: Buffer, notes: _Notes, place: _Place) -> None:
        """Search what is packed inside bytes."""
        if place.depth == _DEEPEST:
            return
        for member in inside.written_out(buffer):
            within = place.inside(member.how)
            if len(member.buffer) >= _LARGE:
                self._buffer(member.buffer, notes, within)
                continue
            found = {needle.wanted for _, needle in self._bytes.find(member.buffer)}
            notes.note(f"{within.label}bytes", found)
            self._text(member.buffer, notes, within)
        for each in inside.members(buffer):
            if isinstance(each, inside.Closed):
                notes.gaps[f"{place.label}byte {each.offset}", each.why] = None
            else:
                self._buffer(each.buffer, notes, place.inside(each.how))

    def _text(self, buffer: Buffer, notes: _Notes, place: _Place) -> None:
        """Search bytes that are plain text as text, which finds shorter words."""
        encoding = _text_encoding(bytes(buffer[:_HEAD]))
        if not encoding:
            return
        for at in range(0, len(buffer), _TEXT_CHUNK):
            chunk = bytes(buffer[max(at - _TEXT_MARGIN, 0) : at + _TEXT_CHUNK])
            text = chunk.decode(encoding, "replace")
            notes.note(f"{place.label}text", self._texts.find(text))

    def _dicom(self, buffer: Buffer, notes: _Notes, place: _Place) -> None:
        """Search the texts and pictures of a DICOM object."""
        try:
            with datasets.opened(place.file or buffer) as dataset:
                for each in datasets.texts(dataset):
                    if isinstance(each, datasets.Unread):
                        notes.gaps[place.label + each.where, each.why] = None
                    else:
                        notes.note(place.label + each.where, self._texts.find(each.text))
                if self._reader is not None:
                    source = place.file or io.BytesIO(bytes(buffer))
                    self._pictures(dataset, source, notes, place.label)
                syntax = getattr(dataset, "file_meta", {}).get("TransferSyntaxUID")
        except Exception as fault:  # noqa: BLE001  (whatever a reader stumbles over is told)
            words = f"cannot be read ({type(fault).__name__})"
            notes.gaps[f"{place.label}dataset", words] = None
            return
        if syntax == datasets.DEFLATED and place.depth < _DEEPEST:
            with inside.inflated(buffer, datasets.meta_end(buffer)) as unpacked:
                self._buffer(unpacked, notes, place.inside("deflated dataset"))

    def _pictures(self, dataset: Any, source: Any, notes: _Notes, label: str) -> None:
        assert self._reader is not None  # asked for by the caller
        for picture in pixels.pictures(dataset, source, self._most_frames):
            if isinstance(picture, pixels.Unseen):
                notes.gaps[label + picture.where, picture.why] = None
                continue
            for image in picture.renderings:
                notes.note(label + picture.where, self._read.find(self._reader(image)))


@contextmanager
def _mapped(file: Path) -> Iterator[Buffer]:
    with file.open("rb") as opened:
        if os.fstat(opened.fileno()).st_size == 0:
            yield b""
            return
        with mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def _region(offset: int, end_of_meta: int) -> str:
    if not end_of_meta:
        return "bytes"
    if offset < _PREAMBLE:
        return "preamble"
    return "bytes of the file meta" if offset < end_of_meta else "bytes of the dataset"


def _text_encoding(head: bytes) -> str:
    """Name the encoding of plain text by its beginning; "" for bytes that are none."""
    if head[:2] in _MARKS:
        return _MARKS[head[:2]]
    if not head or head.translate(None, _CONTROLS) != head:
        return ""
    try:
        head[:-4].decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _place(folder: Path, part: str) -> str:
    """Say which entry of its folder a name is, in the order of names."""
    try:
        return f"entry {sorted(each.name for each in folder.iterdir()).index(part) + 1}"
    except (OSError, ValueError):
        return "entry"
