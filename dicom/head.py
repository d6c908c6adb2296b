"""Read what the node files of a dataset: the catalogue's attributes, as text, and no pixel.

The dataset is walked by its lengths alone (PS3.5 Chapter 7), some 50 times quicker than it is
parsed, and a dataset that was cut is known by them. Where its elements do not follow an encoding,
or one another in order, pydicom's forgiving parser has the word.

Whoever reads a head this way needs memory for HEAD_LIMIT_BYTES, whatever the object is.
"""

import io
import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO, Final

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom import charset, json_parsed, part10
from dicom.attributes import CATALOGUE, DERIVED, SEQUENCES_BY_TAG, Attribute
from dicom.encoding import BIG_ENDIAN, DEFLATED, IMPLICIT
from dicom.errors import CannotUnderstand
from dicom.json_walk import JsonWalk, Meaning, Short
from dicom.meta import OWN_START_BYTES, own_dataset_offset
from dicom.part10 import HEAD_LIMIT_BYTES
from dicom.walk import (
    DELIMITERS,
    FUNCTIONAL_GROUPS,
    Bytes,
    Cut,
    Found,
    Odd,
    Slices,
    Walk,
    too_large,
)

Texts = Mapping[str, str]
"""DICOM text by keyword; what an object lacks is missing. Several values are joined by a
backslash."""

_STEP_BYTES: Final = 1 << 16

_WANTED: Final[Mapping[int, Attribute]] = {
    one.tag: one for one in CATALOGUE.values() if one.keyword not in DERIVED
}
_PLAN: Final = tuple((one.tag, one.keyword, one.vr, one.vr.encode()) for one in _WANTED.values())
_NOTHING: Final = b"", b""
_KEPT: Final = frozenset({*_WANTED, charset.SPECIFIC_CHARACTER_SET})
_SEQUENCES: Final = frozenset(SEQUENCES_BY_TAG)


def read(
    dataset: memoryview, transfer_syntax_uid: str, part10_file: Callable[[], BinaryIO]
) -> Texts:
    """Read the catalogue's attributes of an encoded dataset.

    `part10_file` opens the same object as a Part 10 file, for when its dataset is deflated or
    odd. Raises CannotUnderstand when the dataset breaks off, or nobody can read it.
    """
    if transfer_syntax_uid not in DEFLATED:
        try:
            found = Walk(dataset, transfer_syntax_uid).top(_KEPT, sequences=_SEQUENCES)
        except Odd:
            pass
        else:
            return _texts(found, little_endian=transfer_syntax_uid != BIG_ENDIAN)
    with part10_file() as stream:
        start = stream.seek(0, io.SEEK_END) - len(dataset)
        if transfer_syntax_uid in DEFLATED:
            return _file_texts(stream, start, transfer_syntax_uid)
        stream.seek(start)
        return of_dataset(part10.read_elements(stream, transfer_syntax_uid, _KEPT | _SEQUENCES))


def read_file(file: BinaryIO, transfer_syntax_uid: str) -> Texts:
    """Read the catalogue's attributes of a Part 10 file of ours, piece by piece.

    Raises as `read` does.
    """
    return _file_texts(file, _dataset_start(file), transfer_syntax_uid)


def _dataset_start(file: BinaryIO) -> int:
    file.seek(0)
    return own_dataset_offset(file.read(OWN_START_BYTES))


def _file_texts(file: BinaryIO, start: int, transfer_syntax_uid: str) -> Texts:
    found = _of_file(file, start, transfer_syntax_uid, _KEPT, sequences=_SEQUENCES)
    if isinstance(found, Dataset):
        return of_dataset(found)
    return _texts(found, little_endian=transfer_syntax_uid != BIG_ENDIAN)


def pick(file: BinaryIO, transfer_syntax_uid: str, keywords: Iterable[str]) -> Dataset:
    """Read attributes before frames and pixels of a file of ours, by keyword, and nothing else.

    Values of more than VALUE_LIMIT bytes and sequences are left out. Raises as `read` does.
    """
    tags = {tag_for_keyword(keyword) for keyword in keywords}
    kept = frozenset({charset.SPECIFIC_CHARACTER_SET, *(tag for tag in tags if tag is not None)})
    start = _dataset_start(file)
    found = _of_file(file, start, transfer_syntax_uid, kept, until=FUNCTIONAL_GROUPS)
    if isinstance(found, Dataset):
        return found
    little_endian = transfer_syntax_uid != BIG_ENDIAN
    raw: dict[BaseTag, DataElement | RawDataElement] = {
        BaseTag(tag): RawDataElement(
            BaseTag(tag), vr.decode("ascii") or None, len(value), value, 0, not vr, little_endian
        )
        for tag, (vr, value) in found.items()
    }
    picked = Dataset(raw)
    picked.set_original_encoding(
        transfer_syntax_uid in IMPLICIT, little_endian, list(_declared(found))
    )
    return picked


