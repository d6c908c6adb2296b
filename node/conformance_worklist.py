"""Tables of the conformance statement: the modality worklist's keys and statuses; pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from dicom import errors, status
from dicom.matching import MOMENT_VRS, WILDCARD_VRS
from dicom.worklist import CATALOGUE, REQUIRED, REQUIRED_IN_STEP, STEPS, Known
from node.conformance_markdown import table
from node.services.worklist import MAX_MATCHES

MATCHING: Final = frozenset(
    {
        "ScheduledStationAETitle",
        "ScheduledProcedureStepStartDate",
        "ScheduledProcedureStepStartTime",
        "Modality",
        "ScheduledPerformingPhysicianName",
        "PatientName",
        "PatientID",
        STEPS,
    }
)
"""What PS3.4 Table K.6-1 requires as matching keys."""

_TOO_MUCH: Final = (
    f"there are more than {MAX_MATCHES:,} matches (that many were sent before), the identifier is"
    " too long, or the ledger cannot be read now"
)
FIND: Final = (
    (status.SUCCESS, "Success", "all matches were sent, or there is none"),
    (status.PENDING, "Pending", "one match; every key is supported"),
    (status.PENDING_WITH_UNSUPPORTED_KEYS, "Pending, with unsupported keys",
     "one match; keys that are not listed above were ignored: neither matched nor returned"),
    (status.CANCELLED, "Cancel", "the requestor sent C-CANCEL before the last match"),
    (errors.OutOfResources.status, "Refused: out of resources",
     _TOO_MUCH),
    (errors.DoesNotMatch.status, "Error: identifier does not match SOP Class",
     "a key cannot be read, or a sequence has several items; OffendingElement names it"),
    (errors.CannotUnderstand.status, "Error: unable to process", "the identifier cannot be parsed"),
    (errors.NotAuthorised.status, "Not authorised",
     "the caller lacks the permission. Its contexts are refused before, so no caller hears this"),
    (errors.Fault.status, "Processing failure",
     "the node itself is at fault; its log says where"),
)  # fmt: skip
"""C-FIND in the worklist's model (PS3.4 K.4.1.1.4)."""


def keys() -> str:
    """Write every key: where it stands, its type in the standard, and how it is matched."""
    rows = [
        (">" * depth + one.attribute.keyword, f"({tag >> 16:04X},{tag & 0xFFFF:04X})",
         one.attribute.vr, _kind(one, depth), _matching(one))
        for depth, one in _every(CATALOGUE)
        for tag in (one.attribute.tag,)
    ]  # fmt: skip
    return table(("Attribute", "Tag", "VR", "Matching key", "Matching"), rows)


def statuses() -> str:
    """Write what a query is answered."""
    rows = [(f"{code:04X}", meaning, when) for code, meaning, when in FIND]
    return table(("Status", "Meaning", "When it is sent"), rows)


def needed() -> str:
    """Write what an entry has to say."""
    inside = ", ".join(f"`{each}`" for each in REQUIRED_IN_STEP)
    return f"{', '.join(f'`{each}`' for each in REQUIRED)}; in the one item of `{STEPS}`: {inside}"


def _every(catalogue: Mapping[str, Known], depth: int = 0) -> Iterator[tuple[int, Known]]:
    for one in catalogue.values():
        yield depth, one
        yield from _every(one.inside or {}, depth + 1)


def _kind(one: Known, depth: int) -> str:
    top = {STEPS, "PatientName", "PatientID"}
    required = one.attribute.keyword in (MATCHING & top if depth == 0 else MATCHING - top)
    return "R" if required and depth < 2 else "O"


def _matching(one: Known) -> str:
    vr = one.attribute.vr
    if vr == "SQ":
        return "sequence"
    if vr in MOMENT_VRS:
        return "single value, range"
    kinds = ["single value"]
    if vr == "UI":
        kinds.append("list of UIDs")
    if vr in WILDCARD_VRS:
        kinds.append("wildcard")
    if vr == "PN":
        kinds.append("by component group, without regard to case and accents")
    return ", ".join(kinds)
