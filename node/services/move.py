"""C-MOVE: send what is asked for to a peer of the config file (PS3.4 C.4.2)."""

from collections.abc import Sequence

from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.presentation import PresentationContext

from config.model import Peer, Permission, Settings
from dicom.errors import MoveDestinationUnknown
from dicom.message import C_MOVE_RSP, Behalf
from dicom.retrieve import MOVE_MODELS
from dicom.selection import Selection, Stored
from dicom.store_scu import StoreScu
from node.admission import table_of
from node.retrieving import Outlet, Retrieved, Retrieving, pairs
from node.services.retrieval import Call, contexts_of
from node.services.table import Handler
from storage.destinations.dicom import remote_ae


class MoveService:
    """Answers C-MOVE. One object serves every association."""

    permission: Permission | None = "move"
    request: type[C_MOVE | C_GET] = C_MOVE
    response_field = C_MOVE_RSP
    models = MOVE_MODELS

    def __init__(self, settings: Settings, retrieving: Retrieving) -> None:
        self._settings = settings
        self._retrieving = retrieving
        self.timeout_s = settings.retrieve.timeout_s

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept every information model in the uncompressed transfer syntaxes."""
        return contexts_of(MOVE_MODELS)

    def handlers(self) -> Sequence[Handler]:
        """Bind nothing: `serve` is called on the connection."""
        return []

    def serve(self, call: Call) -> None:
        """Answer one request to the end. Raises PeerGone where nobody hears."""
        caller = call.facts.calling_ae
        title = str(call.request.MoveDestination or "").strip()
        known = title if title in self._settings.peers else ""
        account = Retrieved(
            "move", caller, call.facts.id, MOVE_MODELS[call.asked.sop_class_uid].name, known
        )

        def select() -> Selection:
            which = call.select(self._settings, MOVE_MODELS, "move")
            destination(self._settings, caller, title)
            return which

        def outlet(found: Sequence[Stored]) -> Outlet:
            peer = destination(self._settings, caller, title)
            own = self._settings.node.ae_title
            behalf = Behalf(call.request.Priority or 0, caller, call.request.MessageID)
            scu = StoreScu(remote_ae(title, peer, own, self.timeout_s), behalf)
            scu.propose(pairs(found))
            return scu

        self._retrieving.serve(call.requester, account, select, outlet)


def destination(settings: Settings, calling_ae: str, title: str) -> Peer:
    """Find the peer that a C-MOVE names.

    Raises MoveDestinationUnknown where there is none of this title with host and port, and where
    it is neither the caller itself nor in the caller's `move_to`.
    """
    peer = settings.peers.get(title)
    if peer is None:
        raise MoveDestinationUnknown("the move destination is not among the [peers]")
    if peer.host is None or peer.port is None:
        raise MoveDestinationUnknown(f"{table_of(title)} has no host and port")
    if title != calling_ae and title not in settings.peers[calling_ae].move_to:
        raise MoveDestinationUnknown(f"{table_of(calling_ae)} move_to lacks {title}")
    return peer
