"""Listen for associations, see each through to its end, and tell in one line how it went.

Each connection has an association of pynetdicom's, with a lane (node/lane.py) in the place of
its look at the socket.
"""

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog
from pynetdicom import evt
from pynetdicom.association import Association

from config.model import Settings
from node.admission import AssociationFacts
from node.advice import IDLE, STOPPED
from node.conversation import AssociationWatcher, Conversation, Ending, Outcome, Watchers
from node.doors import Doors
from node.lane import Lane, install
from node.negotiation import DoorWatcher, Menu
from node.reception import Reception
from node.services import questioning, retrieval
from node.services.store import StoreService
from node.services.table import Handler, Service
from node.tls import Credentials
from node.transport import Transport
from node.watermarks import DiskState

SILENT_CONNECTIONS: Final = 256
"""Connections allowed beside the associations: they cost two threads each until ARTIM."""
SILENT_OF_ONE_ADDRESS: Final = 64
"""Those of one address, so that one host alone cannot take the door from all others. A gateway
that opens many associations at once is silent for milliseconds."""
GRACE_S: Final = 2.0
"""How long an association that was cut off may take to unwind."""
_STUCK: Final = "its thread did not come back; the spool's disk may hang"

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
        door_watchers: Sequence[DoorWatcher] = (),
        disk: Callable[[], DiskState] = lambda: DiskState.OK,
        clock: Callable[[], float] = time.time,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        self.settings = settings
        self.store = store
        self.watcher = Watchers(watchers)
        self._services = tuple(services)
        self._menu = Menu(store.contexts(), self._services)
        self._reception = Reception(
            settings, self._menu, self.watcher, door_watchers,
            disk=disk, clock=clock, new_id=new_id,
        )  # fmt: skip
        self._connections: dict[Conversation, Lane] = {}
        self._lock = threading.Lock()
        self._empty = threading.Condition(self._lock)
        self._doors: Doors | None = None

    @property
    def port(self) -> int | None:
        """The TCP port without TLS, if one is open: as in the config file, a free one for 0."""
        if self._doors is not None:
            return self._doors.port
        return self.settings.node.port if self.settings.node.plain else None

    @property
    def tls_port(self) -> int | None:
        """The TCP port under TLS, if one is open."""
        if self._doors is not None:
            return self._doors.tls_port
        return self.settings.tls.port if self.settings.tls else None

    @property
    def credentials(self) -> Credentials | None:
        """The certificate of the TLS port, once it is open."""
        return self._doors.credentials if self._doors else None

    @property
    def open_associations(self) -> int:
        """How many associations are open at this moment."""
        return self._reception.seats.taken

    @property
    def is_alive(self) -> bool:
        """Whether the door still accepts connections."""
        return self._doors is not None and self._doors.are_open

    def start(self) -> None:
        """Bind the ports and accept.

        Raises ConfigFault when an address cannot be had or a certificate cannot be used.
        """
        self._doors = Doors(self, self.settings, self._menu.contexts, self._handlers())
        self._doors.start()
        node = self.settings.node
        log.info(
            "listening",
            ae_title=node.ae_title,
            host=node.host,
            port=self.port,
            tls_port=self.tls_port,
        )

    def stop(self, drain_s: float) -> None:
        """Accept no more, let associations end for `drain_s` seconds, then abort the rest."""
        if self._doors is None:
            return
        self._doors.stop()
        deadline_s = time.monotonic() + drain_s
        with self._empty:
            # A connection without an association has nothing to finish.
            self._empty.wait_for(lambda: not self._count_open(), max(0.0, drain_s))
            left = dict(self._connections)
        for conversation, lane in left.items():
            conversation.end(Outcome.ABORTED, STOPPED)
            lane.cut()
        with self._empty:
            grace_s = max(GRACE_S, deadline_s - time.monotonic())
            self._empty.wait_for(lambda: not self._connections, grace_s)
            if self._connections:
                log.error("associations left behind", count=len(self._connections))

    # -- one connection

    def refusal(self, address: str) -> str:
        """Say why no connection may be made from an address; "" when one may."""
        most = self.settings.node.max_associations + SILENT_CONNECTIONS
        with self._lock:
            if len(self._connections) >= most:
                return "too many connections"
            silent = sum(
                1 for one in self._connections if one.facts is None and one.address == address
            )
        if silent >= SILENT_OF_ONE_ADDRESS:
            return "too many connections of this address that ask for no association"
        return ""

    def attend(self, association: Association, transport: Transport, address: str) -> None:
        """Give a fresh connection its lane, start its threads, and see it through to its end.

        Raises RuntimeError when there is no thread for it; closing it is then the caller's.
        """
        conversation = Conversation(address)
        node = self.settings.node
        lane = Lane(
            association,
            transport,
            conversation,
            self.store,
            self.watcher,
            max_pdu_bytes=node.max_pdu_bytes,
            timeout_s=node.idle_timeout_s,
            on_unknown_version=partial(self._reception.on_unknown_version, conversation),
        )
        install(lane, association)
        retrieval.install(self._services, lane, conversation)
        questioning.install(self._services, lane, conversation)
        self._reception.attend(association, conversation)
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
        try:
            association.start()
        except RuntimeError:
            self._forget(conversation)
            raise

    def _released(self, event: evt.Event, conversation: Conversation) -> None:
        del event
        conversation.end(Outcome.RELEASED)

    def _aborted(self, event: evt.Event, conversation: Conversation) -> None:
        # The lane has noted the causes that come from the socket; what is left is our own timer.
        idle = event.assoc.dul.idle_timer_expired()
        words = f"{IDLE} {self.settings.node.idle_timeout_s:g} s" if idle else "aborted"
        conversation.end(Outcome.ABORTED, words)

    def _closed(self, association: Association, conversation: Conversation, lane: Lane) -> None:
        association.dul.kill_dul()
        if association.dul.is_alive():
            lane.cut()
            association.dul.join(GRACE_S)
        if not lane.close():  # it closes itself as soon as its thread comes back
            log.error("connection left behind", address=conversation.address, words=_STUCK)
        self._reception.see_off(conversation)
        ending = conversation.ending()
        if conversation.facts is not None:
            _tell(conversation.facts, ending)
            self.watcher.on_closed(conversation.facts, ending)
        elif not conversation.rejected:
            log.info("no association asked for", address=conversation.address, words=ending.words)
        self._forget(conversation)

    def _forget(self, conversation: Conversation) -> None:
        with self._empty:
            self._connections.pop(conversation, None)
            self._empty.notify_all()

    def _count_open(self) -> int:
        return sum(1 for one in self._connections if one.facts is not None)

    def _handlers(self) -> list[Handler]:
        return [row for service in self._services for row in service.handlers()]


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
