"""Tables of the conformance statement: storage commitment and performed procedure steps; pure."""

from typing import Final

from dicom import errors, normalized, status
from dicom.commitment import MOST_REFERENCES, WORDS, FailureReason
from dicom.mpps import FOLLOWERS, Status
from node.conformance_markdown import table
from storage.ledger.commitments import MOST_NAMED, MOST_OPEN
from storage.ledger.steps import MOST_OPEN as MOST_STEPS

_TOO_MANY: Final = (
    f"more than {MOST_REFERENCES:,} Instances are named, or {MOST_OPEN:,} requests of the peer or"
    f" {MOST_NAMED:,} Instances in them are open"
)
ACTION: Final = (
    (status.SUCCESS, "Success", "the request is on disk and synced; the report follows"),
    (normalized.NoSuchInstance.status, "No such SOP Instance",
     "the Requested SOP Instance UID is not the well-known one"),
    (normalized.InvalidArgument.status, "Invalid argument value",
     "the dataset is missing or cannot be read, has no Transaction UID, or names no Instance"),
    (normalized.NoSuchSopClass.status, "No such SOP Class",
     "the Requested SOP Class UID is not that of the presentation context"),
    (normalized.NoSuchAction.status, "No such action", "the Action Type ID is not 1"),
    (normalized.ResourceLimitation.status, "Resource limitation",
     f"{_TOO_MANY}, or the disk is full"),
    (errors.NotAuthorised.status, "Not authorised",
     "a peer that is asked for commitment itself, and so has the context, lacks the permission"),
    (normalized.ResourceLimitation.status, "Resource limitation", "the ledger cannot be written"),
    (errors.Fault.status, "Processing failure",
     "the node itself is at fault; its log says where"),
)  # fmt: skip
"""N-ACTION (PS3.4 J.3.2, PS3.7 10.1.4.1.10)."""

REPORTED: Final = (
    (status.SUCCESS, "Success", "the report is noted, on disk and synced"),
    (normalized.NoSuchInstance.status, "No such SOP Instance",
     "the Affected SOP Instance UID is not the well-known one"),
    (normalized.NoSuchEventType.status, "No such event type", "the Event Type ID is not 1 or 2"),
    (normalized.InvalidArgument.status, "Invalid argument value",
     "the dataset cannot be read, or the Transaction UID is none that this peer was asked with"),
    (normalized.ResourceLimitation.status, "Resource limitation",
     f"more than {MOST_REFERENCES:,} Instances are named, or the ledger cannot be written"),
)  # fmt: skip
"""N-EVENT-REPORT, as the node answers it (PS3.7 10.1.1.1.8)."""

REASONS: Final = {
    FailureReason.PROCESSING_FAILURE: (
        "a delivery of the Instance is held or was dropped, it could not be filed, two objects came"
        " under its UID, or it was not delivered within `[commitment] wait_s`"
    ),
    FailureReason.NO_SUCH_INSTANCE: "it was not here `[commitment] grace_s` after the request",
    FailureReason.CLASS_CONFLICT: "the Instance of that UID is of another SOP Class",
    FailureReason.CLASS_NOT_SUPPORTED: "it is unknown, and the node takes none of its SOP Class",
    FailureReason.DUPLICATE_TRANSACTION: (
        "another list came under a Transaction UID whose report is still to come"
    ),
}
"""When each reason is reported; 0213 is none of them."""

STEPS: Final = (
    (status.SUCCESS, "Success", "the step is on disk and synced"),
    (normalized.InvalidAttributeValue.status, "Invalid attribute value",
     "N-CREATE: the status is not IN PROGRESS; N-SET: it is none; either: a UID is none"),
    (errors.Fault.status, "Processing failure",
     f"N-SET: the step is over, Error ID {normalized.MAY_NO_LONGER_BE_UPDATED:04X}; or a bug here"),
    (normalized.DuplicateInstance.status, "Duplicate SOP Instance",
     "N-CREATE: the step is there already"),
    (normalized.NoSuchInstance.status, "No such SOP Instance", "N-SET: the step is not known"),
    (errors.InvalidSopInstance.status, "Invalid object instance",
     "N-CREATE: the Affected SOP Instance UID is no UID"),
    (normalized.InvalidArgument.status, "Invalid argument value", "the dataset cannot be read"),
    (normalized.NoSuchSopClass.status, "No such SOP Class",
     "the SOP Class UID is not that of the presentation context"),
    (normalized.MissingAttribute.status, "Missing attribute",
     "an attribute of type 1 is absent, or what the final state needs"),
    (normalized.MissingAttributeValue.status, "Missing attribute value",
     "an attribute of type 1 is empty"),
    (normalized.ResourceLimitation.status, "Resource limitation",
     f"{MOST_STEPS:,} steps of the peer are in progress, or the ledger cannot be written"),
    (errors.NotAuthorised.status, "Not authorised",
     "the caller lacks the permission. Its contexts are refused before, so no caller hears this"),
)  # fmt: skip
"""N-CREATE and N-SET of performed procedure steps (PS3.4 F.7.2)."""


def action_statuses() -> str:
    """Write what a request for storage commitment is answered."""
    return _statuses(ACTION)


def report_statuses() -> str:
    """Write what a report on a request of the node's own is answered."""
    return _statuses(REPORTED)


def reasons() -> str:
    """Write when each failure reason is reported."""
    rows = [(f"{int(each):04X}", WORDS[each], when) for each, when in REASONS.items()]
    return table(("Failure Reason", "Meaning", "When it is reported"), rows)


def step_statuses() -> str:
    """Write what N-CREATE and N-SET are answered."""
    return _statuses(STEPS)


def step_states() -> str:
    """Write what a performed procedure step may be set to."""
    rows = [
        (str(each), ", ".join(str(one) for one in Status if one in FOLLOWERS[each]) or "nothing")
        for each in Status
    ]
    return table(("Performed Procedure Step Status", "May be set to"), rows)


def _statuses(answers: tuple[tuple[int, str, str], ...]) -> str:
    rows = [(f"{code:04X}", meaning, when) for code, meaning, when in answers]
    return table(("Status", "Meaning", "When it is sent"), rows)
