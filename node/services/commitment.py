"""Storage Commitment: take requests as SCP, and the answers to our own as SCU (PS3.4 Annex J)."""

import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import N_ACTION
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission, Settings
from dicom import commitment, commitment_wire, status, uid
from dicom.commitment import REQUEST, STORAGE_COMMITMENT, THE_INSTANCE, Report, Request
from dicom.errors import NotAuthorised
from dicom.normalized import InvalidArgument, NoSuchAction, NoSuchInstance, NoSuchSopClass
from node.admission import may, table_of
from node.services.answers import Response, answered, refusal
from node.services.table import Handler

SYNTAXES: Final = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
log = structlog.get_logger()


class Desk(Protocol):
    """Where requests are kept and judged: node.committing.Committing."""

    def receive(self, request: Request, peer: str, association: Association) -> int:
        """Keep a request, synced, and give its id; the association may be told of it later."""


class Answers(Protocol):
    """Where the answers to our own requests are noted: the ledger."""

    def answer(self, report: Report, peer: str, now: float) -> bool:
        """Note a report; False where this peer was not asked so."""


class CommitmentService:
    """Answers N-ACTION and N-EVENT-REPORT. One object serves every association."""

    permission: Permission | None = "commit"

    def __init__(
        self,
        settings: Settings,
        desk: Desk,
        answers: Answers,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._desk = desk
        self._answers = answers
        self._clock = clock

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept the Push Model in both roles: who brings an answer to us is its SCP."""
        context = build_context(STORAGE_COMMITMENT, [*SYNTAXES])
        context.scu_role = context.scp_role = True
        return [context]

    def handlers(self) -> Sequence[Handler]:
        """Bind N-ACTION and N-EVENT-REPORT."""
        return [(evt.EVT_N_ACTION, self._on_action), (evt.EVT_N_EVENT_REPORT, self._on_report)]

    def _on_action(self, event: evt.Event) -> Response:
        return answered("commitment refused", event, self._receive)

    def _receive(self, event: evt.Event, caller: str) -> Response:
        request = self._requested(event, caller)
        kept_as = self._desk.receive(request, caller, event.assoc)
        log.info(
            "commitment requested",
            calling_ae=caller,
            request=kept_as,
            transaction=uid.told(request.transaction_uid),
            instances=len(request.references),
        )
        return status.SUCCESS, None

    def _requested(self, event: evt.Event, caller: str) -> Request:
        if not may(self._settings, caller, "commit"):
            raise NotAuthorised(f'{table_of(caller)} lacks may = ["commit"]')
        asked = event.request
        assert isinstance(asked, N_ACTION)  # as it is bound
        if str(asked.RequestedSOPClassUID) != STORAGE_COMMITMENT:
            raise NoSuchSopClass("the Requested SOP Class UID is not Storage Commitment's")
        if str(asked.RequestedSOPInstanceUID) != THE_INSTANCE:
            raise NoSuchInstance("the Requested SOP Instance UID is not the well-known one")
        if asked.ActionTypeID != REQUEST:
            raise NoSuchAction(f"Storage Commitment has no action type {asked.ActionTypeID}")
        information = asked.ActionInformation
        dataset = information.getvalue() if information is not None else b""
        return commitment.read_request(dataset, str(event.context.transfer_syntax))

    def _on_report(self, event: evt.Event) -> Response:
        caller = str(event.assoc.requestor.ae_title).strip()
        return take_report(event, self._answers, caller, self._clock)


def take_report(
    event: evt.Event, answers: Answers, peer: str, clock: Callable[[], float]
) -> Response:
    """Note the answer to a request of ours; what was never asked of this peer is refused."""
    try:
        report = _noted(event, answers, peer, clock())
    except Exception as fault:  # noqa: BLE001  (a bug's own words could hold a patient's data)
        return refusal("commitment report refused", peer, fault)
    log.info(
        "commitment reported",
        peer=peer,
        transaction=uid.told(report.transaction_uid),
        committed=len(report.committed),
        failed=len(report.failed),
    )
    return status.SUCCESS, None


def _noted(event: evt.Event, answers: Answers, peer: str, now: float) -> Report:
    report = commitment_wire.heard(event)
    if not answers.answer(report, peer, now):
        raise InvalidArgument("the Transaction UID is none that this peer was asked with")
    return report
