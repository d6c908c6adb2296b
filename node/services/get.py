"""C-GET: send what is asked for back over the association that asked (PS3.4 C.4.3)."""

from collections.abc import Sequence

from pynetdicom.dimse_primitives import C_GET, C_MOVE
from pynetdicom.presentation import PresentationContext

from config.model import Permission, Settings
from dicom.message import C_GET_RSP
from dicom.retrieve import GET_MODELS
from node.retrieving import Retrieved, Retrieving
from node.services.retrieval import Call, contexts_of
from node.services.table import Handler


class GetService:
    """Answers C-GET. One object serves every association."""

    permission: Permission | None = "get"
    request: type[C_MOVE | C_GET] = C_GET
    response_field = C_GET_RSP
    models = GET_MODELS

    def __init__(self, settings: Settings, retrieving: Retrieving) -> None:
        self._settings = settings
        self._retrieving = retrieving
        self.timeout_s = settings.retrieve.timeout_s

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept every information model in the uncompressed transfer syntaxes."""
        return contexts_of(GET_MODELS)

    def handlers(self) -> Sequence[Handler]:
        """Bind nothing: `serve` is called on the connection."""
        return []

    def serve(self, call: Call) -> None:
        """Answer one request to the end. Raises PeerGone where nobody hears."""
        model = GET_MODELS[call.asked.sop_class_uid].name
        account = Retrieved("get", call.facts.calling_ae, call.facts.id, model)
        self._retrieving.serve(
            call.requester,
            account,
            lambda: call.select(self._settings, GET_MODELS, "get"),
            lambda _found: call.requester,
        )
