"""Negotiate presentation contexts: what is proposed, what a caller may have, what was refused.

pynetdicom negotiates against every context that the node knows, shared by all associations and
never copied. Just before it answers, contexts of services that the caller may not use are turned
into a user rejection (PS3.8 9.3.3.2, result 1), so that the peer knows before its first request.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from config.model import Permission
from dicom import uid
from dicom.context import TRANSFER_SYNTAXES
from dicom.transcode import EXPLICIT_LITTLE, IMPLICIT_LITTLE
from node.admission import AssociationFacts, table_of
from node.services.table import Service

USER_REJECTION: Final = 1
NO_SUCH_CLASS: Final = 3
NO_SUCH_SYNTAX: Final = 4


class Refusal(StrEnum):
    """Why a context was refused: a label of the metrics, so the set is fixed."""

    NOT_PERMITTED = "not permitted"
    UNKNOWN_CLASS = "SOP class not supported"
    UNKNOWN_SYNTAX = "no transfer syntax in common"
    OTHER = "other"


_REFUSALS: Final[Mapping[int, Refusal]] = {
    USER_REJECTION: Refusal.NOT_PERMITTED,
    NO_SUCH_CLASS: Refusal.UNKNOWN_CLASS,
    NO_SUCH_SYNTAX: Refusal.UNKNOWN_SYNTAX,
}


@dataclass(frozen=True, slots=True)
class RefusedContext:
    """A presentation context that the caller did not get."""

    abstract_syntax: str
    why: Refusal
    fix: str


@dataclass(frozen=True, slots=True)
class Negotiated:
    """What came of the contexts that a caller proposed."""

    accepted: int
    refused: tuple[RefusedContext, ...]


class DoorWatcher(Protocol):
    """Whoever wants to know more of the door than AssociationWatcher tells; called likewise."""

    def on_negotiated(self, association: AssociationFacts, negotiated: Negotiated) -> None:
        """Note the contexts of an accepted association."""

    def on_failed_handshake(self, address: str, words: str) -> None:
        """Note a caller with whom no TLS came about."""


class Menu:
    """What the node serves, and the permission that each abstract syntax takes."""

    def __init__(self, storage: Iterable[PresentationContext], services: Sequence[Service]) -> None:
        self._permissions: dict[str, Permission] = {}
        self.contexts: list[PresentationContext] = list(storage)
        retrieves = any(service.permission == "get" for service in services)
        for context in self.contexts:
            self._permissions[str(context.abstract_syntax)] = "store"
            if retrieves:  # a caller may take the role of SCP, to receive by C-GET
                context.scu_role = context.scp_role = True
        for service in services:
            for context in service.contexts():
                self.contexts.append(context)
                if service.permission is not None:
                    self._permissions[str(context.abstract_syntax)] = service.permission

    def proposed(self, association: Association) -> frozenset[Permission]:
        """List the permissions that a caller's contexts ask for.

        Storage that it proposes only to receive, for C-GET (PS3.4 C.5.3), is none.
        """
        asked = association.requestor
        assert asked.primitive is not None  # a request was read
        roles = asked.role_selection
        wanted: set[Permission] = set()
        for context in asked.primitive.presentation_context_definition_list:
            permission = self._permissions.get(str(context.abstract_syntax))
            role = roles.get(context.abstract_syntax)  # type: ignore[arg-type]  # they say None
            receives = role is not None and role.scp_role and not role.scu_role
            if permission is not None and not (permission == "store" and receives):
                wanted.add(permission)
        return frozenset(wanted)

    def restrict(self, association: Association, permitted: frozenset[Permission]) -> None:
        """Refuse what is not permitted when this association is negotiated."""
        acse = association.acse
        send_accept = acse.send_accept

        def send_what_is_permitted() -> None:
            self._agree_on_roles(association, permitted)
            self._turn_down(association, permitted)
            self._take_the_first(association)
            send_accept()

        acse.send_accept = send_what_is_permitted  # type: ignore[method-assign]  # the last moment

    def outcome(self, association: Association, calling_ae: str) -> Negotiated:
        """Say what came of the negotiation."""
        refused = (self._refused(one, calling_ae) for one in association.rejected_contexts)
        return Negotiated(len(association.accepted_contexts), tuple(refused))

    def _turn_down(self, association: Association, permitted: frozenset[Permission]) -> None:
        accepted = association._accepted_cx  # noqa: SLF001  (its public list is a copy)
        for number, context in list(accepted.items()):
            permission = self._permissions.get(str(context.abstract_syntax))
            if permission == "store":
                refused = not (context.as_scp or context.as_scu)
            else:
                refused = permission is not None and permission not in permitted
            if refused:
                context.result = USER_REJECTION  # made for this association, as answers are
                association.rejected_contexts.append(accepted.pop(number))

    def _agree_on_roles(self, association: Association, permitted: frozenset[Permission]) -> None:
        """Leave of the roles in storage contexts those that the caller may have (PS3.7 D.3.3.4).

        It sends with "store", and receives with "get".
        """
        stores, gets = "store" in permitted, "get" in permitted
        for context in association._accepted_cx.values():  # noqa: SLF001  (as below)
            if self._permissions.get(str(context.abstract_syntax)) == "store":
                context._as_scp = bool(context.as_scp) and stores  # noqa: SLF001  (no public way)
                context._as_scu = bool(context.as_scu) and gets  # noqa: SLF001  (as above)
        for item in association.acceptor.role_selection.values():
            if self._permissions.get(str(item.sop_class_uid)) != "store":
                continue
            as_scu, as_scp = bool(item.scu_role) and stores, bool(item.scp_role) and gets
            item.scu_role, item.scp_role = as_scu, as_scp
            if not (as_scu or as_scp):  # its contexts are refused, and an item of no role is none
                association.acceptor.remove_negotiation_item(item)

    def _take_the_first(self, association: Association) -> None:
        """For storage, accept the first transfer syntax of a context that the node knows.

        pynetdicom takes the first of ours, Implicit VR, and has a sender decompress what it
        could send as it is. Nothing here is decoded, so the sender's own order stands. In a
        context to receive in, what every object can be given in comes first.
        """
        assert association.requestor.primitive is not None  # a request was read
        accepted = association._accepted_cx  # noqa: SLF001  (as above)
        for proposed in association.requestor.primitive.presentation_context_definition_list:
            context = accepted.get(proposed.context_id or 0)
            if context is None or self._permissions.get(str(context.abstract_syntax)) != "store":
                continue
            for first in _wanted(proposed, receives=not context.as_scp):
                if first in TRANSFER_SYNTAXES:
                    context.transfer_syntax = [first]
                    break

    def _refused(self, context: PresentationContext, calling_ae: str) -> RefusedContext:
        named = str(context.abstract_syntax)
        shown = uid.told(named)
        why = _REFUSALS.get(context.result or 0, Refusal.OTHER)
        return RefusedContext(shown, why, self._fix(shown, why, calling_ae))

    def _fix(self, abstract_syntax: str, why: Refusal, calling_ae: str) -> str:
        permission = self._permissions.get(abstract_syntax)
        if why is Refusal.NOT_PERMITTED and permission is not None:
            return f'add "{permission}" to {table_of(calling_ae)} may'
        if why is Refusal.UNKNOWN_CLASS:
            return (
                f"if it is a vendor's storage class, add {abstract_syntax} to [node]"
                " private_sop_classes; otherwise the node has no such service"
            )
        return "let the caller propose Implicit VR Little Endian too, as PS3.5 10.1 asks"


def _wanted(proposed: PresentationContext, *, receives: bool) -> list[str]:
    """Order the transfer syntaxes of a context as they are wanted.

    A requester of C-GET that proposes several in one context says that any of them will do; only
    those without compression do for every object, for nothing is ever compressed here.
    """
    offered = [str(one) for one in proposed.transfer_syntax]
    first = [one for one in (EXPLICIT_LITTLE, IMPLICIT_LITTLE) if receives and one in offered]
    return [*first, *offered]


def told(negotiated: Negotiated) -> tuple[str, str]:
    """Say the refusals in words with the fix, each kind once; "" and "" where there are none."""
    if not negotiated.refused:
        return "", ""
    kinds: dict[Refusal, list[RefusedContext]] = {}
    for one in negotiated.refused:
        kinds.setdefault(one.why, []).append(one)
    parts = [f"{len(all_)} {why} ({_some(all_)})" for why, all_ in kinds.items()]
    total = negotiated.accepted + len(negotiated.refused)
    words = f"{len(negotiated.refused)} of {total} contexts refused: {', '.join(parts)}"
    return words, "; ".join(dict.fromkeys(all_[0].fix for all_ in kinds.values()))


def _some(refused: Sequence[RefusedContext]) -> str:
    names = list(dict.fromkeys(one.abstract_syntax for one in refused))
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
