"""Call other AEs: associate, C-ECHO, and what their answers mean. C-STORE is in store_scu.py."""

import contextlib
import socket
import ssl
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import evt
from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, SOPClassExtendedNegotiation
from pynetdicom.presentation import PresentationContext, build_context, build_role
from pynetdicom.transport import AddressInformation, AssociationSocket

from dicom import status, wire
from dicom.errors import Busy, Refused, Unreachable
from dicom.uid import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

VERIFICATION: Final = "1.2.840.10008.1.1"
MAX_PDU_BYTES: Final = 131_072
NO_OPTIONS: Final[Mapping[str, bytes]] = MappingProxyType({})
_CONNECT_S: Final = 10.0

_TRANSIENT: Final = 2
_REJECTED: Final = (1, _TRANSIENT)
"""Results of an A-ASSOCIATE-RJ (PS3.8 Table 9-21)."""
_REJECTIONS: Final[Mapping[tuple[int | None, int | None], str]] = {
    (1, 1): "no reason given",
    (1, 2): "application context name not supported",
    (1, 3): "calling AE title not recognised: the peer must be told of this node's title",
    (1, 7): "called AE title not recognised: check the peer's title in the config",
    (2, 1): "no reason given by its association layer",
    (2, 2): "protocol version not supported",
    (3, 1): "temporary congestion",
    (3, 2): "its limit of associations is reached",
}
"""PS3.8 Table 9-21, by (source, reason), with the fix where there is one."""


@dataclass(frozen=True, slots=True)
class Encryption:
    """How to call a peer under TLS (PS3.15 B.9 to B.13)."""

    context: ssl.SSLContext
    server_name: str
    """The name that the peer's certificate must carry."""


class _Connection(AssociationSocket):
    """A socket that is closed even where it never was connected, and says why that was."""

    fault: BaseException | None = None

    def _shutdown_socket(self) -> None:
        connection, self.fault = self.socket, sys.exception() or self.fault
        super()._shutdown_socket()
        if connection is not None:
            connection.close()


class _Entity(ApplicationEntity):
    connection: _Connection | None = None

    def _create_socket(
        self,
        assoc: Association,
        address: AddressInformation,
        tls_args: tuple[ssl.SSLContext, str] | None,
    ) -> AssociationSocket:
        self.connection = _Connection(assoc, address=address)
        self.connection.tls_args = tls_args
        return self.connection


class Rejected(Refused):
    """The peer takes no association from us, whatever is to be sent."""


class NothingAccepted(Refused):
    """The peer took the association, but none of the proposed presentation contexts."""


@contextlib.contextmanager
def associate(
    host: str,
    port: int,
    *,
    called_ae: str,
    calling_ae: str,
    contexts: Sequence[PresentationContext],
    timeout_s: float = 30.0,
    tls: Encryption | None = None,
    provides: Sequence[str] = (),
    handlers: Sequence[evt.EventHandlerType] = (),
    options: Mapping[str, bytes] = NO_OPTIONS,
) -> Iterator[Association]:
    """Open an association, and release it when the block ends (abort it when it ends badly).

    `provides` names SOP classes of which we, the caller, are the SCP (PS3.7 D.3.3.4), `handlers`
    what answers the peer's own requests, `options` what is asked for by extended negotiation, by
    SOP class (PS3.7 D.3.3.5).
    `timeout_s` bounds every wait for the peer. Raises Unreachable when nobody answers or the
    peer aborts, Busy when it rejects for the moment, Rejected when it rejects for good or its
    certificate is not to be trusted, NothingAccepted when it wants nothing of what is proposed.
    """
    entity = _Entity(calling_ae)
    entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
    entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    entity.connection_timeout = min(timeout_s, _CONNECT_S)
    entity.acse_timeout = entity.dimse_timeout = timeout_s
    entity.network_timeout = None  # that one ends an association on which we are idle
    entity.requested_contexts = list(contexts)
    where = f"{called_ae}@{host}:{port}"
    connections: list[socket.socket] = []
    try:
        association = entity.associate(
            host, port, ae_title=called_ae, max_pdu=MAX_PDU_BYTES,
            evt_handlers=[(evt.EVT_CONN_OPEN, _prepare, [timeout_s, connections]), *handlers],
            ext_neg=[build_role(each, scp_role=True) for each in provides] + _wishes(options),
            tls_args=None if tls is None else (tls.context, tls.server_name),
        )  # fmt: skip
    except OSError as fault:  # the name is not known
        raise Unreachable(f"{where}: {fault.strerror or 'no such host'}") from fault
    if not association.is_established:
        _end(association, connections)
        if not connections:
            raise _not_connected(entity.connection, where)
        raise _not_established(association, where)
    try:
        yield association
    except BaseException:
        association.abort()
        raise
    if association.is_established:
        association.release()


