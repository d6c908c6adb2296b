"""Storage Commitment's messages on an open association, whoever opened it (PS3.7 10.1.1, 10.1.4).

N-EVENT-REPORT is sent by who accepted the association as well as by who opened it, so both go one
way here: the message is sent, and its response taken from what the association tells of all that
it receives. Nothing else of the association waits meanwhile, its release least of all.
"""

import contextlib
import queue
import time
from collections.abc import Callable
from io import BytesIO
from typing import Final

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION, N_EVENT_REPORT
from pynetdicom.presentation import PresentationContext, build_context

from dicom import commitment, status
from dicom.commitment import REQUEST, STORAGE_COMMITMENT, THE_INSTANCE, Report, Request
from dicom.errors import Busy, Refused, Unreachable
from dicom.normalized import NoSuchInstance, ResourceLimitation

Event = evt.Event
OpenAssociation = Association
Handlers = list[evt.EventHandlerType]

LOOK_EVERY_S: Final = 0.05
_MESSAGE_ID: Final = 7
"""Any number will do: nothing else is outstanding in our direction."""


def contexts() -> list[PresentationContext]:
    """List the contexts to propose, in the transfer syntaxes that the datasets are written in."""
    return [build_context(STORAGE_COMMITMENT, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])]


def ask(association: Association, request: Request, timeout_s: float) -> None:
    """Send N-ACTION; returns once the peer has taken the request on.

    Raises Unreachable when the association ends or falls silent, Busy where the peer is short of
    resources, Refused with its status for anything else.
    """
    context_id, syntax = _context(association)
    message = N_ACTION()
    message.MessageID = _MESSAGE_ID
    message.RequestedSOPClassUID = STORAGE_COMMITMENT
    message.RequestedSOPInstanceUID = THE_INSTANCE
    message.ActionTypeID = REQUEST
    message.ActionInformation = BytesIO(commitment.write_request(request, syntax))
    code = _converse(association, message, context_id, timeout_s)
    if code is None:
        raise Unreachable("the association ended before N-ACTION was answered")
    if code == ResourceLimitation.status:
        raise Busy(f"the request for storage commitment was answered 0x{code:04X}")
    if code != status.SUCCESS and not status.is_warning(code):
        raise Refused(f"the request for storage commitment was answered 0x{code:04X}")


def tell(association: Association, report: Report, timeout_s: float) -> int | None:
    """Send N-EVENT-REPORT; returns the status heard, None where the association ended first."""
    context_id, syntax = _context(association)
    message = N_EVENT_REPORT()
    message.MessageID = _MESSAGE_ID
    message.AffectedSOPClassUID = STORAGE_COMMITMENT
    message.AffectedSOPInstanceUID = THE_INSTANCE
    message.EventTypeID = int(report.event)
    message.EventInformation = BytesIO(commitment.write_report(report, syntax))
    return _converse(association, message, context_id, timeout_s)


def reporting(take: Callable[[evt.Event], object]) -> Handlers:
    """Have N-EVENT-REPORTs that come on an association of ours answered."""
    return [(evt.EVT_N_EVENT_REPORT, take)]


def heard(event: evt.Event) -> Report:
    """Read an N-EVENT-REPORT that came.

    Raises a ServiceFault as `commitment.read_report` does, NoSuchInstance for another instance
    than the well-known one.
    """
    asked = event.request
    assert isinstance(asked, N_EVENT_REPORT)  # as it is bound
    if str(asked.AffectedSOPInstanceUID) != THE_INSTANCE:
        raise NoSuchInstance("the Affected SOP Instance UID is not the well-known one")
    information = asked.EventInformation
    dataset = information.getvalue() if information is not None else b""
    return commitment.read_report(
        dataset, str(event.context.transfer_syntax), event.event_type or 0
    )


def quiet_s(association: Association) -> float:
    """Say for how long nothing has come or gone on an association that has an idle timer."""
    timer = association.dul._idle_timer  # noqa: SLF001  (no public way)
    return float((timer.timeout or 0.0) - timer.remaining)


def _context(association: Association) -> tuple[int, str]:
    """Find the accepted context and its transfer syntax, whatever the roles that were agreed.

    Raises Refused where there is none. Peers that leave out the role selection's answer take
    reports all the same.
    """
    for context in association.accepted_contexts:
        if context.abstract_syntax == STORAGE_COMMITMENT:
            assert context.context_id is not None  # it was negotiated
            return context.context_id, str(context.transfer_syntax[0])
    raise Refused("the peer does not offer Storage Commitment (1.2.840.10008.1.20.1)")


def _converse(
    association: Association, message: N_ACTION | N_EVENT_REPORT, context_id: int, timeout_s: float
) -> int | None:
    answers: queue.SimpleQueue[int] = queue.SimpleQueue()

    def note(event: evt.Event) -> None:
        command = event.message.command_set
        is_response = int(command.get("CommandField") or 0) & 0x8000
        if is_response and command.get("MessageIDBeingRespondedTo") == message.MessageID:
            answers.put(int(command.get("Status") or 0))

    association.bind(evt.EVT_DIMSE_RECV, note)
    try:
        association.dimse.send_msg(message, context_id)
        return _first(answers, lambda: bool(association.is_established), timeout_s)
    finally:
        association.unbind(evt.EVT_DIMSE_RECV, note)


def _first(
    answers: "queue.SimpleQueue[int]", is_open: Callable[[], bool], timeout_s: float
) -> int | None:
    deadline_s = time.monotonic() + timeout_s
    while True:
        was_open = is_open()
        with contextlib.suppress(queue.Empty):
            return answers.get(timeout=LOOK_EVERY_S)
        if not was_open or time.monotonic() > deadline_s:
            return None
