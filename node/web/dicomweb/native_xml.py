"""Write a head as XML: the Native DICOM Model, from the DICOM JSON Model (PS3.19 A.1)."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final
from xml.sax.saxutils import escape, quoteattr

from pydicom.datadict import keyword_for_tag

_START: Final = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<NativeDicomModel'
    ' xmlns="http://dicom.nema.org/PS3.19/models/NativeDICOM" xml:space="preserve">'
)
_END: Final = "</NativeDicomModel>"
_NAMES: Final = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
"""What XML 1.0 cannot hold at all."""

Head = Mapping[str, Any]


def document(head: Head) -> str:
    """Write one Instance."""
    return _START + "".join(_attributes(head)) + _END


def _attributes(head: Head) -> Iterator[str]:
    for tag, element in head.items():
        keyword = keyword_for_tag(int(tag, 16))
        named = f" keyword={quoteattr(keyword)}" if keyword else ""
        creator = _creator(head, tag)
        owner = f" privateCreator={_quoted(creator)}" if creator else ""
        yield f'<DicomAttribute tag="{tag}" vr="{element["vr"]}"{named}{owner}>'
        yield from _content(element)
        yield "</DicomAttribute>"


def _content(element: Mapping[str, Any]) -> Iterator[str]:
    if "BulkDataURI" in element:
        yield f"<BulkData uri={quoteattr(element['BulkDataURI'])}/>"
    elif "InlineBinary" in element:
        yield f"<InlineBinary>{element['InlineBinary']}</InlineBinary>"
    for number, value in enumerate(element.get("Value", ()), 1):
        if element["vr"] == "SQ":
            yield f'<Item number="{number}">' + "".join(_attributes(value)) + "</Item>"
        elif element["vr"] == "PN":
            yield f'<PersonName number="{number}">' + "".join(_name(value)) + "</PersonName>"
        elif value is not None:
            yield f'<Value number="{number}">{_text(value)}</Value>'


def _name(value: Mapping[str, str] | None) -> Iterator[str]:
    for group, text in (value or {}).items():
        parts = zip(_NAMES, text.split("^"), strict=False)
        inside = "".join(f"<{name}>{_text(part)}</{name}>" for name, part in parts if part)
        yield f"<{group}>{inside}</{group}>"


def _creator(head: Head, tag: str) -> str:
    if not int(tag[:4], 16) % 2 or tag[4:6] == "00":
        return ""
    owner = head.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value") or [""]
    return str(owner[0])


def _text(value: object) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", str(value)))


def _quoted(value: str) -> str:
    return quoteattr(_FORBIDDEN.sub("\ufffd", value))
