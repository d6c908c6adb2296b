"""An object's head in the DICOM JSON Model: every element but its bulk data (PS3.18 Annex F).

The bytes are walked once and written as JSON text, window by window, whatever the object's size.
Where elements do not follow their encoding, pydicom's forgiving parser has the word.
"""

import io
import json
from typing import BinaryIO, Final

from dicom import json_parsed, part10
from dicom.encoding import BIG_ENDIAN, DEFLATED, IMPLICIT, UNDEFINED_LENGTH
from dicom.errors import CannotUnderstand
from dicom.head import inflated
from dicom.json_text import Parts, bulk_text, head_text, is_bulk, named
from dicom.json_walk import PADDING, PIXELS, JsonWalk, Meaning, Short
from dicom.meta import OWN_START_BYTES, own_dataset_offset
from dicom.part10 import HEAD_LIMIT_BYTES
from dicom.walk import ELEMENT_LIMIT, Cut, Odd, is_vr, too_large

_WINDOW_BYTES: Final = 1 << 16
_HEADER_BYTES: Final = 12


def head_json(part10_file: BinaryIO, transfer_syntax_uid: str) -> dict[str, object]:
    """Read the head of a Part 10 file of ours as a DICOM JSON object.

    It holds every element up to the pixel data, which is named as bulk data as is every value of
    more than 4 KiB: `{"vr": "OW", "BulkDataURI": "7FE00010"}`, within sequences with item numbers
    from 0: "00880200/0/00282000". Group lengths and padding are left out; text is UTF-8, and
    SpecificCharacterSet says so. Raises CannotUnderstand when the dataset breaks off before its
    pixel data, or nobody can read it, or it has more than HEAD_LIMIT_BYTES before them.
    """
    found: dict[str, object] = json.loads(head_text(head_parts(part10_file, transfer_syntax_uid)))
    return found


def head_parts(
    part10_file: BinaryIO, transfer_syntax_uid: str, *, limit_bytes: int = HEAD_LIMIT_BYTES
) -> Parts:
    """Read the head of a Part 10 file of ours, element by element; see `head_json`."""
    part10_file.seek(0)
    start = own_dataset_offset(part10_file.read(OWN_START_BYTES))
    stream, is_whole = part10_file, True
    if transfer_syntax_uid in DEFLATED:
        part10_file.seek(start)
        unfolded, is_whole = inflated(part10_file)
        stream, start = io.BytesIO(unfolded), 0
    order = ">" if transfer_syntax_uid == BIG_ENDIAN else "<"
    meaning = Meaning(transfer_syntax_uid not in IMPLICIT, order)
    try:
        return _Windows(stream, start, meaning, limit_bytes).read()
    except Cut:
        if is_whole:
            raise
        raise too_large("unfolds to") from None
    except Odd:
        stream.seek(start)
        parsed = part10.read_elements(stream, transfer_syntax_uid, None)
        return json_parsed.parts(parsed, order) | _pixels(stream, meaning)


def _pixels(stream: BinaryIO, meaning: Meaning) -> Parts:
    """Name the pixel data that a parser stopped at."""
    header = stream.read(_HEADER_BYTES)
    try:
        tag, vr, _, _ = JsonWalk(header, meaning).header(0, len(header))
    except (Short, Odd):
        return {}
    if tag not in PIXELS:
        return {}
    return {tag: named(tag, bulk_text(vr or PIXELS[tag], f"{tag:08X}"))}


