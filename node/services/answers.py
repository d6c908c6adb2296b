"""How a normalized service says no: a status with a comment, and a line in the log."""

import traceback
from typing import Final

import structlog
from pydicom.dataset import Dataset

from dicom import status
from dicom.errors import Fault
from dicom.normalized import NoLongerUpdated, ResourceLimitation

_COMMENT_LENGTH: Final = 64  # ErrorComment is LO (PS3.7 E.1)

log = structlog.get_logger()


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
