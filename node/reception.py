"""Receive whoever asks for an association: admit or reject, say what is served, and tell it on.

Runs in pynetdicom's events, on the association's own thread, before the lane has anything to do.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ABORT, A_P_ABORT, A_RELEASE

from config import addresses
from config.model import Settings
from node import extended
from node.admission import (
    AssociationFacts,
    AssociationRequest,
    Cause,
    Reject,
    Result,
    Source,
    Verdict,
    decide,
    permitted,
    unknown_version,
)
from node.conversation import AssociationWatcher, Conversation
from node.negotiation import DoorWatcher, Menu, told
from node.seats import Seats
from node.watermarks import DiskState

log = structlog.get_logger()


class Reception:
    """Stands between a connection's first PDU and its association."""

    def __init__(
        self,
        settings: Settings,
        menu: Menu,
        watcher: AssociationWatcher,
        door_watchers: Sequence[DoorWatcher] = (),
        *,
        disk: Callable[[], DiskState],
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self.seats = Seats()
        self._settings = settings
        self._menu = menu
        self._watcher = watcher
        self._door_watchers = tuple(door_watchers)
        self._disk = disk
        self._clock = clock
        self._new_id = new_id

    def attend(self, association: Association, conversation: Conversation) -> None:
        """Wait for what a fresh connection asks."""
        association.bind(evt.EVT_REQUESTED, self._requested, [conversation])
        association.bind(evt.EVT_ACCEPTED, self._accepted, [conversation])
        association.bind(evt.EVT_ACSE_RECV, self._leaves, [conversation])
        association.bind(evt.EVT_SOP_EXTENDED, extended.answer)

    def see_off(self, conversation: Conversation) -> None:
        """Take a connection back that has ended, however it ended."""
        self.seats.free(conversation)
        if conversation.never_greeted:
            words = conversation.ending().words
            for watcher in self._door_watchers:
                with _guarded():
                    watcher.on_failed_handshake(addresses.normal(conversation.address), words)

    def on_unknown_version(
        self, conversation: Conversation, version: int, calling_ae: str, called_ae: str
    ) -> None:
        """Tell of a caller whom pynetdicom is about to reject for its protocol version."""
        address = addresses.normal(conversation.address)
        request = AssociationRequest(calling_ae, called_ae, address, 0, id=self._new_id())
        self._tell(conversation, request, unknown_version(version))

    def _requested(self, event: evt.Event, conversation: Conversation) -> None:
        """Admit or reject; pynetdicom goes on to negotiate unless rejected."""
        request = AssociationRequest("", "", addresses.normal(conversation.address), 0)
        try:
            request = self._read(event.assoc, conversation)
            request, verdict = self._admit(event.assoc, conversation, request)
        except Exception as fault:  # noqa: BLE001  (pynetdicom would swallow it and let the caller in)
            log.error("admission failed", fault=type(fault).__name__, address=request.address)
            verdict = _broken()
        if isinstance(verdict, Reject):
            self.seats.free(conversation)
            conversation.facts = None
            self._turn_away(event.assoc, conversation, request, verdict)
        elif conversation.facts is not None:
            self._watcher.on_opened(conversation.facts)

    def _read(self, association: Association, conversation: Conversation) -> AssociationRequest:
        asked = association.requestor.primitive
        assert asked is not None  # pynetdicom sets it before this event
        return AssociationRequest(
            asked.calling_ae_title.strip(),
            asked.called_ae_title.strip(),
            addresses.normal(conversation.address),
            0,
            tls_name=conversation.tls_name,
            proposes=self._menu.proposed(association),
            disk=self._disk(),
            id=self._new_id(),
        )

    def _admit(
        self, association: Association, conversation: Conversation, request: AssociationRequest
    ) -> tuple[AssociationRequest, Verdict]:
        """Decide, and take a seat for whom it is accepted; returns the request with its counts."""

        def judge(taken: int, of_caller: int) -> Verdict:
            nonlocal request
            request = replace(request, open_associations=taken, open_of_caller=of_caller)
            return decide(request, self._settings)

        verdict = self.seats.take(conversation, request.calling_ae, judge)
        if not isinstance(verdict, Reject):
            self._menu.restrict(association, permitted(self._settings, request.calling_ae))
            conversation.facts = AssociationFacts(
                request.id,
                request.calling_ae,
                request.called_ae,
                request.address,
                self._clock(),
                request.tls_name,
            )
        return request, verdict

    def _turn_away(
        self,
        association: Association,
        conversation: Conversation,
        request: AssociationRequest,
        verdict: Reject,
    ) -> None:
        self._tell(conversation, request, verdict)
        association.acse.send_reject(int(verdict.result), int(verdict.source), verdict.reason)
        association.is_rejected = True
        association.kill()  # waits until the rejection is out; the connection is closed after that

    def _tell(
        self, conversation: Conversation, request: AssociationRequest, verdict: Reject
    ) -> None:
        log.warning(
            "association rejected",
            association=request.id,
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            address=request.address,
            words=verdict.words,
            fix=verdict.fix,
            result=int(verdict.result),
            source=int(verdict.source),
            reason=verdict.reason,
        )
        self._watcher.on_rejected(request, verdict)
        conversation.rejected = True

    def _accepted(self, event: evt.Event, conversation: Conversation) -> None:
        """Tell what came of the contexts; the answer is on its way already."""
        facts = conversation.facts
        assert facts is not None  # admission comes before negotiation
        with _guarded():
            negotiated = self._menu.outcome(event.assoc, facts.calling_ae)
            words, fix = told(negotiated)
            if words:
                tell = log.info if negotiated.accepted else log.warning
                tell(
                    "contexts refused",
                    association=facts.id,
                    calling_ae=facts.calling_ae,
                    accepted=negotiated.accepted,
                    words=words,
                    fix=fix,
                )
            for watcher in self._door_watchers:
                with _guarded():
                    watcher.on_negotiated(facts, negotiated)

    def _leaves(self, event: Any, conversation: Conversation) -> None:
        """Free the seat before a release is answered: who comes back at once shall find it."""
        if isinstance(event.primitive, (A_RELEASE, A_ABORT, A_P_ABORT)):
            self.seats.free(conversation)


def _broken() -> Reject:
    return Reject(
        Result.TRANSIENT,
        Source.ACSE,
        1,
        "the node could not judge the request",
        "this is a fault of the node: send its log to whoever maintains it",
        Cause.BUG,
    )


@contextlib.contextmanager
def _guarded() -> Iterator[None]:
    try:
        yield
    except Exception as fault:  # noqa: BLE001  (an observer's bug shall not cost an association)
        log.error("watcher failed", fault=type(fault).__name__)
