"""Serve the messages of one association: C-STORE to the spool, all else to pynetdicom.

Runs on the association's upper layer thread, fed by the lane with one P-DATA PDU at a time.
Faults of a C-STORE become the status that the peer hears; a broken message is a ProtocolFault.
"""

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Final, Protocol

import structlog
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import P_DATA

from dicom import pdu, status, uid
from dicom.abort import AbortReason
from dicom.commitment import STORAGE_COMMITMENT
from dicom.errors import Fault, ProtocolFault
from dicom.message import (
    C_CANCEL_RQ,
    C_STORE_RQ,
    C_STORE_RSP,
    Assembler,
    Command,
    Fragment,
    store_response,
)
from dicom.mpps import MPPS
from dicom.uid import PATIENT_ROOT_FIND, PATIENT_STUDY_ONLY_FIND, STUDY_ROOT_FIND
from dicom.worklist import MODALITY_WORKLIST
from node.conversation import AssociationWatcher, Conversation
from node.services.store import StoreService, Storing

SCRAP_BYTES: Final = 64 << 10
IDENTIFIER_LIMIT: Final = 1 << 20
"""Longest dataset of a message that is not a C-STORE; a query's keys take some hundred bytes."""

_OF_STORE: Final = frozenset({C_STORE_RQ, C_STORE_RSP})

FIND_LIMIT: Final = 4 << 20
"""The longest identifier of a query that is read; of a longer one enough to refuse it."""

LIST_LIMIT: Final = 16 << 20
"""The same for the services whose lists name every object of a Study."""
_LIMITS: Final[Mapping[str, int]] = {
    STORAGE_COMMITMENT: LIST_LIMIT,
    MPPS: LIST_LIMIT,
    PATIENT_ROOT_FIND: FIND_LIMIT,
    STUDY_ROOT_FIND: FIND_LIMIT,
    PATIENT_STUDY_ONLY_FIND: FIND_LIMIT,
    MODALITY_WORKLIST: FIND_LIMIT,
}

PYNETDICOM: Final = "1.2.826.0.1.3680043.9.3811."
"""What pynetdicom's implementation class UIDs begin with."""
PYNETDICOM_PAUSE_S: Final = 0.005
"""The interval at which Python's threads take turns: within it the reactor gets its turn."""

log = structlog.get_logger()


class Listening(Protocol):
    """A retrieval under way, which wants to hear of its requester (node/requester.py)."""

    message_id: int
    """Of the request: a C-CANCEL names it."""
    is_storing: bool
    """Whether it sends C-STOREs on this association, as a C-GET does."""

    def answered(self, response: Command) -> None:
        """Take the answer to one of its C-STOREs."""

    def cancel(self) -> None:
        """Note that the requester wants no more."""

    def hang_up(self) -> None:
        """Note that the requester is gone."""


