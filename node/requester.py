"""Whoever asked for a retrieval, on the association that it asked on: told, sent to, listened to.

Everything is written straight to the connection by the association's own thread, while its upper
layer thread goes on reading (node/lane.py): a C-CANCEL, an abort and a closed connection are heard
at once, also in the middle of an object. It is the outlet of a C-GET, whose C-STOREs go back over
the same association in the contexts for which the requester took the role of SCP (PS3.4 C.4.3).
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pynetdicom.association import Association

from dicom import message, wire
from dicom.errors import Unreachable
from dicom.message import Command
from dicom.retrieve_message import Answer, command, failed_list
from dicom.store_scu import NotTaken, sendable
from node.exchange import PYNETDICOM_PAUSE_S, Exchange
from node.transport import Burst, PeerGone, Transport

Chunk = bytes | memoryview
_GONE: Final = "the requester ended the association"


@dataclass(frozen=True, slots=True)
class Asked:
    """A C-MOVE or C-GET request, as far as answering it needs."""

    response_field: int
    """C_MOVE_RSP or C_GET_RSP."""
    message_id: int
    sop_class_uid: str
    context_id: int
    transfer_syntax_uid: str
    """Of the context: identifiers are written in it."""


class Requester:
    """The peer behind one request. `cancel`, `answered` and `hang_up` come from another thread."""

    def __init__(
        self,
        association: Association,
        exchange: Exchange,
        transport: Transport,
        asked: Asked,
        *,
        timeout_s: float,
    ) -> None:
        """`timeout_s` bounds the wait for each answer to a C-STORE."""
        self.message_id = asked.message_id
        self.is_storing = asked.response_field == message.C_GET_RSP
        self._asked = asked
        self._transport = transport
        self._peer_max_bytes = association.requestor.maximum_length or 0
        self._timeout_s = timeout_s
        self._contexts = _receiving(association) if self.is_storing else {}
        self._answers: queue.SimpleQueue[Command | None] = queue.SimpleQueue()
        self._cancelled = threading.Event()
        self._gone = threading.Event()
        self._last_id = asked.message_id
        self._pause_s = PYNETDICOM_PAUSE_S if exchange.is_pynetdicom else 0.0

    @property
    def is_gone(self) -> bool:
        """Whether the association has ended, or is being released."""
        return self._gone.is_set()

    @property
    def is_cancelled(self) -> bool:
        """Whether the requester wants no more."""
        return self._cancelled.is_set()

    def require(self) -> None:
        """Raise PeerGone where the association has ended, or is being released."""
        if self._gone.is_set():
            raise PeerGone(_GONE)

    def respond(self, answer: Answer) -> None:
        """Send a response. Raises PeerGone."""
        self.require()
        if self._pause_s:  # see Exchange.is_pynetdicom; the first answer alone comes too soon
            time.sleep(self._pause_s)
            self._pause_s = 0.0
        asked = self._asked
        head = command(asked.response_field, asked.message_id, asked.sop_class_uid, answer)
        uids = answer.failed_uids
        dataset = [memoryview(failed_list(uids, asked.transfer_syntax_uid))] if uids else []
        self._send(asked.context_id, head, dataset)

    def choose(self, sop_class_uid: str, syntaxes: Sequence[str]) -> str:
        """Give the first of these transfer syntaxes in which it takes a SOP class.

        Raises NotTaken.
        """
        for syntax in syntaxes:
            if (sop_class_uid, syntax) in self._contexts:
                return syntax
        named = f"SOP class {sop_class_uid} in transfer syntax {syntaxes[0]}"
        raise NotTaken(f"the requester proposed no context to receive {named}")

    def ask(
        self,
        part10: Sequence[Chunk],
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
    ) -> int:
        """Send one C-STORE, its dataset byte for byte, and give the status it is answered with.

        Raises Refused where it cannot be sent, PeerGone, and Unreachable after the time-out.
        """
        dataset = sendable(part10, sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        context_id = self._contexts[sop_class_uid, transfer_syntax_uid]
        self._last_id = self._last_id % 65_535 + 1
        head = message.store_request(self._last_id, sop_class_uid, sop_instance_uid)
        self._send(context_id, head, dataset)
        return self._answer()

    def close(self) -> None:
        """Leave the association open: it is the requester's."""

    def answered(self, response: Command) -> None:
        """Take the answer to a C-STORE."""
        self._answers.put(response)

    def cancel(self) -> None:
        """Note that no more is wanted."""
        self._cancelled.set()

    def hang_up(self) -> None:
        """Note that the association ends."""
        self._gone.set()
        self._answers.put(None)

    def _send(self, context_id: int, head: bytes, dataset: Sequence[memoryview]) -> None:
        self._transport.send_bursts(self._bursts(context_id, head, dataset))

    def _bursts(
        self, context_id: int, head: bytes, dataset: Sequence[memoryview]
    ) -> Iterator[Burst]:
        for burst in wire.bursts(context_id, head, dataset, self._peer_max_bytes):
            self.require()
            yield burst

    def _answer(self) -> int:
        """Wait for the answer to the last C-STORE; an older one, late, is passed over."""
        deadline_s = time.monotonic() + self._timeout_s
        while True:
            try:
                response = self._answers.get(timeout=max(0.0, deadline_s - time.monotonic()))
            except queue.Empty:
                words = f"the requester did not answer a C-STORE for {self._timeout_s:g} s"
                raise Unreachable(words) from None
            if response is None:
                raise PeerGone(_GONE)
            if response.message_id == self._last_id:
                return message.response_status(response)


def _receiving(association: Association) -> dict[tuple[str, str], int]:
    """List the contexts in which the requester takes objects, by SOP class and transfer syntax."""
    return {
        (str(one.abstract_syntax), str(one.transfer_syntax[0])): number
        for number, one in association._accepted_cx.items()  # noqa: SLF001  (its public list is a copy)
        if one.as_scu
    }
