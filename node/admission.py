"""Decide who may associate and what they may ask for; pure, and in words that name the fix.

Deny by default. Whoever is not who they say hears no more than that their title is not known
here; why stands in our own log.
"""

import json
import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final, get_args

from config import addresses
from config.destinations import DicomDestination
from config.model import Peer, Permission, Settings
from node.watermarks import DiskState

PERMISSIONS: Final[tuple[Permission, ...]] = get_args(Permission)

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What is known when an A-ASSOCIATE-RQ has been read."""

    calling_ae: str
    called_ae: str
    address: str
    open_associations: int
    """Associations open at this moment, this one not counted."""
    open_of_caller: int = 0
    """Those among them of the same calling AE title."""
    tls_name: str | None = None
    """The name in the caller's certificate, which was verified; None without one."""
    proposes: frozenset[Permission] = frozenset()
    """The services that need a permission and for which contexts are proposed."""
    disk: DiskState = DiskState.OK
    id: str = ""
    """The node's own id, which stands in the log and in every list."""


@dataclass(frozen=True, slots=True)
class AssociationFacts:
    """An accepted association."""

    id: str
    """The node's own id; stands in the log beside every object that it brought."""
    calling_ae: str
    called_ae: str
    address: str
    opened_at: float
    """Seconds since the epoch, UTC."""
    tls_name: str | None = None
    """As in the request."""


class Result(IntEnum):
    """Whether it is worth trying again (PS3.8 Table 9-21)."""

    PERMANENT = 1
    TRANSIENT = 2


class Source(IntEnum):
    """Who rejects (PS3.8 Table 9-21)."""

    SERVICE_USER = 1
    ACSE = 2
    PRESENTATION = 3


class Cause(StrEnum):
    """Why an association was rejected: a label of the metrics, so the set is fixed."""

    UNKNOWN_CALLER = "calling AE title unknown"
    WRONG_ADDRESS = "calling address not allowed"
    WRONG_CERTIFICATE = "client certificate not the caller's"
    UNKNOWN_CALLED = "called AE title unknown"
    TOO_MANY = "too many associations"
    TOO_MANY_OF_CALLER = "too many associations of the caller"
    DISK = "disk short of room"
    UNKNOWN_VERSION = "protocol version not supported"
    BUG = "the node failed"


@dataclass(frozen=True, slots=True)
class Reject:
    """The caller may not associate: the answer (PS3.8 9.3.4), why in words, and what mends it."""

    result: Result
    source: Source
    reason: int
    words: str
    fix: str
    cause: Cause


@dataclass(frozen=True, slots=True)
class Accept:
    """The caller may associate."""


Verdict = Accept | Reject


def decide(request: AssociationRequest, settings: Settings) -> Verdict:
    """Accept or reject an association. AE titles are compared without their padding spaces.

    The caller's identity is judged first: a stranger learns nothing of the node's own title, its
    load or its disk.
    """
    for judge in (_identity, _called, _limits, _disk):
        verdict = judge(request, settings)
        if verdict is not None:
            return verdict
    return Accept()


def unknown_version(version: int) -> Reject:
    """Say why a caller's protocol version cannot be served; no other judgement comes first.

    pynetdicom gives this answer before it asks anybody (PS3.8 Table 9-10, AE-6).
    """
    return Reject(
        Result.PERMANENT,
        Source.ACSE,
        2,
        f"protocol version 0x{version:04X} does not include version 1, the only one there is",
        "ask the sender's vendor: bit 0 of the field must be set (PS3.8 9.3.2)",
        Cause.UNKNOWN_VERSION,
    )


def may(settings: Settings, calling_ae: str, permission: Permission) -> bool:
    """Whether a caller may use a service. C-ECHO needs no permission.

    A caller that is no peer (accept_unknown_callers) may store, and nothing else.
    """
    calling = calling_ae.strip()
    peer = settings.peers.get(calling)
    if peer is None:
        return settings.node.accept_unknown_callers and permission == "store"
    return permission in peer.may


def is_asked_to_commit(settings: Settings, calling_ae: str) -> bool:
    """Whether a caller is a peer that the node itself asks for storage commitment."""
    title = calling_ae.strip()
    return title in settings.peers and any(
        isinstance(each, DicomDestination) and each.commit and each.peer == title
        for each in settings.destinations.values()
    )


def permitted(settings: Settings, calling_ae: str) -> frozenset[Permission]:
    """List all services whose presentation contexts a caller may have.

    A peer that the node asks for storage commitment has that one, to bring its answer.
    """
    granted = {each for each in PERMISSIONS if may(settings, calling_ae, each)}
    if is_asked_to_commit(settings, calling_ae):
        granted.add("commit")
    return frozenset(granted)