class Exchange:
    """Where the messages of an association have got to."""

    def __init__(
        self,
        association: Association,
        conversation: Conversation,
        store: StoreService,
        watcher: AssociationWatcher,
        send: Callable[[bytes], object],
    ) -> None:
        self._association = association
        self._conversation = conversation
        self._store = store
        self._watcher = watcher
        self._send = send
        self._assembler = Assembler()
        self._command: Command | None = None
        self._storing: Storing | None = None
        self._refusal: tuple[int, str] | None = None
        self._size_bytes = 0
        self._retrieval: Listening | None = None

    @property
    def is_pynetdicom(self) -> bool:
        """Whether the peer is a pynetdicom SCU, which needs a while until it hears an answer."""
        return self._is_pynetdicom

    @contextlib.contextmanager
    def listening(self, retrieval: Listening) -> Iterator[None]:
        """Let a retrieval hear of its requester while the block runs, on another thread."""
        self._retrieval = retrieval
        try:
            yield
        finally:
            self._retrieval = None

    def hang_up(self) -> None:
        """Tell a retrieval under way that its requester is gone."""
        if (retrieval := self._retrieval) is not None:
            retrieval.hang_up()

    @property
    def is_idle(self) -> bool:
        """Whether no message is half read."""
        return self._assembler.is_idle

    def take(self, body: memoryview) -> bool:
        """Act on a P-DATA PDU; returns whether it belonged to a C-STORE, in either direction.

        `body` may change after the call. Raises ProtocolFault, and whatever `send` raises.
        """
        for pdv in pdu.pdvs(body):
            self.take_piece(pdv)
        return self._command is not None and self._command.field in _OF_STORE

    def take_piece(self, pdv: pdu.Pdv) -> None:
        """Act on a fragment, or on a piece of one that was cut where the reading stopped.

        Raises as `take` does.
        """
        event = self._assembler.feed(pdv)
        if isinstance(event, Command):
            self._begin(event)
        elif isinstance(event, Fragment):
            self._continue(event)

    @property
    def is_storing(self) -> bool:
        """Whether the bytes of a dataset that come next are kept."""
        return self._storing is not None

    def room(self, wanted: int) -> memoryview:
        """Give a place for the next bytes of the dataset's fragment, at most as many as wanted.

        Where the object was refused meanwhile, what is put there is dropped.
        """
        if self._storing is not None:
            try:
                return self._storing.room(wanted)
            except Exception as fault:  # noqa: BLE001  (a Fault, or a bug: both have an answer)
                self._refuse(fault)
        return memoryview(bytearray(min(wanted, SCRAP_BYTES)))

    def advance(self, count: int) -> None:
        """Count dataset bytes that now stand at the beginning of the last `room`."""
        self._size_bytes += count
        if self._storing is not None:
            self._storing.advance(count)

    def drop(self) -> None:
        """Forget an object that is not complete. May be called twice."""
        storing, self._storing = self._storing, None
        if storing is not None:
            storing.abandon()

    def _begin(self, command: Command) -> None:
        self._command, self._size_bytes, self._refusal = command, 0, None
        context = self._association._accepted_cx.get(command.context_id)  # noqa: SLF001  (its
        # public list would be sorted anew for every object)
        if context is None:
            raise ProtocolFault(f"presentation context {command.context_id} was not accepted")
        if self._is_heard(command):
            return
        if command.field != C_STORE_RQ:
            is_last = not command.has_dataset
            self._forward(command.context_id, b"\x03" + command.encoded, is_last=is_last)
            return
        assert self._conversation.facts is not None  # admission comes before any message
        try:
            self._storing = self._store.begin(self._conversation.facts, command, context)
        except Exception as fault:  # noqa: BLE001  (a Fault, or a bug: both have an answer)
            self._refuse(fault)
        if not command.has_dataset:
            self._answer(command)

    def _is_heard(self, command: Command) -> bool:
        """Give a retrieval what concerns it; returns whether that was all."""
        retrieval = self._retrieval
        if retrieval is None:
            return False
        if command.field == C_CANCEL_RQ and command.message_id == retrieval.message_id:
            retrieval.cancel()
            return True
        if not retrieval.is_storing:
            return False
        if command.field == C_STORE_RQ:
            raise ProtocolFault("a C-STORE in the middle of a C-GET", AbortReason.NOT_SPECIFIED)
        if command.field != C_STORE_RSP:
            return False
        if command.has_dataset:
            raise ProtocolFault("the answer to a C-STORE with a dataset")
        retrieval.answered(command)
        return True

    def _continue(self, fragment: Fragment) -> None:
        command = self._command
        assert command is not None  # the assembler lets no dataset come first
        self._size_bytes += len(fragment.data)
        if command.field != C_STORE_RQ:
            data = self._handed_on(fragment)
            control = b"\x02" if fragment.is_last else b"\x00"
            self._forward(fragment.context_id, control + data, is_last=fragment.is_last)
            return
        if self._storing is not None:
            try:
                self._storing.write(fragment.data)
            except Exception as fault:  # noqa: BLE001  (as above)
                self._refuse(fault)
        if fragment.is_last:
            self._answer(command)

    def _handed_on(self, fragment: Fragment) -> bytes:
        """Give what pynetdicom shall have of a fragment. Raises ProtocolFault beyond the limit.

        A query is answered, not aborted: of its identifier enough is handed on to refuse it.
        """
        limit, size = self._limit(fragment.context_id), self._size_bytes
        if size <= limit:
            return bytes(fragment.data)
        if limit != FIND_LIMIT:
            words = f"identifier longer than {limit} bytes"
            raise ProtocolFault(words, AbortReason.NOT_SPECIFIED)
        return bytes(fragment.data) if size - len(fragment.data) <= limit else b""

    def _limit(self, context_id: int) -> int:
        """Give the longest dataset that pynetdicom is handed in a context."""
        context = self._association._accepted_cx.get(context_id)  # noqa: SLF001  (as in _begin)
        name = "" if context is None else str(context.abstract_syntax)
        return _LIMITS.get(name, IDENTIFIER_LIMIT)

    def _forward(self, context_id: int, value: bytes, *, is_last: bool) -> None:
        """Give pynetdicom's DIMSE provider a fragment, as its own state machine would."""
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, value))
        dimse = self._association.dimse
        try:
            dimse.receive_primitive(primitive)
        except Exception as fault:  # pynetdicom raises many kinds on hostile bytes
            raise ProtocolFault(f"message cannot be read ({type(fault).__name__})") from fault
        if is_last and dimse.message is not None:
            # It would abort without a word; taken back, so that the peer hears one A-ABORT.
            self._association.dul.event_queue.get_nowait()
            raise ProtocolFault("message cannot be read (a value is missing or of a wrong kind)")

    def _refuse(self, fault: Exception) -> None:
        """Turn a fault into the status that the peer hears once its dataset is through."""
        self.drop()
        if isinstance(fault, Fault):
            self._refusal = fault.status, str(fault)
        else:
            # Where, but not the message: it may quote what was sent.
            where = traceback.extract_tb(fault.__traceback__)[-1]
            place = f"{where.filename}:{where.lineno}"
            log.error("store failed", fault=type(fault).__name__, where=place)
            self._refusal = status.PROCESSING_FAILURE, "internal error, see the node's log"

    def _answer(self, command: Command) -> None:
        """Commit or refuse, then say so: in this order (P1)."""
        code, words = self._outcome()
        self._note(command, code, words)
        response = store_response(command, code, words)
        if self._is_pynetdicom:
            time.sleep(PYNETDICOM_PAUSE_S)
        self._send(pdu.command_pdus(command.context_id, response, self._peer_max_bytes))

    def _outcome(self) -> tuple[int, str]:
        """Commit what was received; returns the status that the peer hears, and why."""
        if self._storing is not None:
            try:
                self._storing.finish()
            except Exception as fault:  # noqa: BLE001  (a Fault, or a bug: both have an answer)
                self._refuse(fault)
            else:
                self._storing = None
                return status.SUCCESS, ""
        # Nothing was committed: whatever brought us here, it is no success.
        return self._refusal or (status.PROCESSING_FAILURE, "nothing was stored")

    @cached_property
    def _peer_max_bytes(self) -> int:
        """The longest PDU that the peer takes; 0: any. Settled before the first message."""
        return self._association.requestor.maximum_length or 0

    @cached_property
    def _is_pynetdicom(self) -> bool:
        """Whether the peer is a pynetdicom SCU, which needs a while until it hears an answer.

        Its reactor thread may still be on its way into the pause that a send asks of it, and
        then throws an answer away; the SCU waits for its time-out and aborts. Seen with 3.0.4
        in 1 of 200 objects; in none of 4,000 with this wait.
        """
        peer = str(self._association.requestor.implementation_class_uid or "")
        return peer.startswith(PYNETDICOM)

    def _note(self, command: Command, code: int, words: str) -> None:
        facts = self._conversation.facts
        assert facts is not None  # admission comes before any message
        first = self._conversation.count(code, self._size_bytes)
        self._watcher.on_stored(facts, code, self._size_bytes)
        if code != status.SUCCESS and first:  # the rest of its kind is in the association's line
            log.warning(
                "object refused",
                association=facts.id,
                calling_ae=facts.calling_ae,
                sop_class=uid.told(command.sop_class_uid),
                sop_instance=uid.told(command.sop_instance_uid),
                status=f"0x{code:04X}",
                words=words,
            )
