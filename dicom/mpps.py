"""Modality Performed Procedure Steps: what a modality says that it does, and did (PS3.4 F.7).

Read are the state, the Studies with the scheduled steps, and the Series with the Instances that
they hold. Nothing about the patient is looked at.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dicom import uid
from dicom.elements import Element, read
from dicom.errors import CannotUnderstand
from dicom.normalized import (
    InvalidArgument,
    InvalidAttributeValue,
    MissingAttribute,
    MissingAttributeValue,
    NoLongerUpdated,
)

MPPS: Final = "1.2.840.10008.3.1.2.3.3"
"""Modality Performed Procedure Step SOP Class."""

_STATUS: Final = 0x0040_0252
_SCHEDULED: Final = 0x0040_0270
_STEP_ID: Final = 0x0040_0009
_REASON: Final = 0x0040_0281
_CODE: Final = 0x0008_0100
_WRONG_ENTRY: Final = "110514"
"""Incorrect worklist entry selected (PS3.16 CID 9300)."""
_STUDY: Final = 0x0020_000D
_SERIES: Final = 0x0020_000E
_PERFORMED: Final = 0x0040_0340
_INSTANCE: Final = 0x0008_1155
_REFERENCES: Final = (0x0008_1140, 0x0040_0220)
"""Referenced Image Sequence, Referenced Non-Image Composite SOP Instance Sequence."""
_NAMES: Final[Mapping[int, str]] = {
    _STATUS: "Performed Procedure Step Status",
    0x0040_0253: "Performed Procedure Step ID",
    0x0040_0241: "Performed Station AE Title",
    0x0040_0244: "Performed Procedure Step Start Date",
    0x0040_0245: "Performed Procedure Step Start Time",
    0x0008_0060: "Modality",
    _SCHEDULED: "Scheduled Step Attributes Sequence",
    _STUDY: "Study Instance UID",
    _SERIES: "Series Instance UID",
    0x0040_0250: "Performed Procedure Step End Date",
    0x0040_0251: "Performed Procedure Step End Time",
    _PERFORMED: "Performed Series Sequence",
}
_AT_CREATION: Final = (
    _STATUS, 0x0040_0253, 0x0040_0241, 0x0040_0244, 0x0040_0245, 0x0008_0060, _SCHEDULED,
)  # fmt: skip
"""What has to have a value when a step is created (PS3.4 Table F.7.2-1, type 1)."""
_ENDED: Final = (0x0040_0250, 0x0040_0251)
"""What a step that is over has to have, beside its Series where it is completed."""


class Status(StrEnum):
    """Performed Procedure Step Status (PS3.3 C.4.14)."""

    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    DISCONTINUED = "DISCONTINUED"


FOLLOWERS: Final[Mapping[Status, frozenset[Status]]] = {
    Status.IN_PROGRESS: frozenset(Status),
    Status.COMPLETED: frozenset(),
    Status.DISCONTINUED: frozenset(),
}
"""What each state may be set to; a step that is over is not changed at all (PS3.4 F.7.2.2)."""


@dataclass(frozen=True, slots=True)
class PerformedSeries:
    """A Series of a step, and the Instances that it has made so far."""

    series_instance_uid: str
    sop_instance_uids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What a step was scheduled as, if it was."""

    study_instance_uid: str
    step_id: str
    """Scheduled Procedure Step ID; empty for a step that nobody scheduled."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an N-SET says: None, or False, where it says nothing."""

    status: Status | None = None
    series: tuple[PerformedSeries, ...] | None = None
    has_ended: bool = False
    """Whether it gives the date and time of the end."""
    is_wrong_entry: bool = False
    """Whether the step was begun for a wrong entry of the worklist."""


@dataclass(frozen=True, slots=True)
class Step:
    """A performed procedure step as it stands."""

    status: Status
    studies: tuple[str, ...]
    series: tuple[PerformedSeries, ...] = ()
    has_ended: bool = False
    scheduled: tuple[Scheduled, ...] = ()
    """As it was created with; not kept."""


