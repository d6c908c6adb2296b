"""Say whether an object was acquired as a contract wants it, or in words why not."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from ai.contract import Contrast, Wants
from dicom.errors import Unsuitable
from dicom.part10 import text

_SAME = 1e-3


@dataclass(frozen=True, slots=True)
class Acquired:
    """How one object was acquired, as far as contracts ask."""

    modality: str
    is_localizer: bool
    thickness_mm: float | None
    kvp: float | None
    contrast_agent: bool
    body_part: str
    view: str


def acquired(head: Dataset) -> Acquired:
    """Read how an object was acquired; what is absent or unreadable is None or ""."""
    kinds = text(head, "ImageType").upper().split("\\")
    return Acquired(
        modality=text(head, "Modality"),
        is_localizer="LOCALIZER" in kinds,
        thickness_mm=_number(text(head, "SliceThickness")),
        kvp=_number(text(head, "KVP")),
        contrast_agent=_has_contrast_agent(head),
        body_part=text(head, "BodyPartExamined").strip().upper(),
        view=text(head, "ViewPosition").strip().upper() or _view_by_code(head),
    )


def check(name: str, facts: Acquired, wants: Wants) -> None:
    """Raise Unsuitable, naming the Instance and the attribute, where it is not what is wanted."""
    if facts.modality != wants.modality:
        raise Unsuitable(f"the Series is not of Modality {wants.modality}")
    if facts.is_localizer:
        raise Unsuitable(f"{name}: it is a localizer (ImageType)")
    _check_thickness(name, facts, wants)
    if wants.kvp is not None:
        low, high = wants.kvp
        if facts.kvp is None:
            raise Unsuitable(f"{name}: it has no KVP; {low:g} to {high:g} is wanted")
        if not low - _SAME <= facts.kvp <= high + _SAME:
            raise Unsuitable(f"{name}: its KVP is {facts.kvp:g}; {low:g} to {high:g} is wanted")
    if wants.contrast is Contrast.NONE and facts.contrast_agent:
        raise Unsuitable(f"{name}: it was made with a contrast agent; none is wanted")
    if wants.contrast is Contrast.REQUIRED and not facts.contrast_agent:
        raise Unsuitable(f"{name}: it names no contrast agent; one is wanted")
    # Many machines leave it out: what is silent about the body part is taken.
    parts = {part.upper() for part in wants.body_parts}
    if parts and facts.body_part and facts.body_part not in parts:
        raise Unsuitable(f"{name}: its BodyPartExamined is none of {', '.join(sorted(parts))}")
    views = {view.upper() for view in wants.views}
    if views and facts.view not in views:
        raise Unsuitable(f"{name}: its ViewPosition is none of {', '.join(sorted(views))}")


def items(head: Dataset, keyword: str) -> Sequence[Dataset]:
    """Give a sequence's items; none where it is absent or cannot be read."""
    try:
        return list(head.get(keyword) or ())
    except Exception:  # noqa: BLE001  (a sequence that cannot be decoded is as good as none)
        return ()


def _check_thickness(name: str, facts: Acquired, wants: Wants) -> None:
    low, high = wants.min_thickness_mm, wants.max_thickness_mm
    if low <= 0 and math.isinf(high):
        return
    if facts.thickness_mm is None:
        raise Unsuitable(f"{name}: it has no SliceThickness; {low:g} to {high:g} mm is wanted")
    if not low - _SAME <= facts.thickness_mm <= high + _SAME:
        found = f"its SliceThickness is {facts.thickness_mm:g} mm"
        raise Unsuitable(f"{name}: {found}; {low:g} to {high:g} mm is wanted")


def _has_contrast_agent(head: Dataset) -> bool:
    """Whether an agent is named (PS3.3 C.7.6.4), or listed as enhanced objects do (C.7.6.4b)."""
    agent = text(head, "ContrastBolusAgent").strip().upper()
    # Some machines fill the attribute in to say that there was none.
    if agent not in {"", "NONE", "NO", "N", "NEVER"}:
        return True
    return bool(items(head, "ContrastBolusAgentSequence"))


_VIEWS = {
    "399162004": "CC",  # PS3.16 CID 4014
    "399368009": "MLO",
    "399260004": "ML",
    "399352003": "LM",
    "R-10242": "CC",
    "R-10226": "MLO",
    "R-10224": "ML",
    "R-10228": "LM",
}


def _view_by_code(head: Dataset) -> str:
    """Name a mammogram's view, which objects may state by its code alone (PS3.3 C.8.11.7)."""
    for item in items(head, "ViewCodeSequence"):
        return _VIEWS.get(text(item, "CodeValue"), "")
    return ""


def _number(words: str) -> float | None:
    try:
        value = float(words)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
