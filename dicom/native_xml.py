"""A dataset of the DICOM JSON Model as XML of the Native DICOM Model (PS3.19 A.1, PS3.18 F.2)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NO_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 can hold in no way."""
_NAME_PARTS: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")


def write(dataset: Mapping[str, object]) -> bytes:
    """Write a whole document. `dataset` maps tags to elements, as `json.loads` reads them."""
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<NativeDicomModel xmlns="{NAMESPACE}" xml:space="preserve">',
        *_dataset(dataset),
        "</NativeDicomModel>",
    ]
    return "".join(parts).encode("utf-8")


def _dataset(dataset: Mapping[str, object]) -> Iterator[str]:
    for tag, element in dataset.items():
        assert isinstance(element, Mapping)
        keyword = keyword_for_tag(int(tag, 16))
        name = f" keyword={quoteattr(keyword)}" if keyword else ""
        owner = _creator(dataset, tag)
        private = f" privateCreator={quoteattr(owner)}" if owner else ""
        yield f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{name}{private}>'
        yield from _value(str(element["vr"]), element)
        yield "</DicomAttribute>"


def _creator(dataset: Mapping[str, object], tag: str) -> str:
    """Say to whom a private element belongs (PS3.5 7.8.1); "" where it is none."""
    if not int(tag[:4], 16) % 2 or tag[4:6] == "00":
        return ""
    element = dataset.get(f"{tag[:4]}00{tag[4:6]}")
    values = element.get("Value") if isinstance(element, Mapping) else None
    return _text(values[0]) if isinstance(values, Sequence) and values else ""


def _value(vr: str, element: Mapping[str, object]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(_text(element['BulkDataURI']))}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    values = element.get("Value", ())
    assert isinstance(values, Sequence)
    for number, value in enumerate(values, 1):
        if isinstance(value, Mapping) and vr == "SQ":
            yield f'<Item number="{number}">'
            yield from _dataset(value)
            yield "</Item>"
        elif isinstance(value, Mapping):
            yield f'<PersonName number="{number}">'
            yield from _name(value)
            yield "</PersonName>"
        elif value is not None:
            yield f'<Value number="{number}">{escape(_text(value))}</Value>'


def _name(groups: Mapping[str, object]) -> Iterator[str]:
    for group, name in groups.items():
        parts = zip(_NAME_PARTS, _text(name).split("^"), strict=False)
        inside = "".join(f"<{key}>{escape(part)}</{key}>" for key, part in parts if part)
        yield f"<{group}>{inside}</{group}>"


def _text(value: object) -> str:
    return _NO_XML.sub("\ufffd", str(value))
