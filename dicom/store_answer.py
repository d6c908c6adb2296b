"""What a peer's answer to C-STORE means for the object: one table, and how it is judged."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dicom import status
from dicom.errors import Busy, Refused


class Meaning(StrEnum):
    """What became of the object."""

    STORED = "stored"
    WARNED = "stored with a warning"
    THERE = "already there"
    BUSY = "not stored for now"
    REFUSED = "not stored"


@dataclass(frozen=True, slots=True)
class Row:
    """A range of statuses, both ends in it, and what they say."""

    first: int
    last: int
    meaning: Meaning
    words: str


def _one(code: int, meaning: Meaning, words: str) -> Row:
    return Row(code, code, meaning, words)


TABLE: Final = (
    _one(status.SUCCESS, Meaning.STORED, "success"),
    _one(0x0105, Meaning.REFUSED, "no such attribute"),
    _one(0x0106, Meaning.REFUSED, "invalid attribute value"),
    _one(0x0107, Meaning.REFUSED, "attribute list error, which says nothing of storing"),
    _one(status.PROCESSING_FAILURE, Meaning.REFUSED, "processing failure"),
    _one(status.DUPLICATE_SOP_INSTANCE, Meaning.THERE, "duplicate SOP instance"),
    _one(0x0112, Meaning.REFUSED, "no such object instance"),
    _one(0x0115, Meaning.REFUSED, "invalid argument value"),
    _one(0x0116, Meaning.REFUSED, "attribute value out of range, which says nothing of storing"),
    _one(status.INVALID_SOP_INSTANCE, Meaning.REFUSED, "invalid SOP instance"),
    _one(0x0118, Meaning.REFUSED, "no such SOP class"),
    _one(0x0119, Meaning.REFUSED, "class and instance conflict"),
    _one(0x0120, Meaning.REFUSED, "missing attribute"),
    _one(status.SOP_CLASS_NOT_SUPPORTED, Meaning.REFUSED, "SOP class not supported"),
    _one(status.NOT_AUTHORISED, Meaning.REFUSED, "not authorised"),
    _one(0x0210, Meaning.REFUSED, "duplicate invocation"),
    _one(0x0211, Meaning.REFUSED, "unrecognised operation"),
    _one(0x0212, Meaning.REFUSED, "mistyped argument"),
    _one(0x0213, Meaning.BUSY, "resource limitation"),
    Row(status.OUT_OF_RESOURCES, 0xA7FF, Meaning.BUSY, "out of resources"),
    Row(status.DOES_NOT_MATCH, 0xA9FF, Meaning.REFUSED, "data set does not match SOP class"),
    _one(0xB000, Meaning.WARNED, "coercion of data elements"),
    Row(0xB001, 0xB005, Meaning.WARNED, "a warning of the peer's own"),
    _one(0xB006, Meaning.WARNED, "elements discarded"),
    _one(0xB007, Meaning.WARNED, "data set does not match SOP class"),
    Row(0xB008, 0xBFFF, Meaning.WARNED, "a warning of the peer's own"),
    Row(status.CANNOT_UNDERSTAND, 0xCFFF, Meaning.REFUSED, "cannot understand"),
)
"""PS3.4 Table B.2-1 and PS3.7 C.5; the last digits of 0xA7xx, 0xA9xx and 0xCxxx are the peer's own.

Statuses that are warnings of other services (0x0001, 0x0107, 0x0116) are no answer to C-STORE, and
some peers give them for objects that they lost: such an object is held until a person has looked.
"""

_UNKNOWN: Final = Row(0, 0xFFFF, Meaning.REFUSED, "a status that C-STORE does not have")


def row(code: int) -> Row:
    """Find what a status means; one that is not in the table is refused."""
    return next((one for one in TABLE if one.first <= code <= one.last), _UNKNOWN)


def describe(code: int) -> str:
    """Name a status for people and receipts: `status 0xB000, stored with a warning: ...`."""
    found = row(code)
    if found.meaning is Meaning.STORED:
        return f"status 0x{code:04X}"
    return f"status 0x{code:04X}, {found.meaning}: {found.words}"


def judge(code: int, sop_instance_uid: str) -> int:
    """Return a status that means that the peer has the object.

    Raises Busy where the peer wants it later, Refused where it does not want it.
    """
    found = row(code)
    if found.meaning is Meaning.BUSY:
        raise Busy(f"{sop_instance_uid} was answered 0x{code:04X}, {found.words}")
    if found.meaning is Meaning.REFUSED:
        raise Refused(f"{sop_instance_uid} was answered 0x{code:04X}, {found.words}")
    return code
