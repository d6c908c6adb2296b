"""Storage Commitment's datasets: what is asked for and what is reported (PS3.4 J.3, PS3.3 C.14).

Lists may be long, so they are read and written here without making a dataset object of each item.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from dicom import uid
from dicom.elements import Element, read
from dicom.encoding import IMPLICIT
from dicom.errors import CannotUnderstand
from dicom.normalized import InvalidArgument, NoSuchEventType, ResourceLimitation

STORAGE_COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model SOP Class."""
THE_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its one SOP Instance, which every request is addressed to (PS3.4 J.3.5)."""
REQUEST: Final = 1
"""Action Type ID: request storage commitment (PS3.4 J.3.2)."""
MOST_REFERENCES: Final = 100_000
"""A request that names more is refused: the largest Studies have a tenth of it."""

_CLASS: Final = 0x0008_1150
_INSTANCE: Final = 0x0008_1155
_TRANSACTION: Final = 0x0008_1195
_REASON: Final = 0x0008_1197
_FAILED: Final = 0x0008_1198
_REFERENCED: Final = 0x0008_1199


class Event(IntEnum):
    """Event Type ID (PS3.4 J.3.3)."""

    ALL_COMMITTED = 1
    FAILURES_EXIST = 2


class FailureReason(IntEnum):
    """Why an Instance is not committed (PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    CLASS_CONFLICT = 0x0119
    CLASS_NOT_SUPPORTED = 0x0122
    DUPLICATE_TRANSACTION = 0x0131
    RESOURCE_LIMITATION = 0x0213


WORDS: Final[Mapping[int, str]] = {
    FailureReason.PROCESSING_FAILURE: "processing failure",
    FailureReason.NO_SUCH_INSTANCE: "no such object instance",
    FailureReason.CLASS_CONFLICT: "class / instance conflict",
    FailureReason.CLASS_NOT_SUPPORTED: "referenced SOP class not supported",
    FailureReason.DUPLICATE_TRANSACTION: "duplicate transaction UID",
    FailureReason.RESOURCE_LIMITATION: "resource limitation",
}
"""What PS3.3 C.14.1.1 calls each reason."""


@dataclass(frozen=True, slots=True)
class Reference:
    """An Instance that somebody asks about, by its class and its UID."""

    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True, slots=True)