def _of_file(
    file: BinaryIO,
    start: int,
    transfer_syntax_uid: str,
    kept: frozenset[int],
    *,
    sequences: frozenset[int] = frozenset(),
    until: int = DELIMITERS,
) -> Found | Dataset:
    data: Bytes = Slices(file, start)
    stream, is_whole = file, True
    if transfer_syntax_uid in DEFLATED:
        file.seek(start)
        unfolded, is_whole = inflated(file)
        data, stream = memoryview(unfolded), io.BytesIO(unfolded)
        start = 0
    try:
        walk = Walk(data, transfer_syntax_uid)
        return walk.top(kept, sequences=sequences, until=until, is_whole=is_whole)
    except Cut:
        if is_whole:
            raise
        raise too_large("unfolds to") from None
    except Odd:
        stream.seek(start)
        parsed = part10.read_elements(stream, transfer_syntax_uid, kept | sequences)
        if not is_whole and stream.tell() >= len(data):  # it did not stop at any pixel data
            raise too_large("unfolds to") from None
        return parsed


def inflated(file: BinaryIO) -> tuple[bytes, bool]:
    """Inflate a deflated dataset as far as its head may reach; and say whether that is all."""
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    out: list[bytes] = []
    left = HEAD_LIMIT_BYTES
    try:
        while left and not inflate.eof:
            packed = inflate.unconsumed_tail or file.read(_STEP_BYTES)
            if not packed:
                raise CannotUnderstand("dataset breaks off before its deflated end")
            out.append(inflate.decompress(packed, left))
            left -= len(out[-1])
    except zlib.error as fault:
        raise CannotUnderstand("dataset cannot be inflated") from fault
    return b"".join(out), inflate.eof


def of_dataset(dataset: Dataset) -> Texts:
    """Read the catalogue's attributes of a dataset that was parsed already."""
    declared = charset.encodings(charset.terms_of(dataset))
    wanted = _WANTED.values()
    found = {one.keyword: charset.read(dataset, one.tag, one.vr, declared) for one in wanted}
    texts = {keyword: text for keyword, text in found.items() if text}
    raw = {tag: dataset.get_item(tag, keep_deferred=True) for tag in _SEQUENCES & dataset.keys()}
    if not raw:
        return texts
    is_big = not all(getattr(one, "is_little_endian", True) for one in raw.values())
    raw[charset.SPECIFIC_CHARACTER_SET] = dataset.get_item(charset.SPECIFIC_CHARACTER_SET)
    few = Dataset({BaseTag(tag): one for tag, one in raw.items() if one is not None})
    for tag, member in json_parsed.parts(few, ">" if is_big else "<").items():
        if tag in _SEQUENCES:
            texts[SEQUENCES_BY_TAG[tag].keyword] = member.partition(":")[2]
    return texts


def _sequence(own: bytes, raw: bytes, declared: charset.Encodings, order: str) -> str:
    """Write a sequence's element, header and all, as DICOM JSON; "" where it cannot be read."""
    try:
        member, _ = JsonWalk(raw, Meaning(bool(own), order, declared)).element(0, len(raw))
    except (Odd, Short):
        return ""
    return member.partition(":")[2]


def _declared(found: Found) -> charset.Encodings:
    _, raw = found.get(charset.SPECIFIC_CHARACTER_SET, _NOTHING)
    return charset.encodings(charset.split_terms(charset.of_raw(raw, "CS", charset.ASCII)))


def _texts(found: Found, *, little_endian: bool) -> Texts:
    declared = _declared(found)
    out: dict[str, str] = {}
    for tag, keyword, expected, usual in _PLAN:
        own, raw = found.get(tag, _NOTHING)
        if raw:
            is_usual = own == usual or not own
            vr = expected if is_usual else charset.meant_vr(own.decode("ascii"), expected)
            text = charset.of_raw(raw, vr, declared, little_endian=little_endian)
            if text:
                out[keyword] = text
    for tag in _SEQUENCES & found.keys():
        own, raw = found[tag]
        text = _sequence(own, raw, declared, "<" if little_endian else ">")
        if text:
            out[SEQUENCES_BY_TAG[tag].keyword] = text
    return out