def _wishes(options: Mapping[str, bytes]) -> list[Any]:
    items = []
    for sop_class_uid, asked in options.items():
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = UID(sop_class_uid)
        item.service_class_application_information = asked
        items.append(item)
    return items


def _prepare(event: evt.Event, timeout_s: float, connections: list[socket.socket]) -> None:
    wrapper = event.assoc.dul.socket
    if wrapper is not None and wrapper.socket is not None:
        wire.prepare(wrapper.socket, timeout_s)
        connections.append(wrapper.socket)


def _end(association: Association, connections: Sequence[socket.socket]) -> None:
    """Close what pynetdicom leaves open when an association does not come about."""
    association.dul.kill_dul()
    association.dul.join(_CONNECT_S)
    for connection in connections:
        connection.close()


def _not_connected(connection: _Connection | None, where: str) -> Unreachable | Rejected:
    fault = connection.fault if connection is not None else None
    if isinstance(fault, ssl.SSLCertVerificationError):
        return Rejected(
            f"{where}: its certificate is not trusted ({fault.verify_message}): see `tls` of the"
            " peer in the config, or have the certificate mended; nothing was sent"
        )
    if isinstance(fault, ssl.SSLError):
        return Unreachable(f"{where} answers, but TLS fails ({fault.reason or 'no reason given'})")
    return Unreachable(f"nobody answers at {where}")


def _not_established(association: Association, where: str) -> Busy | Refused | Unreachable:
    answer = _answer(association)
    if association.rejected_contexts:
        classes = sorted({str(one.abstract_syntax) for one in association.rejected_contexts})
        named = ", ".join(classes[:3]) + (", ..." if len(classes) > 3 else "")
        return NothingAccepted(f"{where} accepts nothing of what is proposed: SOP class {named}")
    if answer is not None and answer.result in _REJECTED:
        words = _REJECTIONS.get((answer.result_source, answer.diagnostic), "reason unknown")
        kind = Busy if answer.result == _TRANSIENT else Rejected
        return kind(f"{where} rejected the association: {words}")
    return Unreachable(f"{where} aborted, or did not answer, while the association was opened")


def _answer(association: Association) -> A_ASSOCIATE | None:
    """Give what the peer answered to the request, read or not.

    One that rejects and closes at once may have done both before pynetdicom looks whether it is
    connected, which then takes the connection for one that never was.
    """
    unread = association.dul.to_user_queue
    answer = association.acceptor.primitive
    while answer is None and not unread.empty():
        primitive = unread.get_nowait()
        answer = primitive if isinstance(primitive, A_ASSOCIATE) else None
    return answer


def echo(association: Association) -> None:
    """Send C-ECHO (PS3.7 9.1.5). Raises Unreachable, or Refused with the status."""
    if not any(one.abstract_syntax == VERIFICATION for one in association.accepted_contexts):
        raise Refused("the peer does not offer Verification (C-ECHO)")
    code = association.send_c_echo().get("Status")
    if code is None:
        raise Unreachable("the association ended before C-ECHO was answered")
    if code != status.SUCCESS:
        raise Refused(f"C-ECHO was answered 0x{code:04X}")


def proposing(sop_class_uid: str) -> list[PresentationContext]:
    """List the contexts for one SOP class whose messages are encoded anew each time."""
    return [build_context(sop_class_uid)]


def find(association: Association, identifier: Dataset, model: str) -> Iterator[Dataset]:
    """Send C-FIND and yield each match (PS3.4 C.4.1).

    Raises Unreachable when the association ends, Refused with the peer's status and comment.
    """
    for answer, match in association.send_c_find(identifier, model):
        code = answer.get("Status")
        if code is None:
            raise Unreachable("the peer broke off in the middle of its answer")
        if match is not None:
            yield match
        elif code != status.SUCCESS:
            comment = str(answer.get("ErrorComment", "") or "no comment")
            raise Refused(f"C-FIND was answered 0x{code:04X}: {comment}")


def verification() -> list[PresentationContext]:
    """List the contexts for C-ECHO."""
    return [build_context(VERIFICATION)]