def table_of(calling_ae: str) -> str:
    """Write a peer's table as the config file does: [peers.CT1], or [peers."CT 1"]."""
    title = calling_ae.strip()
    return f"[peers.{title if _BARE.fullmatch(title) else json.dumps(title)}]"


def _identity(request: AssociationRequest, settings: Settings) -> Reject | None:
    """Judge whether the caller is who its title says, by address and certificate."""
    calling = request.calling_ae.strip()
    peer, table = settings.peers.get(calling), table_of(calling)
    if peer is None:
        return None if settings.node.accept_unknown_callers else _stranger(calling, table)
    if peer.addresses and not addresses.contains(peer.addresses, request.address):
        return _not_recognized(
            Cause.WRONG_ADDRESS,
            f"calling AE title {calling!r} came from {request.address}, where it may not call from",
            f"add {request.address} to {table} addresses, if this is {calling}",
        )
    if peer.tls_name and not _is_named(peer, request.tls_name):
        return _wrong_certificate(calling, table, peer, request.tls_name)
    return None


def _stranger(calling: str, table: str) -> Reject:
    return _not_recognized(
        Cause.UNKNOWN_CALLER,
        f"calling AE title {calling!r} is not among the peers",
        f'add {table} with may = ["store"] to the config file,'
        " or set accept_unknown_callers = true",
    )


def _wrong_certificate(calling: str, table: str, peer: Peer, shown: str | None) -> Reject:
    wanted = " or ".join(map(repr, peer.tls_name))
    came = "came without a client certificate" if shown is None else f"came as {shown!r}"
    mend = "let it call the TLS port and show its certificate" if shown is None else "give it that"
    return _not_recognized(
        Cause.WRONG_CERTIFICATE,
        f"calling AE title {calling!r} must show a certificate of {wanted}, and {came}",
        f"{mend}, or change {table} tls_name",
    )


def _not_recognized(cause: Cause, words: str, fix: str) -> Reject:
    """Reject with "calling AE title not recognized", whatever the cause: no oracle for others."""
    return Reject(Result.PERMANENT, Source.SERVICE_USER, 3, words, fix, cause)


def _is_named(peer: Peer, shown: str | None) -> bool:
    """Compare names as DNS does, without regard to case; there are no wildcards."""
    return shown is not None and shown.lower() in {name.lower() for name in peer.tls_name}


def _called(request: AssociationRequest, settings: Settings) -> Reject | None:
    called, own = request.called_ae.strip(), settings.node.ae_title
    if called == own:
        return None
    return Reject(
        Result.PERMANENT,
        Source.SERVICE_USER,
        7,
        f"called AE title {called!r} is not {own!r}",
        f"set the called AE title to {own} at {request.calling_ae.strip()},"
        " or [node] ae_title here",
        Cause.UNKNOWN_CALLED,
    )


def _limits(request: AssociationRequest, settings: Settings) -> Reject | None:
    """Reject with "local limit exceeded" where the node or the caller has its fill."""
    calling = request.calling_ae.strip()
    peer = settings.peers.get(calling)
    most = peer.max_associations if peer else None
    if most is not None and request.open_of_caller >= most:
        return _local_limit(
            Cause.TOO_MANY_OF_CALLER,
            f"{request.open_of_caller} associations of {calling} are open, the most it may have",
            f"raise {table_of(calling)} max_associations, or let it use fewer at once",
        )
    if request.open_associations >= settings.node.max_associations:
        return _local_limit(
            Cause.TOO_MANY,
            f"{request.open_associations} associations are open, the most allowed",
            "raise [node] max_associations, or let the sender use fewer at once",
        )
    return None


def _local_limit(cause: Cause, words: str, fix: str) -> Reject:
    return Reject(Result.TRANSIENT, Source.PRESENTATION, 2, words, fix, cause)


def _disk(request: AssociationRequest, settings: Settings) -> Reject | None:
    """Reject who came to store with "temporary congestion"; who only asks is still answered."""
    stores = "store" in request.proposes and may(settings, request.calling_ae, "store")
    if not stores or request.disk < DiskState.REFUSING:
        return None
    return Reject(
        Result.TRANSIENT,
        Source.PRESENTATION,
        1,
        "the spool's disk is short of room, and the association would store",
        "make room on the disk of [node] data_dir, or lower [node] refuse_below_mb",
        Cause.DISK,
    )
