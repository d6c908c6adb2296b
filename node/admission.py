"""Decide who may associate and what they may ask for; pure, and in words that name the fix.

Deny by default. A full disk rejects nobody here: whoever comes to ask must still be answered,
and whoever comes to store hears 0xA700 per object, the status that senders try again after.
"""

from dataclasses import dataclass
from enum import IntEnum

from config.model import Permission, Settings


@dataclass(frozen=True, slots=True)
class AssociationRequest:
    """What is known when an A-ASSOCIATE-RQ has been read."""

    calling_ae: str
    called_ae: str
    address: str
    open_associations: int
    """Associations open at this moment, this one not counted."""


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


class Result(IntEnum):
    """Whether it is worth trying again (PS3.8 Table 9-21)."""

    PERMANENT = 1
    TRANSIENT = 2


class Source(IntEnum):
    """Who rejects (PS3.8 Table 9-21)."""

    SERVICE_USER = 1
    ACSE = 2
    PRESENTATION = 3


@dataclass(frozen=True, slots=True)
class Accept:
    """The caller may associate."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The caller may not associate: the answer (PS3.8 9.3.4), why in words, and what mends it."""

    result: Result
    source: Source
    reason: int
    words: str
    fix: str


Verdict = Accept | Reject


def decide(request: AssociationRequest, settings: Settings) -> Verdict:
    """Accept or reject an association. AE titles are compared without their padding spaces."""
    calling, called = request.calling_ae.strip(), request.called_ae.strip()
    if calling not in settings.peers and not settings.node.accept_unknown_callers:
        return Reject(
            Result.PERMANENT,
            Source.SERVICE_USER,
            3,
            f"calling AE title {calling!r} is not among the peers",
            f'add [peers.{calling}] with may = ["store"] to the config file,'
            " or set accept_unknown_callers = true",
        )
    if called != settings.node.ae_title:
        return Reject(
            Result.PERMANENT,
            Source.SERVICE_USER,
            7,
            f"called AE title {called!r} is not {settings.node.ae_title!r}",
            f"set the called AE title to {settings.node.ae_title} at {calling},"
            " or [node] ae_title here",
        )
    if request.open_associations >= settings.node.max_associations:
        return Reject(
            Result.TRANSIENT,
            Source.PRESENTATION,
            2,
            f"{request.open_associations} associations are open, the most allowed",
            "raise [node] max_associations, or let the sender use fewer at once",
        )
    return Accept()


def may(settings: Settings, calling_ae: str, permission: Permission) -> bool:
    """Whether a caller may use a service. C-ECHO needs no permission.

    A caller that is no peer (accept_unknown_callers) may store, and nothing else.
    """
    calling = calling_ae.strip()
    peer = settings.peers.get(calling)
    if peer is None:
        return settings.node.accept_unknown_callers and permission == "store"
    return permission in peer.may
