"""Write a dataset that pydicom had to parse as DICOM JSON text: forgiving, slow, seldom needed."""

from collections.abc import Iterator
from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from dicom import charset
from dicom.encoding import LONG_VRS, SHORT_VRS
from dicom.errors import CannotUnderstand
from dicom.json_text import (
    UTF_8,
    Parts,
    bulk_text,
    head_text,
    is_bulk,
    named,
    sequence_text,
    value_text,
    vr_of,
)
from dicom.json_walk import CHARACTER_SET, PADDING, PIXEL_REPRESENTATION

_DEEPEST: Final = 64
_VRS: Final = frozenset(vr.decode("ascii") for vr in LONG_VRS | SHORT_VRS)


def parts(dataset: Dataset, order: str) -> Parts:
    """Write every element. Raises CannotUnderstand when there is none."""
    found = dict(_Parsed(dataset, order, charset.ASCII, "", 0).elements())
    if not found:
        raise CannotUnderstand("dataset holds no elements before its pixel data")
    return found


class _Parsed:
    """One dataset, or an item of one."""

    def __init__(
        self, dataset: Dataset, order: str, outer: charset.Encodings, path: str, depth: int
    ) -> None:
        terms = charset.terms_of(dataset)
        self._dataset = dataset
        self._order = order
        self._declared = charset.encodings(terms) if terms else outer
        self._is_signed = charset.read(dataset, PIXEL_REPRESENTATION, "US", charset.ASCII) == "1"
        self._path = path
        self._depth = depth

    def elements(self) -> Iterator[tuple[int, str]]:
        """Write every element, with its tag."""
        for tag in sorted(self._dataset.keys()):
            if tag.element and tag.group > 2 and tag < PADDING:  # file meta has 2
                yield int(tag), named(int(tag), self._element(tag))

    def _element(self, tag: BaseTag) -> str:
        if tag == CHARACTER_SET:
            return UTF_8
        element = self._dataset.get_item(tag, keep_deferred=True)
        vr = self._vr(tag, str(getattr(element, "VR", None) or "UN"))
        if vr == "SQ":
            items = self._items(tag)
            if items is not None:
                return sequence_text(items)
            vr = "UN"
        raw = element.value if isinstance(element, RawDataElement) else None
        raw = raw if isinstance(raw, bytes) else b""
        if is_bulk(vr, len(raw)):
            return bulk_text(vr, f"{self._path}{int(tag):08X}")
        return value_text(vr, raw, self._declared, self._order)

    def _vr(self, tag: BaseTag, own: str) -> str:
        if own != "UN" and own in _VRS:
            return own
        creator = ""
        if tag.is_private and tag.element > 0xFF:  # PS3.5 7.8.1
            creator = charset.read(self._dataset, tag.private_creator, "LO", charset.ASCII)
        return vr_of(int(tag), creator, is_signed=self._is_signed)

    def _items(self, tag: BaseTag) -> list[str] | None:
        """Write the items of a sequence; None where it cannot be parsed."""
        if self._depth >= _DEEPEST:
            return None
        try:
            items = list(self._dataset[tag].value or ())
        except Exception:  # noqa: BLE001  (pydicom raises many kinds on hostile bytes)
            return None
        place = f"{self._path}{int(tag):08X}"
        return [
            head_text(
                dict(
                    _Parsed(
                        item, self._order, self._declared, f"{place}/{number}/", self._depth + 1
                    ).elements()
                )
            )
            for number, item in enumerate(items)
            if isinstance(item, Dataset)
        ]
