"""The way of C-FIND past pynetdicom: it reads the request, the node answers on the connection.

pynetdicom takes 0.7 ms for every match, most of it to make a dataset and encode it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from pydicom.uid import UID
from pynetdicom.dimse_primitives import C_FIND

from dicom.find_answer import Responses
from node.conversation import Conversation
from node.exchange import PYNETDICOM_PAUSE_S
from node.lane import Lane
from node.questioner import Questioner
from node.services.serving import serving
from node.services.table import Service


@dataclass(frozen=True, slots=True)
class Question:
    """One C-FIND request, and who made it."""

    identifier: bytes
    sop_class_uid: str
    transfer_syntax_uid: str
    caller: str
    """The calling AE title."""
    extended: bytes
    """What the association negotiated for the SOP class beyond the baseline (PS3.4 C.5.1.1.1)."""
    questioner: Questioner


@runtime_checkable
class Questioned(Service, Protocol):
    """A service that answers questions on the connection itself."""

    question_models: Collection[str]
    """The SOP Class UIDs of its information models."""

    def serve_question(self, question: Question) -> None:
        """Answer one question to the end. Raises PeerGone where nobody hears."""


def install(services: Sequence[Service], lane: Lane, conversation: Conversation) -> None:
    """Have these services answer the questions of an association, where they can."""
    association = lane.association
    by_class = {
        uid: one for one in services if isinstance(one, Questioned) for uid in one.question_models
    }
    serve_request = association._serve_request  # noqa: SLF001  (as node/lane.py does)

    def serve(request: Any, context_id: int) -> None:
        context = association._accepted_cx.get(context_id)  # noqa: SLF001  (as above)
        asked = isinstance(request, C_FIND) and request.MessageID is not None
        service = by_class.get(str(context.abstract_syntax)) if asked and context else None
        if service is None or context is None:
            serve_request(request, context_id)
            return
        responses = Responses(
            context_id,
            request.MessageID,
            str(context.abstract_syntax),
            association.requestor.maximum_length or 0,
        )
        questioner = Questioner(lane.transport, responses, request.MessageID)
        stream = request.Identifier
        question = Question(
            stream.getvalue() if stream is not None else b"",
            str(context.abstract_syntax),
            str(context.transfer_syntax[0]),
            str(association.requestor.ae_title).strip(),
            association.requestor.sop_class_extended.get(UID(str(context.abstract_syntax)), b""),
            questioner,
        )
        questioner.pause_s = PYNETDICOM_PAUSE_S if lane.exchange.is_pynetdicom else 0.0
        with serving(lane, conversation, questioner):
            service.serve_question(question)

    association._serve_request = serve  # type: ignore[assignment,method-assign]  # noqa: SLF001  (as above)
