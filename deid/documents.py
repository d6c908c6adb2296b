"""Encapsulated documents replaced by a page of our own, where a profile asks for it (PS3.3 A.45).

Nobody looks into a PDF here: its text, images, forms, attachments and history can all name the
patient. So the whole document goes, and one page says that it did. Other kinds (CDA, STL, OBJ)
have no harmless page that stays valid, and are refused.
"""

from functools import cache
from types import MappingProxyType
from typing import Final

from deid.parse import Element, Encoding, name
from dicom.errors import NotClean

CLASSES: Final = "1.2.840.10008.5.1.4.1.1.104."
"""What the SOP classes of encapsulated documents begin with."""
_PDF: Final = "1.2.840.10008.5.1.4.1.1.104.1"
_DOCUMENT: Final = 0x0042_0011
_MIME_TYPE: Final = 0x0042_0012
_LENGTH: Final = 0x0042_0015
_BURNED_IN: Final = 0x0028_0301
_SAID: Final = b"This document was removed by de-identification, DICOM PS3.15 Annex E."

Value = tuple[str, bytes]
"""A VR and the value that is written with it."""


def replacement(
    sop_class_uid: str, elements: tuple[Element, ...], how: str, encoding: Encoding
) -> MappingProxyType[int, Value]:
    """Say which attributes of an object are written anew because its document goes.

    `how` is the profile's setting: "refuse" or "replace". Nothing for objects without a document.
    Raises NotClean for a document that is to be refused or has no replacement.
    """
    if not sop_class_uid.startswith(CLASSES):
        return MappingProxyType({})
    if how != "replace":
        raise NotClean(
            'an encapsulated document cannot be looked into; documents = "replace" in the profile '
            "puts a page of our own in place of a PDF"
        )
    mime = next((bytes(each.value) for each in elements if each.tag == _MIME_TYPE), b"")
    if sop_class_uid != _PDF or mime.strip(b"\0 ").lower() not in {b"application/pdf", b""}:
        raise NotClean(f"{name(_DOCUMENT)}: only a PDF document can be replaced by a page")
    page = pdf()
    present = {each.tag for each in elements}
    new: dict[int, Value] = {_DOCUMENT: ("OB", page), _BURNED_IN: ("CS", b"NO")}
    if _LENGTH in present:
        new[_LENGTH] = ("UL", encoding.long.pack(len(page)))
    return MappingProxyType({tag: value for tag, value in new.items() if tag in present})


@cache
def pdf() -> bytes:
    """Make the page: one sentence, A4, PDF 1.4, always the same bytes, of even length."""
    text = b"BT /F1 12 Tf 56 760 Td (%s) Tj ET" % _SAID
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(text), text),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Font << /F1 5 0 R >> >>",
    )
    written, offsets = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    count = len(objects) + 1
    written += b"xref\n0 %d\n0000000000 65535 f \n%s" % (count, table) + (
        b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(written))
    )
    return written + b"\n" * (len(written) % 2)