class Request:
    """A request to take on the safekeeping of Instances (PS3.4 J.3.2.1)."""

    transaction_uid: str
    references: tuple[Reference, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a request (PS3.4 J.3.3.1): each Instance is in one of the two."""

    transaction_uid: str
    committed: tuple[Reference, ...]
    failed: tuple[tuple[Reference, int], ...] = ()
    """With the reason."""

    @property
    def event(self) -> Event:
        """The event that tells it."""
        return Event.FAILURES_EXIST if self.failed else Event.ALL_COMMITTED


def read_request(dataset: bytes, transfer_syntax_uid: str) -> Request:
    """Read the Action Information of an N-ACTION; an Instance that is there twice counts once.

    Raises InvalidArgument where the dataset cannot be read, has no usable Transaction UID or
    names no Instance, ResourceLimitation where it names more than MOST_REFERENCES.
    """
    elements = _elements(dataset, transfer_syntax_uid)
    items = _items(elements, _REFERENCED)
    if not items:
        raise InvalidArgument("Referenced SOP Sequence is missing or empty")
    return Request(_transaction(elements), tuple(dict.fromkeys(map(_reference, items))))


def read_report(dataset: bytes, transfer_syntax_uid: str, event_type: int) -> Report:
    """Read the Event Information of an N-EVENT-REPORT.

    Raises NoSuchEventType for an event type that the class has not, InvalidArgument and
    ResourceLimitation as `read_request` does.
    """
    if event_type not in set(Event):
        raise NoSuchEventType(f"Storage Commitment has no event type {event_type}")
    elements = _elements(dataset, transfer_syntax_uid)
    failed = _items(elements, _FAILED)
    return Report(
        _transaction(elements),
        tuple(dict.fromkeys(map(_reference, _items(elements, _REFERENCED)))),
        tuple((_reference(item), _reason(item)) for item in failed),
    )


def write_request(request: Request, transfer_syntax_uid: str) -> bytes:
    """Write the Action Information of an N-ACTION, in an uncompressed little endian syntax."""
    writer = _Writer(explicit=transfer_syntax_uid not in IMPLICIT)
    return writer.uid(_TRANSACTION, request.transaction_uid) + writer.sequence(
        _REFERENCED, map(writer.reference, request.references)
    )


def write_report(report: Report, transfer_syntax_uid: str) -> bytes:
    """Write the Event Information of an N-EVENT-REPORT, in an uncompressed little endian syntax."""
    writer = _Writer(explicit=transfer_syntax_uid not in IMPLICIT)
    failed = writer.sequence(
        _FAILED,
        (writer.reference(each) + writer.number(_REASON, why) for each, why in report.failed),
    )
    referenced = writer.sequence(_REFERENCED, map(writer.reference, report.committed))
    return (
        writer.uid(_TRANSACTION, report.transaction_uid)
        + (failed if report.failed else b"")
        + (referenced if report.committed else b"")
    )


def told(reason: int) -> str:
    """Say a failure reason in words, with its number."""
    return f"{WORDS.get(reason, 'a reason of its own')} (0x{reason:04X})"


def _elements(dataset: bytes, transfer_syntax_uid: str) -> dict[int, Element]:
    try:
        found = read(memoryview(dataset), transfer_syntax_uid)
    except CannotUnderstand as fault:
        raise InvalidArgument(f"the dataset cannot be read: {fault}") from fault
    return {element.tag: element for element in found}


def _items(elements: Mapping[int, Element], tag: int) -> Sequence[tuple[Element, ...]]:
    element = elements.get(tag)
    items = (element.items if element else None) or ()
    if len(items) > MOST_REFERENCES:
        raise ResourceLimitation(f"{len(items)} Instances are named, at most {MOST_REFERENCES}")
    return items


def _transaction(elements: Mapping[int, Element]) -> str:
    text = _text(elements.get(_TRANSACTION))
    if not uid.is_storable(text):
        raise InvalidArgument("Transaction UID is missing or no UID")
    return text


def _reference(item: tuple[Element, ...]) -> Reference:
    values = {element.tag: element for element in item}
    reference = Reference(_text(values.get(_CLASS)), _text(values.get(_INSTANCE)))
    if not uid.is_storable(reference.sop_class_uid):
        raise InvalidArgument("an item has no usable Referenced SOP Class UID")
    if not uid.is_storable(reference.sop_instance_uid):
        raise InvalidArgument("an item has no usable Referenced SOP Instance UID")
    return reference


def _reason(item: tuple[Element, ...]) -> int:
    for element in item:
        if element.tag == _REASON and len(element.value) == 2:
            return int.from_bytes(element.value, "little")
    return int(FailureReason.PROCESSING_FAILURE)


def _text(element: Element | None) -> str:
    return "" if element is None else bytes(element.value).decode("ascii", "replace").strip("\0 ")


class _Writer:
    """Encodes the few kinds of element that the two datasets have."""

    def __init__(self, *, explicit: bool) -> None:
        self._explicit = explicit

    def uid(self, tag: int, text: str) -> bytes:
        value = text.encode("ascii")
        return self._element(tag, b"UI", value + b"\0" * (len(value) % 2))

    def number(self, tag: int, number: int) -> bytes:
        return self._element(tag, b"US", struct.pack("<H", number))

    def reference(self, reference: Reference) -> bytes:
        return self.uid(_CLASS, reference.sop_class_uid) + self.uid(
            _INSTANCE, reference.sop_instance_uid
        )

    def sequence(self, tag: int, items: Iterable[bytes]) -> bytes:
        body = b"".join(struct.pack("<HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
        if self._explicit:
            head = struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, b"SQ", 0, len(body))
        else:
            head = struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(body))
        return head + body

    def _element(self, tag: int, vr: bytes, value: bytes) -> bytes:
        if self._explicit:
            return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value
        return struct.pack("<HHL", tag >> 16, tag & 0xFFFF, len(value)) + value
