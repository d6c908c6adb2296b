"""How a normalized service says no: a status with a comment, and a line in the log."""

import traceback
from collections.abc import Callable
from typing import Final

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt

from dicom import status
from dicom.errors import Fault
from dicom.normalized import NoLongerUpdated, ResourceLimitation

_COMMENT_LENGTH: Final = 64  # ErrorComment is LO (PS3.7 E.1)

Response = tuple[int | Dataset, Dataset | None]
"""The status of an answer, or a dataset that holds it, and what comes with it."""

log = structlog.get_logger()


def answered(what: str, event: evt.Event, serve: Callable[[evt.Event, str], Response]) -> Response:
    """Serve a request with its caller's AE title; `what` names it in the log where that fails."""
    caller = str(event.assoc.requestor.ae_title).strip()
    try:
        return serve(event, caller)
    except Exception as fault:  # noqa: BLE001  (a bug's own words could hold a patient's data)
        return refusal(what, caller, fault)


def refusal(what: str, peer: str, fault: Exception) -> tuple[Dataset, None]:
    """Make the answer to a request that cannot be served, and note why in one line.

    A Fault says its own status and words; anything else is a bug, of which only the place is told.
    """
    answer = Dataset()
    if isinstance(fault, Fault):
        full = fault.status == status.OUT_OF_RESOURCES  # which is a code of C-STORE and C-FIND
        answer.Status = ResourceLimitation.status if full else fault.status
        words = str(fault)
        answer.ErrorComment = words.encode("ascii", "replace").decode()[:_COMMENT_LENGTH]
        if isinstance(fault, NoLongerUpdated):
            answer.ErrorID = fault.error_id
    else:
        place = traceback.extract_tb(fault.__traceback__)[-1]
        answer.Status = status.PROCESSING_FAILURE
        words = f"{type(fault).__name__} at {place.filename}:{place.lineno}"
    log.warning(what, peer=peer, status=f"0x{answer.Status:04X}", words=words)
    return answer, None
