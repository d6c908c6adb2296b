"""Listen for associations, admit or reject each, and tell in one line how it went.

Each connection has an association of pynetdicom's, with a lane (node/lane.py) in the place of
its look at the socket.
"""

import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from config.model import Settings
from dicom.errors import ConfigFault
from node.acceptor import Acceptor
from node.admission import AssociationFacts, AssociationRequest, Reject, Result, Source, decide
from node.conversation import AssociationWatcher, Conversation, Ending, Outcome, Watchers
from node.lane import Lane, install
from node.services.store import StoreService
from node.services.table import Handler, Service

SILENT_CONNECTIONS: Final = 256
"""Connections allowed beside the associations: they cost two threads each until ARTIM."""
POLL_S: Final = 0.1
GRACE_S: Final = 2.0
"""How long an association that was cut off may take to unwind."""

log = structlog.get_logger()


class Listener:
    """The node's DICOM door."""

    def __init__(
        self,
        settings: Settings,
        store: StoreService,
        services: Sequence[Service] = (),
        watchers: Sequence[AssociationWatcher] = (),
        *,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.settings = settings
        self.store = store
        self.watcher = Watchers(watchers)
        self._services = tuple(services)
        self._clock = clock
        self._new_id = new_id
        self._connections: dict[Conversation, Lane] = {}
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._acceptor: Acceptor | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The TCP port: the one from the config file, or a free one where that is 0."""
        if self._acceptor is None:
            return self.settings.node.port
        return self._acceptor.port

    @property
    def open_associations(self) -> int:
        """How many associations are open at this moment."""
        with self._lock:
            return self._count_open()

    @property
    def is_alive(self) -> bool:
        """Whether the door still accepts connections."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Bind the port and accept. Raises ConfigFault when the address cannot be had."""
        node = self.settings.node
        try:
            self._acceptor = Acceptor(self, node, self._contexts(), self._handlers())
        except OSError as fault:
            raise ConfigFault(
                [("node.port", f"cannot listen on {node.host}:{node.port}: {fault.strerror}")]
            ) from fault
        self._thread = threading.Thread(
            target=self._acceptor.serve_forever, args=(POLL_S,), name="listener", daemon=True
        )
        self._thread.start()
        log.info("listening", ae_title=node.ae_title, host=node.host, port=self.port)

    def stop(self, drain_s: float) -> None:
        """Accept no more, let associations end for `drain_s` seconds, then abort the rest."""
        if self._acceptor is None:
            return
        self._acceptor.shutdown()
        deadline_s = time.monotonic() + drain_s
        with self._empty:
            # A connection without an association has nothing to finish.
            self._empty.wait_for(lambda: not self._count_open(), max(0.0, drain_s))
            left = dict(self._connections)
        for conversation, lane in left.items():
            conversation.end(Outcome.ABORTED, "the node stopped")
            lane.cut()
        with self._empty:
            grace_s = max(GRACE_S, deadline_s - time.monotonic())
            self._empty.wait_for(lambda: not self._connections, grace_s)
            if self._connections:
                log.error("associations left behind", count=len(self._connections))

    # -- one connection

    def has_room(self) -> bool:
        """Whether one more connection may be made, with or without an association."""
        with self._lock:
            return len(self._connections) < self.settings.node.max_associations + SILENT_CONNECTIONS

    def attend(self, association: Association, connection: socket.socket, address: str) -> None:
        """Give a fresh connection its lane, and see it through to its end."""
        conversation = Conversation(address)
        node = self.settings.node
        lane = Lane(
            association,
            connection,
            conversation,
            self.store,
            self.watcher,
            max_pdu_bytes=node.max_pdu_bytes,
            timeout_s=node.idle_timeout_s,
        )
        install(lane, association)
        association.bind(evt.EVT_REQUESTED, self._requested, [conversation])
        association.bind(evt.EVT_RELEASED, self._released, [conversation])
        association.bind(evt.EVT_ABORTED, self._aborted, [conversation])
        association.bind(evt.EVT_DIMSE_SENT, _still_busy)
        run = association.run

        def run_to_the_end() -> None:
            try:
                run()
            finally:
                self._closed(association, conversation, lane)

        association.run = run_to_the_end  # type: ignore[method-assign]  # the end is certain here
        with self._lock:
            self._connections[conversation] = lane

    def _requested(self, event: evt.Event, conversation: Conversation) -> None:
        """Admit or reject; pynetdicom goes on to negotiate unless rejected."""
        try:
            self._admit(event.assoc, conversation)
        except Exception as fault:  # noqa: BLE001  (pynetdicom would swallow it and let the caller in)
            log.error("admission failed", fault=type(fault).__name__, address=conversation.address)
            _reject(event.assoc, conversation, Result.TRANSIENT, Source.ACSE, 1)

    def _admit(self, association: Association, conversation: Conversation) -> None:
        asked = association.requestor.primitive
        assert asked is not None  # pynetdicom sets it before this event
        with self._lock:
            request = AssociationRequest(
                asked.calling_ae_title.strip(),
                asked.called_ae_title.strip(),
                conversation.address,
                self._count_open(),
            )
            verdict = decide(request, self.settings)
            if not isinstance(verdict, Reject):
                conversation.facts = AssociationFacts(
                    self._new_id(),
                    request.calling_ae,
                    request.called_ae,
                    request.address,
                    self._clock(),
                )
        if isinstance(verdict, Reject):
            self._turn_away(association, conversation, request, verdict)
            return
        assert conversation.facts is not None  # set above
        self.watcher.on_opened(conversation.facts)

    def _turn_away(
        self,
        association: Association,
        conversation: Conversation,
        request: AssociationRequest,
        verdict: Reject,
    ) -> None:
        log.warning(
            "association rejected",
            calling_ae=request.calling_ae,
            called_ae=request.called_ae,
            address=request.address,
            words=verdict.words,
            fix=verdict.fix,
            result=int(verdict.result),
            source=int(verdict.source),
            reason=verdict.reason,
        )
        self.watcher.on_rejected(request, verdict)
        _reject(association, conversation, verdict.result, verdict.source, verdict.reason)

    def _released(self, event: evt.Event, conversation: Conversation) -> None:
        del event
        conversation.end(Outcome.RELEASED)

    def _aborted(self, event: evt.Event, conversation: Conversation) -> None:
        # The lane has noted the causes that come from the socket; what is left is our own timer.
        idle = event.assoc.dul.idle_timer_expired()
        words = f"idle for {self.settings.node.idle_timeout_s:g} s" if idle else "aborted"
        conversation.end(Outcome.ABORTED, words)

    def _closed(self, association: Association, conversation: Conversation, lane: Lane) -> None:
        association.dul.kill_dul()
        if association.dul.is_alive():
            lane.cut()
            association.dul.join(GRACE_S)
        lane.close()
        ending = conversation.ending()
        if conversation.facts is not None:
            _tell(conversation.facts, ending)
            self.watcher.on_closed(conversation.facts, ending)
        elif not conversation.rejected:
            log.info("no association asked for", address=conversation.address, words=ending.words)
        with self._empty:
            self._connections.pop(conversation, None)
            self._empty.notify_all()

    def _count_open(self) -> int:
        return sum(1 for one in self._connections if one.facts is not None)

    def _contexts(self) -> list[PresentationContext]:
        services = (context for service in self._services for context in service.contexts())
        return [*self.store.contexts(), *services]

    def _handlers(self) -> list[Handler]:
        return [row for service in self._services for row in service.handlers()]


def _reject(
    association: Association,
    conversation: Conversation,
    result: Result,
    source: Source,
    reason: int,
) -> None:
    conversation.rejected = True
    association.acse.send_reject(int(result), int(source), reason)
    association.is_rejected = True
    association.kill()  # waits until the rejection is out; the connection is closed after that


def _still_busy(event: evt.Event) -> None:
    """Restart the idle timer, or pynetdicom aborts after an answer that took long."""
    event.assoc.dul._idle_timer.restart()  # noqa: SLF001  (no public way)


def _tell(facts: AssociationFacts, ending: Ending) -> None:
    log.info(
        "association",
        association=facts.id,
        calling_ae=facts.calling_ae,
        called_ae=facts.called_ae,
        address=facts.address,
        outcome=str(ending.outcome),
        words=ending.words,
        objects={f"0x{code:04X}": count for code, count in sorted(ending.statuses.items())},
        size_bytes=ending.size_bytes,
        seconds=round(ending.seconds, 3),
    )
