"""What C-MOVE and C-GET share as services: contexts, the request, its way past pynetdicom.

pynetdicom negotiates for them and reads their requests; sub-operations and responses are the
node's own, straight to the connection (node/requester.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission, Settings
from dicom import identifier
from dicom.errors import CannotUnderstand, NotAuthorised
from dicom.retrieve import Model, is_relational, parse
from dicom.selection import Selection
from node.admission import AssociationFacts, may, table_of
from node.conversation import Conversation
from node.lane import Lane
from node.requester import Asked, Requester
from node.services.serving import serving
from node.services.table import Service

Request = C_MOVE | C_GET


@runtime_checkable
class Retrieval(Service, Protocol):
    """A service whose requests are served on the connection itself."""

    request: type[C_MOVE | C_GET]
    """The kind of request that it serves."""
    response_field: int
    models: Mapping[str, Model]
    """Its information models by SOP Class UID."""
    timeout_s: float
    """How long the requester may take to answer a C-STORE."""

    def serve(self, call: "Call") -> None:
        """Answer one request to the end. Raises PeerGone where nobody hears."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request, and who made it."""

    request: Any
    """As pynetdicom read it: a C_MOVE or C_GET."""
    requester: Requester
    association: Association
    facts: AssociationFacts
    asked: Asked

    def select(
        self, settings: Settings, models: Mapping[str, Model], permission: Permission
    ) -> Selection:
        """Read what it asks for.

        Raises NotAuthorised, BadIdentifier, CannotUnderstand.
        """
        caller, sop_class = self.facts.calling_ae, self.asked.sop_class_uid
        if not may(settings, caller, permission):
            raise NotAuthorised(f'{table_of(caller)} lacks may = ["{permission}"]')
        stream = self.request.Identifier
        if stream is None:
            raise CannotUnderstand("the request has no identifier")
        keys = identifier.read(stream.getvalue(), self.asked.transfer_syntax_uid)
        asked = self.association.requestor.sop_class_extended.get(UID(sop_class), b"")
        return parse(keys, models[sop_class], relational=is_relational(asked))


def contexts_of(models: Mapping[str, Model]) -> list[PresentationContext]:
    """List the contexts of information models, in the transfer syntaxes of identifiers."""
    return [build_context(uid) for uid in models]


def install(services: Sequence[Service], lane: Lane, conversation: Conversation) -> None:
    """Have the retrievals among these services serve what an association asks of them."""
    association = lane.association
    by_request = {one.request: one for one in services if isinstance(one, Retrieval)}
    serve_request = association._serve_request  # noqa: SLF001  (as node/lane.py does)

    def serve(request: Any, context_id: int) -> None:
        service = by_request.get(type(request))
        context = association._accepted_cx.get(context_id)  # noqa: SLF001  (as above)
        models = () if service is None else service.models
        if (
            service is None
            or context is None
            or str(context.abstract_syntax) not in models
            or request.MessageID is None
        ):
            serve_request(request, context_id)
            return
        asked = Asked(
            service.response_field,
            request.MessageID,
            str(context.abstract_syntax),
            context_id,
            str(context.transfer_syntax[0]),
        )
        facts = conversation.facts
        assert facts is not None  # admission comes before any request
        requester = Requester(
            association, lane.exchange, lane.transport, asked, timeout_s=service.timeout_s
        )
        with serving(lane, conversation, requester):
            service.serve(Call(request, requester, association, facts, asked))

    association._serve_request = serve  # type: ignore[assignment,method-assign]  # noqa: SLF001  (as above)
