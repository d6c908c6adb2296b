"""What the services of C-FIND share: who may ask, what is asked, and how an answer ends."""

import time
import traceback
from collections.abc import Callable
from typing import Protocol

from config.model import Permission, Settings
from dicom import identifier, status
from dicom.errors import Fault, NotAuthorised, OutOfResources
from dicom.identifier import BadIdentifier, Encoded
from node.admission import may, table_of
from node.exchange import FIND_LIMIT
from node.questioner import Questioner
from node.services.questioning import Question
from node.transport import PeerGone


class Cancelled(Exception):  # noqa: N818  (no error: the requester wants no more)
    """An answer stops at a C-CANCEL."""


class Account(Protocol):
    """What the log says of one query."""

    status: int
    words: str

    def close(self, seconds: float) -> None:
        """Write it down."""


def admitted(settings: Settings, question: Question, permission: Permission) -> Encoded:
    """Read the keys of who may ask. Raises NotAuthorised, OutOfResources, CannotUnderstand."""
    if not may(settings, question.caller, permission):
        raise NotAuthorised(f'{table_of(question.caller)} lacks may = ["{permission}"]')
    if len(question.identifier) > FIND_LIMIT:
        raise OutOfResources(f"the identifier is longer than {FIND_LIMIT >> 20} MiB")
    return identifier.read(question.identifier, question.transfer_syntax_uid)


def require(asker: Questioner) -> None:
    """Go on only while somebody waits for the answer. Raises Cancelled, PeerGone."""
    asker.require()
    if asker.is_cancelled:
        raise Cancelled


def serve(question: Question, account: Account, answer: Callable[[], bytes]) -> None:
    """Have a question answered; `answer` gives what is left to be sent, with the last response.

    0xFF01 says that keys were ignored, 0xFE00 that the requester cancelled. A Fault is answered by
    its status with a comment, and an offending element where there is one. Raises PeerGone.
    """
    started = time.monotonic()
    last = question.questioner.responses.last
    try:
        end = answer()
    except Cancelled:
        account.status = status.CANCELLED
        end = last(status.CANCELLED)
    except Fault as fault:
        account.status, account.words = fault.status, str(fault)
        tag = fault.tag if isinstance(fault, BadIdentifier) else None
        end = last(fault.status, str(fault), tag)
    except PeerGone:
        account.words = "the requester is gone"
        raise
    except Exception as bug:  # noqa: BLE001  (its own words could hold a patient's data)
        place = traceback.extract_tb(bug.__traceback__)[-1]
        account.status = status.PROCESSING_FAILURE
        account.words = f"{type(bug).__name__} at {place.filename}:{place.lineno}"
        end = last(status.PROCESSING_FAILURE, "internal error, see the node's log")
    finally:
        account.close(time.monotonic() - started)
    question.questioner.send(end)
