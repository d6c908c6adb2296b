"""Search the finished, encoded object for everything that identifies; always the last step.

Reads what was written with another reader than the one that wrote it (pydicom), so that a slip
in parsing or walking shows. Uncompressed pixels are not searched: what is burned into them is
no text. Deflated datasets are searched before they are compressed.
"""

import io
import warnings
from collections.abc import Iterable
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from deid import comments, markers, text
from deid.identity import Identity, uid_values
from deid.parse import Element, Encoding, fragments, name
from deid.table.dictionary import dictionary_vr
from dicom.errors import NotClean

_CHARACTER_SET: Final = 0x0008_0005
_SEARCHED_VRS: Final = text.TEXT_VRS | {"AE", "AS", "CS", "DA", "DT", "UR"}


def check(head: bytes, encoding: Encoding, identity: Identity) -> None:
    """Search an encoded dataset without its pixel data elements.

    Raises NotClean with the attribute and the kind of identity found, never the value; also for
    a private attribute or a missing marker, which show that something above went wrong.
    """
    kind = identity.in_bytes(head)
    if kind:
        raise NotClean(f"self-check: a {kind} is still in the encoded object")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom finds odd was odd in the input
        dataset = read_dataset(
            io.BytesIO(head), is_implicit_VR=encoding.implicit, is_little_endian=encoding.little
        )
        if not dataset.keys() >= markers.TAGS:
            raise NotClean("self-check: a marker of de-identification is missing")
        _search(dataset, "", text.DEFAULT_CODECS, identity)


def check_pixels(pixels: Iterable[Element], encoding: Encoding, identity: Identity) -> None:
    """Search comment segments of compressed pixel data. Raises NotClean."""
    for element in pixels:
        if not element.undefined:
            continue
        for fragment in fragments(element.value, encoding):
            for segment in comments.segments(fragment):
                decoded = [segment.decode(codec, "replace") for codec in ("latin-1", "utf-8")]
                kind = identity.in_bytes(segment) or identity.in_text(decoded)
                if kind:
                    raise NotClean(f"{name(element.tag)}: a comment in it holds a {kind}")


def _search(dataset: Dataset, path: str, by: tuple[str, ...], identity: Identity) -> None:
    if _CHARACTER_SET in dataset:
        by = text.codecs(_raw_value(dataset, BaseTag(_CHARACTER_SET)))
    for tag in dataset.keys():  # noqa: SIM118  (iterating itself decodes each element)
        place = path + name(tag)
        if tag.is_private:
            raise NotClean(f"self-check: {place} is private and still there")
        if not path and tag in markers.TAGS:
            continue
        raw = dataset.get_item(tag)
        vr = dictionary_vr(tag) or raw.VR
        if "SQ" in {raw.VR, vr}:
            for item in dataset[tag].value:
                _search(item, f"{place}/", by, identity)
        elif kind := _kind(_raw_value(dataset, tag), {vr, raw.VR}, by, identity):
            raise NotClean(f"self-check: {place} still holds a {kind}")


def _raw_value(dataset: Dataset, tag: BaseTag) -> bytes:
    """Return a value's bytes; pydicom decodes only empty values and some numbers ahead of time."""
    raw = dataset.get_item(tag)
    if raw.is_raw:
        return bytes(raw.value or b"")
    if not raw.is_empty and raw.VR in _SEARCHED_VRS | {"UI"}:
        raise NotClean(f"self-check: {name(tag)} cannot be read as it was written")
    return b""


def _kind(value: bytes, vrs: set[str | None], by: tuple[str, ...], identity: Identity) -> str:
    """Name the kind of identity in one value; "" for none."""
    if "UI" in vrs:
        return "UID" if identity.uids.intersection(uid_values(value)) else ""
    if not vrs & _SEARCHED_VRS:
        return ""
    try:
        decoded = text.decode(value, by)
    except UnicodeError:
        return "text that cannot be read"
    return identity.in_text([decoded] if vrs & text.SINGLE_VALUED else decoded.split("\\"))