def created(dataset: bytes, transfer_syntax_uid: str) -> Step:
    """Read the Attribute List of an N-CREATE.

    Raises InvalidArgument where it cannot be read, MissingAttribute or MissingAttributeValue
    where something of type 1 is not there, InvalidAttributeValue where the step does not begin
    in progress or a UID is none.
    """
    elements = _elements(dataset, transfer_syntax_uid)
    for tag in _AT_CREATION:
        _require(elements, tag)
    status = _status(elements)
    if status is not Status.IN_PROGRESS:
        raise InvalidAttributeValue(f"{_NAMES[_STATUS]} must be IN PROGRESS when it is created")
    items = [_tagged(item) for item in elements[_SCHEDULED].items or ()]
    scheduled = tuple(dict.fromkeys(_scheduled(item) for item in items))
    studies = tuple(dict.fromkeys(each.study_instance_uid for each in scheduled))
    return Step(status, studies, _series(elements) or (), _has_ended(elements), scheduled)


def change(dataset: bytes, transfer_syntax_uid: str) -> Change:
    """Read the Modification List of an N-SET; raises as `created` does."""
    elements = _elements(dataset, transfer_syntax_uid)
    status = _status(elements) if _STATUS in elements else None
    return Change(status, _series(elements), _has_ended(elements), _is_wrong_entry(elements))


def changed(step: Step, by: Change) -> Step:
    """Give the step after a change.

    Raises NoLongerUpdated for a step that is over, InvalidAttributeValue for a state that cannot
    follow, MissingAttribute where a state that ends the step lacks what it needs.
    """
    if not FOLLOWERS[step.status]:
        raise NoLongerUpdated("Performed Procedure Step Object may no longer be updated")
    status = by.status or step.status
    if status not in FOLLOWERS[step.status]:
        raise InvalidAttributeValue(f"{status} cannot follow {step.status}")
    series = step.series if by.series is None else by.series
    after = Step(status, step.studies, series, step.has_ended or by.has_ended)
    if status is not Status.IN_PROGRESS and not after.has_ended:
        raise MissingAttribute(f"{status} needs {_NAMES[_ENDED[0]]} and Time")
    if status is Status.COMPLETED and not after.series:
        raise MissingAttribute(f"{status} needs {_NAMES[_PERFORMED]}")
    return after


def _elements(dataset: bytes, transfer_syntax_uid: str) -> dict[int, Element]:
    try:
        return _tagged(read(memoryview(dataset), transfer_syntax_uid))
    except CannotUnderstand as fault:
        raise InvalidArgument(f"the dataset cannot be read: {fault}") from fault


def _tagged(elements: Iterable[Element]) -> dict[int, Element]:
    return {element.tag: element for element in elements}


def _require(elements: Mapping[int, Element], tag: int) -> None:
    element = elements.get(tag)
    if element is None:
        raise MissingAttribute(f"{_NAMES[tag]} is missing")
    if not element.items and not _text(element):
        raise MissingAttributeValue(f"{_NAMES[tag]} is empty")


def _status(elements: Mapping[int, Element]) -> Status:
    try:
        return Status(_text(elements[_STATUS]))
    except ValueError:
        raise InvalidAttributeValue(f"{_NAMES[_STATUS]} has none of its three values") from None


def _has_ended(elements: Mapping[int, Element]) -> bool:
    return all(tag in elements and _text(elements[tag]) for tag in _ENDED)


def _scheduled(item: Mapping[int, Element]) -> Scheduled:
    step_id = _text(item[_STEP_ID]) if _STEP_ID in item else ""
    return Scheduled(_uid(item, _STUDY), step_id)


def _is_wrong_entry(elements: Mapping[int, Element]) -> bool:
    items = elements[_REASON].items or () if _REASON in elements else ()
    return any(
        _text(element) == _WRONG_ENTRY for item in items for element in item if element.tag == _CODE
    )


def _series(elements: Mapping[int, Element]) -> tuple[PerformedSeries, ...] | None:
    element = elements.get(_PERFORMED)
    if element is None:
        return None
    items = (_tagged(item) for item in element.items or ())
    return tuple(PerformedSeries(_uid(item, _SERIES), _instances(item)) for item in items)


def _instances(item: Mapping[int, Element]) -> tuple[str, ...]:
    named = (
        _text(element)
        for sequence in _REFERENCES
        for reference in (item[sequence].items or () if sequence in item else ())
        for element in reference
        if element.tag == _INSTANCE
    )
    return tuple(dict.fromkeys(filter(uid.is_storable, named)))


def _uid(item: Mapping[int, Element], tag: int) -> str:
    _require(item, tag)
    text = _text(item[tag])
    if not uid.is_storable(text):
        raise InvalidAttributeValue(f"{_NAMES[tag]} is no UID")
    return text


def _text(element: Element) -> str:
    return bytes(element.value).decode("ascii", "replace").strip("\0 ")