class _Windows:
    """One dataset, of which only a window is in memory."""

    def __init__(self, file: BinaryIO, start: int, meaning: Meaning, limit_bytes: int) -> None:
        self._file = file
        self._start = start
        self._length = file.seek(0, io.SEEK_END) - start
        self._limit_bytes = limit_bytes
        first = self._bytes(0, _WINDOW_BYTES)
        if is_vr(first[4:6]):  # some send explicit VR where implicit was agreed
            meaning = Meaning(is_explicit=True, order=meaning.order)
        self._walk = JsonWalk(first, meaning)
        self._base = 0
        """The place of the window in the dataset."""

    def _bytes(self, at: int, size: int) -> bytes:
        self._file.seek(self._start + at)
        return self._file.read(max(0, min(size, self._length - at)))

    def _move(self, at: int, size: int = _WINDOW_BYTES) -> None:
        """Begin the window at a place in the dataset."""
        self._walk.data = self._bytes(at, size)
        self._base = at

    def read(self) -> Parts:
        """Read every element up to the pixel data. Raises Cut, Odd, CannotUnderstand."""
        found: Parts = {}
        at, last, read_bytes = 0, -1, 0
        for _ in range(ELEMENT_LIMIT):
            at, last = self._known_run(at, last, found)
            if at >= self._length:
                break
            tag, vr, length, value_at = self._header(at)
            if tag <= last or tag >= PADDING:
                self._require_end(tag, at)
                break
            last = tag
            if tag in PIXELS:
                self._require_some(found)
                found[tag] = named(tag, bulk_text(vr or PIXELS[tag], f"{tag:08X}"))
                break
            vr = self._walk.meant_vr(tag, vr)
            if vr != "SQ" and length != UNDEFINED_LENGTH and is_bulk(vr, length):
                found[tag] = named(tag, bulk_text(vr, f"{tag:08X}"))
                at = value_at + length
                continue
            text, behind = self._element(at, value_at, length)
            read_bytes += behind - at
            if read_bytes > self._limit_bytes:
                raise too_large("describes itself in")
            if text:
                found[tag] = text
            at = behind
        else:
            raise CannotUnderstand(f"dataset has more than {ELEMENT_LIMIT} elements")
        if at > self._length:
            raise _cut()
        self._require_some(found)
        return found

    def _known_run(self, at: int, last: int, found: Parts) -> tuple[int, int]:
        if not 0 <= at - self._base < len(self._walk.data):
            return at, last
        at, last = self._walk.known_run(at - self._base, last, found)
        return at + self._base, last

    def _require_some(self, found: Parts) -> None:
        if not found:
            raise CannotUnderstand("dataset holds no elements before its pixel data")

    def _header(self, at: int) -> tuple[int, str, int, int]:
        if at + _HEADER_BYTES > self._base + len(self._walk.data):
            self._move(at)
        try:
            tag, vr, value_at, length = self._walk.header(at - self._base, len(self._walk.data))
        except Short:
            if self._is_padding(at):
                return PADDING, "", 0, at
            raise _cut() from None
        return tag, vr, length, value_at + self._base

    def _element(self, at: int, value_at: int, length: int) -> tuple[str, int]:
        """Write one element, in a larger window where it needs one."""
        if length != UNDEFINED_LENGTH and value_at + length > self._length:
            raise _cut()
        while True:
            walk, size = self._walk, len(self._walk.data)
            try:
                text, behind = walk.element(at - self._base, size)
            except Short:
                if self._base + size >= self._length:
                    raise _cut() from None
            else:
                return text, behind + self._base
            if at == self._base and size > self._limit_bytes:
                raise too_large("describes itself in")
            known = value_at - at + length if length != UNDEFINED_LENGTH else 0
            grown = size * 4 if at == self._base else _WINDOW_BYTES
            self._move(at, max(_WINDOW_BYTES, min(max(known, grown), self._limit_bytes + 16)))

    def _require_end(self, tag: int, at: int) -> None:
        if tag < PADDING and not self._is_padding(at):
            raise Odd

    def _is_padding(self, at: int) -> bool:
        """Whether nothing but zeros follows: some pad a dataset, and lose no element by it."""
        return all(
            not self._bytes(start, _WINDOW_BYTES).strip(b"\0")
            for start in range(at, self._length, _WINDOW_BYTES)
        )


def _cut() -> Cut:
    return Cut("dataset breaks off: its lengths promise more")
