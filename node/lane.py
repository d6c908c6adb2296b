"""Read an association's connection: judge every PDU before it is buffered, and hand it on.

pynetdicom keeps the association whole: negotiation, release, abort, timers and every service
but C-STORE. On each connection the lane takes the place of the one method of its upper layer
that looks at the socket. An established association's P-DATA is read into one reusable buffer
and served by the exchange; every other PDU goes to pynetdicom as it came. All of this runs on
the association's own upper layer thread. A retrieval (node/requester.py) writes from the
association's other one, a whole PDU at a time.
"""

import contextlib
import queue
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, Final

import structlog
from pynetdicom.association import Association
from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RQ

from dicom import pdu
from dicom.abort import FROM_PROVIDER, AbortReason
from dicom.errors import ProtocolFault
from node import prompt
from node.conversation import AssociationWatcher, Conversation, Outcome
from node.exchange import Exchange
from node.handshake import Failure
from node.inbox import Ended, Inbox
from node.services.store import StoreService
from node.transport import HandshakeFailed, PeerGone, Transport

LINGER_S: Final = 1.0
"""A peer gets so long to read our last PDU and close, so that a reset does not overtake it."""
LINGER_MS: Final = 10
BACKLOG: Final = 8
"""Messages read ahead of pynetdicom. An honest peer has one outstanding, and a C-CANCEL."""

_LEAVING: Final = frozenset({pdu.PduType.ABORT, pdu.PduType.RELEASE_RQ})
_INVALID_PDU: Final = "Evt19"
_CLOSED: Final = "Evt17"
_UNASKED: Final = "Sta2"
_ANSWERING: Final = "Sta3"
_ESTABLISHED: Final = "Sta6"
_CLOSING: Final = "Sta13"

log = structlog.get_logger()


