"""What kind of result an object is, by its SOP class: what a destination may choose among."""

from collections.abc import Mapping
from typing import Final, Literal

Name = Literal["sr", "seg", "gsps", "sc", "pm"]

_ROOT: Final = "1.2.840.10008.5.1.4.1.1"
KINDS: Final[Mapping[str, Name]] = {
    f"{_ROOT}.88.11": "sr",
    f"{_ROOT}.88.22": "sr",
    f"{_ROOT}.88.33": "sr",
    f"{_ROOT}.88.34": "sr",
    f"{_ROOT}.88.35": "sr",
    f"{_ROOT}.66.4": "seg",
    f"{_ROOT}.66.7": "seg",
    f"{_ROOT}.11.1": "gsps",
    f"{_ROOT}.11.2": "gsps",
    f"{_ROOT}.11.12": "gsps",
    f"{_ROOT}.7": "sc",
    f"{_ROOT}.7.2": "sc",
    f"{_ROOT}.7.3": "sc",
    f"{_ROOT}.7.4": "sc",
    f"{_ROOT}.30": "pm",
}
"""By SOP Class UID (PS3.4 B.5): reports, segmentations, presentation states, secondary captures
and parametric maps."""


def kind_of(sop_class_uid: str) -> Name | None:
    """Name the kind of a result; None for a SOP class of none, which goes everywhere."""
    return KINDS.get(sop_class_uid)
