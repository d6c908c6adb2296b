"""pynetdicom's server, set up as the listener needs it: one lane per connection, no copies.

The process-wide switches of pynetdicom are set here and nowhere else in the front.
"""

import logging
import socket
import time
import warnings
from collections.abc import Sequence
from socketserver import BaseServer
from typing import Final, Protocol, cast

import structlog
from pynetdicom import _config
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer, RequestHandler

from config.model import Node
from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from node.services.table import Handler
from node.tls import Credentials
from node.transport import Plain, Transport
from node.transport_tls import Secure

ACSE_TIMEOUT_S: Final = 30.0
"""ARTIM (PS3.8 9.1.5): a connection that asks for no association is closed after so long."""
REFUSED_EVERY_S: Final = 10.0
"""One line in so long tells of the connections that were refused, with their number."""

log = structlog.get_logger()


class Attendant(Protocol):
    """Who takes care of connections."""

    def refusal(self, address: str) -> str:
        """Say why no connection may be made from an address; "" when one may."""

    def attend(self, association: Association, transport: Transport, address: str) -> None:
        """Prepare an association and start it. Raises RuntimeError when there is no thread."""


class Acceptor(AssociationServer):
    """Accepts connections; making an association is quick, so it needs no thread for that.

    A TLS handshake is made by the association's own thread, not here.
    """

    request_queue_size = 128
    """Modalities that were waiting for the node all connect at once."""

    def __init__(
        self,
        attendant: Attendant,
        node: Node,
        contexts: Sequence[PresentationContext],
        handlers: Sequence[Handler],
        *,
        port: int,
        credentials: Credentials | None = None,
    ) -> None:
        """Bind a port of [node] host, under TLS where there are credentials."""
        configure_pynetdicom()
        self.attendant = attendant
        self.credentials = credentials
        self._timeout_s = node.idle_timeout_s
        self._refused = Rarely(REFUSED_EVERY_S)
        super().__init__(
            _entity(node),
            (node.host, port),
            node.ae_title,
            _Shared(contexts),
            evt_handlers=list(handlers),
            request_handler=_Connection,
        )

    @property
    def port(self) -> int:
        """The TCP port that it is bound to."""
        return int(self.server_address[1])

    def verify_request(self, request: object, client_address: object) -> bool:
        """Refuse a connection before it costs a thread."""
        del request
        address = str(cast("tuple[str, int]", client_address)[0])
        words = self.attendant.refusal(address)
        if words and (count := self._refused.count(time.monotonic())):
            log.warning("connection refused", address=address, words=words, count=count)
        return not words

    def transport(self, connection: socket.socket) -> Transport:
        """Give a new connection what this port asks of it."""
        if self.credentials is None:
            return Plain(connection, self._timeout_s)
        wrapped = self.credentials.wrap(connection)
        # A little before ARTIM would end it, which has no words for the log.
        greet_s = 0.9 * min(ACSE_TIMEOUT_S, self._timeout_s)
        return Secure(wrapped, self._timeout_s, greet_s, self.credentials.count)

    def handle_error(self, request: object, client_address: object) -> None:
        """Log that a connection could not be taken up, where socketserver would print it."""
        del request
        log.error("connection not taken up", address=str(client_address))

    def shutdown(self) -> None:
        """Stop accepting and give the port back; pynetdicom's own wants a list of servers."""
        BaseServer.shutdown(self)
        self.server_close()


class Rarely:
    """Counts what may come in floods, and says when a line about it is due."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._told_s = float("-inf")
        self._count = 0

    def count(self, now_s: float) -> int:
        """Count one more; returns how many since the last line where one is due, otherwise 0."""
        self._count += 1
        if now_s - self._told_s < self._every_s:
            return 0
        self._told_s, count, self._count = now_s, self._count, 0
        return count


class _Connection(RequestHandler):
    """Starts the association of one connection."""

    server: "Acceptor"

    def handle(self) -> None:
        try:
            transport = self.server.transport(self.request)
        except OSError as fault:  # reset before it was looked at
            self.server.shutdown_request(self.request)
            log.info(
                "connection rejected",
                address=str(self.client_address[0]),
                words=f"the peer was gone at once ({type(fault).__name__})",
            )
            return
        # What pynetdicom's state machine sends goes the same way as what the lane sends.
        self.request = cast("socket.socket", transport)
        try:
            association = self._create_association()
            self.server.attendant.attend(association, transport, str(self.client_address[0]))
        except BaseException:
            transport.close()  # under TLS, socketserver knows only the socket that was wrapped
            raise


class _Shared(list[PresentationContext]):
    """Contexts that every association reads and none changes.

    pynetdicom copies them deeply for each association: 30 ms for 200 contexts.
    """

    def __deepcopy__(self, memo: object) -> "_Shared":
        return self


def _entity(node: Node) -> ApplicationEntity:
    entity = ApplicationEntity(ae_title=node.ae_title)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.maximum_pdu_size = node.max_pdu_bytes
    entity.maximum_associations = 1 << 30  # admission counts; pynetdicom counts the silent too
    entity.acse_timeout = min(ACSE_TIMEOUT_S, node.idle_timeout_s)
    entity.dimse_timeout = node.idle_timeout_s
    entity.network_timeout = node.idle_timeout_s
    return entity


def configure_pynetdicom() -> None:
    """Set pynetdicom's process-wide switches.

    Its log would hold query keys and decoded values, which are a patient's data (P6), and costs
    as much time as the reading; the canonical lines of node/listener.py stand in its place. UIDs
    are not held to PS3.5 9.1, for scanners are not: node/services/store.py judges them.
    """
    # Each distinct UID that meets no standard would stay in a registry of warnings for ever.
    warnings.filterwarnings("ignore", module="pydicom")
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    _config.ENFORCE_UID_CONFORMANCE = False
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
