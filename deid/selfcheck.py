"""Search the finished, encoded object for everything that identifies; always the last step.

Reads what was written with another reader than the one that wrote it (pydicom), so that a slip
in parsing or walking shows. Uncompressed pixels are not searched: what is burned into them is
no text. Deflated datasets are searched before they are compressed.
"""

import io
import warnings
from dataclasses import dataclass
from typing import Final

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag

from deid import markers, private, text
from deid.dates import shifted
from deid.identity import Identity, uid_values
from deid.parse import Encoding, name
from deid.private import SafeList
from deid.table.dictionary import dictionary_vr
from dicom.errors import NotClean

_CHARACTER_SET: Final = 0x0008_0005
_SEARCHED_VRS: Final = text.TEXT_VRS | {"AE", "AS", "CS", "DA", "DT", "UR"}
_DATED_VRS: Final = frozenset({"DA", "DT"})


@dataclass(frozen=True, slots=True)
class Allowed:
    """What a profile lets stand in an output."""

    safe: SafeList = private.NOTHING
    """Private attributes that may be there."""
    dated: bool = False
    """Whether DA and DT hold moved or retained dates; one may equal another that is gone."""
    days: int = 0
    """By how many days dates moved, where every date moved; 0 where some did not."""


NOTHING_ELSE: Final = Allowed()


def check(
    head: bytes, encoding: Encoding, identity: Identity, allowed: Allowed = NOTHING_ELSE
) -> None:
    """Search an encoded dataset without its pixel data elements.

    Raises NotClean with the attribute and the kind of identity found, never the value; also for
    a private attribute or a missing marker, which show that something above went wrong.
    """
    kind = identity.in_bytes(head)
    if kind:
        raise NotClean(f"self-check: {_one(kind)} is still in the encoded object")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pydicom finds odd was odd in the input
        dataset = read_dataset(
            io.BytesIO(head), is_implicit_VR=encoding.implicit, is_little_endian=encoding.little
        )
        if not dataset.keys() >= markers.TAGS:
            raise NotClean("self-check: a marker of de-identification is missing")
        _Search(identity, allowed).dataset(dataset, "", text.DEFAULT_CODECS)


@dataclass(frozen=True, slots=True)
class _Search:
    """One search through an output."""

    identity: Identity
    allowed: Allowed

    def dataset(self, dataset: Dataset, path: str, by: tuple[str, ...]) -> None:
        """Search one dataset or item. Raises NotClean for what it finds."""
        if _CHARACTER_SET in dataset:
            by = text.codecs(_raw_value(dataset, BaseTag(_CHARACTER_SET)))
        for tag in dataset.keys():  # noqa: SIM118  (iterating itself decodes each element)
            place = path + name(tag)
            if not path and tag in markers.TAGS:
                continue
            raw = dataset.get_item(tag)
            vr = self._private(dataset, tag, place) if tag.is_private else dictionary_vr(tag)
            vr = vr or raw.VR or "UN"
            if raw.VR == "SQ" or (vr == "SQ" and not tag.is_private):
                for item in dataset[tag].value:
                    self.dataset(item, f"{place}/", by)
            elif kind := self._kind(_raw_value(dataset, tag), {vr, raw.VR}, by):
                raise NotClean(f"self-check: {place} still holds {_one(kind)}")

    def _private(self, dataset: Dataset, tag: BaseTag, place: str) -> str:
        """Give a safe private attribute's VR. Raises NotClean for any other private one."""
        safe = self.allowed.safe
        own = tag if private.is_creator(tag) else BaseTag(private.creator_tag(tag))
        creator = _raw_value(dataset, own).decode("latin-1").strip("\0 ") if own in dataset else ""
        if own == tag:
            vr = "LO" if safe.knows(creator) else ""
        else:
            found = private.key(tag, {int(own): creator})
            vr = safe.vr(found) if found else ""
        if vr:
            return vr
        raise NotClean(f"self-check: {place} is private and still there")

    def _kind(self, value: bytes, vrs: set[str | None], by: tuple[str, ...]) -> str:
        """Name the kind of identity in one value; "" for none."""
        if "UI" in vrs:
            return "UID" if self.identity.uids.intersection(uid_values(value)) else ""
        if not vrs & _SEARCHED_VRS:
            return ""
        try:
            decoded = text.decode(value, by)
        except UnicodeError:
            return "text that cannot be read"
        values = [decoded] if vrs & text.SINGLE_VALUED else decoded.split("\\")
        if self.allowed.dated and vrs & _DATED_VRS:
            stayed = self.allowed.days and any(self._stayed(value) for value in values)
            return "date" if stayed else self.identity.in_text(values, dates=False)
        return self.identity.in_text(values)

    def _stayed(self, value: str) -> bool:
        """Whether a date is an original one, and no other original moved to it."""
        day = value.strip()[:8]
        if day not in self.identity.days:
            return False
        return shifted("DA", day, -self.allowed.days) not in self.identity.days


def _one(kind: str) -> str:
    """Put the article before a kind of identity."""
    return kind if kind.startswith("text") else f"{'an' if kind[0] in 'aeio' else 'a'} {kind}"


def _raw_value(dataset: Dataset, tag: BaseTag) -> bytes:
    """Return a value's bytes; pydicom decodes only empty values and some numbers ahead of time."""
    raw = dataset.get_item(tag)
    if raw.is_raw:
        return bytes(raw.value or b"")
    if not raw.is_empty and raw.VR in _SEARCHED_VRS | {"UI"}:
        raise NotClean(f"self-check: {name(tag)} cannot be read as it was written")
    return b""
