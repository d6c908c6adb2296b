"""Tables of the conformance statement: what C-MOVE and C-GET can name, and their answers; pure."""

from typing import Final

from dicom import errors, status
from dicom.attributes import UNIQUE_KEYS
from dicom.retrieve import GET_MODELS, MOVE_MODELS
from node.conformance_answers import Answered
from node.conformance_markdown import table
from node.conformance_services import name_of

STATUSES: Final = (
    Answered(status.SUCCESS, "Success", "every sub-operation was completed, or nothing was found"),
    Answered(status.PENDING, "Pending", "before the first sub-operation, and then now and then"),
    Answered(
        status.SOME_FAILED,
        "Warning: sub-operations complete, one or more failures or warnings",
        "some came through, and some failed or were answered with a warning, or with 0111",
    ),
    Answered(
        status.CANCELLED,
        "Cancel",
        "the requestor sent C-CANCEL; the object under way was finished, the others not begun",
    ),
    Answered(
        errors.CannotCount.status,
        "Refused: out of resources, unable to calculate number of matches",
        "the index cannot answer now",
    ),
    Answered(
        errors.CannotPerform.status,
        "Refused: out of resources, unable to perform sub-operations",
        "every sub-operation failed (nobody answers at the destination, it takes none of the"
        " objects, none can be read), or `[retrieve] at_once` retrievals are under way",
    ),
    Answered(
        errors.MoveDestinationUnknown.status,
        "Refused: move destination unknown",
        "C-MOVE: the destination is none of `[peers]`, has no `host` and `port`, or is"
        " neither the caller itself nor in its `move_to`",
    ),
    Answered(
        errors.DoesNotMatch.status,
        "Error: identifier does not match SOP Class",
        "QueryRetrieveLevel is missing or none of the model's; a unique key is missing, is of a"
        " lower level, or holds what it cannot. OffendingElement (0000,0901) names it",
    ),
    Answered(
        errors.CannotUnderstand.status,
        "Failed: unable to process",
        "the identifier cannot be parsed, or the node itself is at fault; its log says where",
    ),
    Answered(
        errors.NotAuthorised.status,
        "Not authorised",
        "the caller lacks the permission. Its contexts are refused before, so no caller hears this",
    ),
)
"""C-MOVE and C-GET (PS3.4 C.4.2.1.5, C.4.3.1.4)."""


def models() -> str:
    """Write the information models with the unique keys that each level takes."""
    rows = [
        (
            name_of(uid),
            uid,
            str(level),
            ", ".join(UNIQUE_KEYS[each] for each in model.levels if each.depth < level.depth)
            or "none",
            UNIQUE_KEYS[level],
        )
        for uid, model in {**MOVE_MODELS, **GET_MODELS}.items()
        for level in model.levels
    ]
    headings = ("Information model", "UID", "QueryRetrieveLevel", "Single values in", "Names")
    return table(headings, rows)


def statuses() -> str:
    """Write what a C-MOVE and a C-GET are answered."""
    rows = [(f"{each.code:04X}", each.meaning, each.when) for each in STATUSES]
    return table(("Status", "Meaning", "When it is sent"), rows)