class Lane:
    """Serves one connection; pynetdicom calls `step` where it would look at the socket."""

    def __init__(
        self,
        association: Association,
        transport: Transport,
        conversation: Conversation,
        store: StoreService,
        watcher: AssociationWatcher,
        *,
        max_pdu_bytes: int,
        timeout_s: float,
        on_unknown_version: Callable[[int, str, str], object] = lambda *_: None,
    ) -> None:
        """`on_unknown_version` hears of a request that pynetdicom is about to reject.

        It is told the version, and the calling and called AE title.
        """
        self._association = association
        assert association.dul.socket is not None  # an acceptor is made with its socket
        self._dul = association.dul
        self._wrapper = association.dul.socket
        self._transport = transport
        self._conversation = conversation
        self._max_pdu_bytes = max_pdu_bytes
        self._timeout_s = timeout_s
        self._exchange = Exchange(association, conversation, store, watcher, transport.send)
        largest_bytes = max(max_pdu_bytes + pdu.OVERHEAD_LIMIT, pdu.ASSOCIATE_LIMIT)
        self._inbox = Inbox(transport, largest_bytes + pdu.HEADER_BYTES, timeout_s)
        self._on_unknown_version = on_unknown_version
        self.abort_reason = AbortReason.UNEXPECTED_PDU
        """What an A-ABORT of pynetdicom's says; by itself it aborts what comes out of turn."""
        self._users = 2
        """The upper layer's thread, and the association's."""
        self._lock = threading.Lock()
        self._is_greeted = False
        self._lingering_until_s: float | None = None

    @property
    def exchange(self) -> Exchange:
        """Where the messages of this connection are served."""
        return self._exchange

    @property
    def association(self) -> Association:
        """Whose connection it is."""
        return self._association

    @property
    def transport(self) -> Transport:
        """The connection."""
        return self._transport

    def step(self) -> bool:
        """Serve what the connection holds; returns whether there was anything.

        Returns soon when there is nothing, so that pynetdicom's timers and queues move on.
        """
        if not self._dul.event_queue.empty():  # the state machine has not caught up with the last
            return False
        if self._dul.state_machine.current_state == _CLOSING:
            return self._linger()
        if not self._may_read():
            return prompt.pause()
        try:
            if not self._inbox.waiting and not self._transport.readable(prompt.LOOK_MS):
                return False
            self._serve()
        except ProtocolFault as fault:
            self._conversation.end(Outcome.ABORTED, str(fault))
            self.abort_reason = fault.reason
            self._give_up(_INVALID_PDU)
        except PeerGone as gone:
            self._conversation.end(Outcome.LOST, str(gone))
            self._give_up(_CLOSED)
        except Exception as bug:  # noqa: BLE001  (pynetdicom would swallow it without a word)
            place = traceback.extract_tb(bug.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            log.error("lane failed", fault=type(bug).__name__, where=where)
            self._conversation.end(Outcome.ABORTED, "internal error, see the node's log")
            self.abort_reason = AbortReason.NOT_SPECIFIED
            self._give_up(_INVALID_PDU)
        return True

    def close(self) -> bool:
        """Leave it, on the association's thread; returns False where the other is still in it."""
        if self._dul.ident is None:  # its thread was never started
            self.leave()
        return self.leave()

    def leave(self) -> bool:
        """Stop using it. The last of its two threads drops what was not committed, and closes.

        Not sooner: what a thread is committing, and the descriptor that it reads, are its own.
        Returns whether that was the last.
        """
        self._exchange.hang_up()
        with self._lock:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            self._exchange.drop()
            self._transport.close()
        return is_last

    def cut(self) -> None:
        """Abort at once, from another thread: whatever the lane waits for, it wakes."""
        self._transport.cut(pdu.abort(0, 0))

    def _may_read(self) -> bool:
        """Whether the next PDU is wanted now; until then it waits in the socket."""
        if self._dul.state_machine.current_state == _ANSWERING:  # our answer comes first
            return False
        if not self._is_greeted and not self._greet():
            return False
        return self._association.dimse.msg_queue.qsize() <= BACKLOG

    def _greet(self) -> bool:
        """Go on with what comes before the first PDU; returns whether it is done."""
        if self._lingering_until_s is not None:  # it failed, and the peer reads why
            if self._has_drained():
                self._give_up(_CLOSED)
            return False
        try:
            self._is_greeted = self._transport.greet()
        except HandshakeFailed as failed:
            self._turn_away(failed.failure)
        self._conversation.tls_name = self._transport.peer_name
        return self._is_greeted

    def _turn_away(self, failure: Failure) -> None:
        """Tell why there is no connection, and see it off."""
        self._conversation.rejected = self._conversation.never_greeted = True
        self._conversation.end(Outcome.LOST, failure.words)
        tell = log.info if failure.is_common else log.warning
        tell(
            "connection rejected",
            address=self._conversation.address,
            words=failure.words,
            fix=failure.fix,
        )
        self._start_lingering()

    def _give_up(self, event: str) -> None:
        self._exchange.drop()
        self._exchange.hang_up()
        self._dul.event_queue.put(event)

    def _serve(self) -> None:
        """Read PDUs for as long as C-STOREs follow one another closely."""
        # receive.md: the association's other thread polls every millisecond, and takes a long
        # commit or burst for idleness. It rests meanwhile, and wakes to a fresh idle timer.
        checkpoint = self._association._reactor_checkpoint  # noqa: SLF001
        checkpoint.clear()
        try:
            while self._inbox.arrived() and self._read_pdu():
                pass
        except Ended:
            whole = not self._inbox.waiting and self._exchange.is_idle
            where = "without a release" if whole else "in the middle of a message"
            raise PeerGone(f"the peer closed {where}") from None
        finally:
            self._dul._idle_timer.restart()  # noqa: SLF001
            checkpoint.set()

    def _read_pdu(self) -> bool:
        """Read one PDU and act on it; returns whether it belonged to a C-STORE."""
        inbox = self._inbox
        inbox.begin()
        header = pdu.read_header(inbox.need(pdu.HEADER_BYTES), self._max_pdu_bytes)
        whole_bytes = pdu.HEADER_BYTES + header.length
        if header.pdu_type is not pdu.PduType.P_DATA:
            whole = bytearray(inbox.need(whole_bytes))
            inbox.take(whole_bytes)
            self._hand_over(header.pdu_type, whole)
            return False
        if self._dul.state_machine.current_state != _ESTABLISHED:
            words = "P-DATA outside an established association"
            raise ProtocolFault(words, AbortReason.UNEXPECTED_PDU)
        is_cut = inbox.waiting < whole_bytes and header.length > pdu.PDV_BYTES
        if is_cut and self._exchange.is_storing:
            start = inbox.need(pdu.HEADER_BYTES + pdu.PDV_BYTES)
            lone = pdu.lone_pdv(start[pdu.HEADER_BYTES :], header.length)
            if lone is not None and not lone.is_command:
                inbox.take(len(start))
                self._stream(lone, whole_bytes - len(start))
                return True
        body = inbox.need(whole_bytes)[pdu.HEADER_BYTES :]
        inbox.take(whole_bytes)
        return self._exchange.take(body)

    def _stream(self, pdv: pdu.Pdv, left: int) -> None:
        """Read a large fragment of a dataset past the inbox, to where it is kept.

        Served in pieces it means the same: a dataset may be cut anywhere (PS3.8 Annex E).
        """
        inbox, exchange = self._inbox, self._exchange
        here = min(inbox.waiting, left)
        exchange.take_piece(pdv._replace(control=0, data=inbox.need(here)))
        inbox.take(here)
        left -= here
        while left:
            room = exchange.room(left)
            # Unless the dataset ends here, another PDU is sure to follow.
            more = len(room) == left and not pdv.is_last
            count = inbox.fill(room, pdu.HEADER_BYTES + pdu.PDV_BYTES if more else 0)
            exchange.advance(count)
            left -= count
        if pdv.is_last:
            exchange.take_piece(pdv)

    def _hand_over(self, pdu_type: pdu.PduType, whole: bytearray) -> None:
        """Let pynetdicom decode a PDU and drive its state machine with it."""
        if pdu_type in _LEAVING:
            self._exchange.hang_up()
        if pdu_type is pdu.PduType.ABORT:
            self._exchange.drop()
            self._conversation.end(Outcome.ABORTED, "the peer aborted")
        elif not self._exchange.is_idle:
            words = f"{pdu_type.name} in the middle of a message"
            raise ProtocolFault(words, AbortReason.UNEXPECTED_PDU)
        if pdu_type in {pdu.PduType.ASSOCIATE_RQ, pdu.PduType.ASSOCIATE_AC}:
            pdu.judge_items(whole)
        try:
            decoded, event = self._dul._decode_pdu(whole)  # noqa: SLF001  (the seam of receive.md)
            if pdu_type is pdu.PduType.ASSOCIATE_RQ:
                decoded.to_primitive()  # the state machine does it again, where a fault breaks it
        except Exception as fault:  # pynetdicom raises many kinds on hostile bytes
            raise ProtocolFault(
                f"{pdu_type.name} cannot be decoded ({type(fault).__name__})"
            ) from fault
        if isinstance(decoded, A_ASSOCIATE_RQ):
            self._judge(decoded, is_first=self._dul.state_machine.current_state == _UNASKED)
        self._dul._recv_pdu.put(decoded)  # noqa: SLF001  (as above)
        self._dul.event_queue.put(event)

    def _judge(self, request: A_ASSOCIATE_RQ, *, is_first: bool) -> None:
        """Judge of a request what pynetdicom gets wrong, or cannot bear.

        One that is not the first is not answered, whatever it says: the association is aborted.
        """
        ids = [one.context_id for one in request.presentation_context]
        if len(set(ids)) < len(ids):
            raise ProtocolFault("ASSOCIATE_RQ proposes two presentation contexts of one id")
        version = request.protocol_version
        if version & pdu.PROTOCOL_VERSION:
            # pynetdicom compares the whole field, where only this bit is tested (PS3.8 9.3.2).
            request.protocol_version = pdu.PROTOCOL_VERSION
            return
        if is_first:
            titles = request.calling_ae_title.strip(), request.called_ae_title.strip()
            self._on_unknown_version(version, *titles)

    def _linger(self) -> bool:
        """Wait for the peer to close, dropping what it still sends (PS3.8 9.2, Sta13)."""
        if self._lingering_until_s is None:
            self._start_lingering()
        if not self._has_drained():
            return False
        self._wrapper.close()
        return True

    def _start_lingering(self) -> None:
        self._lingering_until_s = time.monotonic() + LINGER_S
        self._transport.finish_sending()

    def _has_drained(self) -> bool:
        """Drop what comes; returns whether the peer ended, or had its time."""
        assert self._lingering_until_s is not None  # set by _start_lingering
        return time.monotonic() >= self._lingering_until_s or self._transport.drain(LINGER_MS)


def install(lane: Lane, association: Association) -> None:
    """Put the lane in the place of the association's own look at its socket."""
    prompt.install(association)
    dul = association.dul
    dul._is_transport_event = lane.step  # type: ignore[method-assign]  # noqa: SLF001  (receive.md)
    process = dul._process_recv_primitive  # noqa: SLF001  (as above)

    def process_unless_closing() -> bool:
        if dul.state_machine.current_state != _CLOSING:
            return process()
        # The connection is closing, and PS3.8 Table 9-10 has no way to say more: nobody hears it.
        with contextlib.suppress(queue.Empty):
            dul.to_provider_queue.get_nowait()
        return False

    dul._process_recv_primitive = process_unless_closing  # type: ignore[method-assign]  # noqa: SLF001  (as above)
    send = dul._send  # noqa: SLF001  (as above)

    def send_with_reason(pdu: Any) -> None:
        if isinstance(pdu, A_ABORT_RQ) and pdu.source == FROM_PROVIDER:
            pdu.reason_diagnostic = pdu.reason_diagnostic or lane.abort_reason
        send(pdu)

    dul._send = send_with_reason  # type: ignore[method-assign]  # noqa: SLF001  (as above)
    dul.daemon = True  # a stuck connection shall not keep the process from ending
    run = dul.run

    def run_to_the_end() -> None:
        try:
            run()
        except Exception as fault:  # noqa: BLE001  (pynetdicom's state machine raises on some
            # orders of events; that ends this connection and nothing else)
            log.warning("association broke", fault=type(fault).__name__)
            lane.cut()
            association._kill = True  # noqa: SLF001  (as pynetdicom's own loop does)
        finally:
            # The association's own thread may wait for a request that cannot come any more.
            dul.to_user_queue.put(None)
            lane.leave()

    dul.run = run_to_the_end  # type: ignore[method-assign]  # the end is certain here
