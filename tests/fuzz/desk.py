"""The lane without a socket and without threads: bytes in, answers and stored objects out.

The lane, the exchange, the store service and pynetdicom's message reader are the real ones; only
the connection and the spool are in memory, so that one stream takes a fraction of a millisecond
and ends the same each time.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field

from pynetdicom.ae import ApplicationEntity
from pynetdicom.association import Association
from pynetdicom.pdu_primitives import A_ASSOCIATE, MaximumLengthNotification
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Settings
from dicom.context import storage_contexts
from dicom.entity import Arrival
from node.admission import AssociationFacts
from node.conversation import Conversation, Ending, Watchers
from node.lane import Lane
from node.services.store import StoreService
from node.transport import PeerGone
from tests.fuzz import reference

CALLER = "SCANNER"
MAX_PDU = 16384
TIMEOUT_S = 60
AGES_S = 1e9
SPARE_READS = 1000
ROOM_BYTES = 700
"""A small place, so that large fragments go to several."""
Contexts = dict[int, tuple[str, str]]
"""Accepted contexts: {context id: (SOP class, transfer syntax)}."""


@dataclass
class Memory:
    """A receiver that keeps what was committed, and counts what was begun and not ended."""

    objects: list[tuple[Arrival, bytes]] = field(default_factory=list)
    open: int = 0

    def begin(self, arrival: Arrival) -> "MemoryRecording":
        self.open += 1
        return MemoryRecording(self, arrival)


class MemoryRecording:
    def __init__(self, owner: Memory, arrival: Arrival) -> None:
        self._owner, self._arrival = owner, arrival
        self._data = bytearray()
        self._room = memoryview(bytearray(ROOM_BYTES))
        self._is_open = True

    def write(self, chunk: bytes | memoryview) -> None:
        assert self._is_open
        self._data += chunk

    def room(self, wanted: int) -> memoryview:
        assert self._is_open
        return self._room[:wanted]

    def advance(self, count: int) -> None:
        assert self._is_open
        self._data += self._room[:count]

    def commit(self) -> None:
        assert self._is_open
        self._close()
        self._owner.objects.append((self._arrival, bytes(self._data)))

    def abandon(self) -> None:
        if self._is_open:
            self._close()

    def _close(self) -> None:
        self._is_open = False
        self._owner.open -= 1


class Stream:
    """A connection whose peer has said all it ever will, and then closes, resets or is silent."""

    peer_name = None

    def __init__(self, said: bytes, end: str, piece: int) -> None:
        self._said = memoryview(said)
        self._end = end
        self._piece = piece
        self._reads_left = len(said) + SPARE_READS
        self.heard = bytearray()
        self.hush: Callable[[], object] = lambda: None
        """Called when time passes in silence."""

    def greet(self) -> bool:
        return True

    def readable(self, timeout_ms: int) -> bool:
        return bool(self._said) or self._end != "silence"

    def receive(self, view: memoryview) -> int:
        self._reads_left -= 1
        assert self._reads_left, "the lane reads for ever"
        count = min(len(view), len(self._said), self._piece)
        view[:count] = self._said[:count]
        self._said = self._said[count:]
        if not count and self._end == "silence":
            self.hush()
            return -1
        if not count and self._end == "reset":
            raise PeerGone("the connection broke (ConnectionResetError)")
        return count

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        count = self.receive(view)
        if count == len(view) and self._said and self._piece > count:
            count += self.receive(behind)
        return count

    def send(self, data: bytes) -> int:
        self.heard += data
        return len(data)

    def acknowledge(self) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class Result:
    """What came of a stream."""

    objects: list[tuple[Arrival, bytes]]
    answers: list[tuple[int, int]]
    """C-STORE answers in order: (message id, status)."""
    events: list[str]
    """What pynetdicom's state machine is told (PS3.8 Table 9-10): Evt17 closed, Evt19 broken."""
    ending: Ending
    left_open: int
    """Recordings neither committed nor abandoned once the connection is closed."""


def run(
    said: bytes, end: str, contexts: Contexts, max_pdu: int = MAX_PDU, piece: int = 1 << 20
) -> Result:
    """Let the lane read everything that a peer says in an established association.

    `piece` is the most that one read brings.
    """
    memory, stream, conversation = Memory(), Stream(said, end, piece), Conversation("192.0.2.1")
    conversation.facts = AssociationFacts("a", CALLER, "PENUMBRA", "192.0.2.1", 0.0)
    store = StoreService(memory, SETTINGS, STORAGE, lambda: 0.0)
    association = established(contexts)
    lane = Lane(
        association, stream, conversation, store, Watchers([]),
        max_pdu_bytes=max_pdu, timeout_s=TIMEOUT_S,
    )  # fmt: skip
    stream.hush = lambda: setattr(lane._inbox, "_waited_s", AGES_S)
    while lane.step():
        association.dimse.msg_queue.queue.clear()  # as if pynetdicom's reactor had served it
    events = list(association.dul.event_queue.queue)
    lane.close()
    return Result(
        memory.objects, answers_in(bytes(stream.heard)), events, conversation.ending(), memory.open
    )


STORAGE = storage_contexts()
SETTINGS = Settings.model_validate({"peers": {CALLER: {"may": ["store"]}}})


def established(contexts: Contexts) -> Association:
    """An association of pynetdicom's in Sta6, whose threads are never started."""
    association = Association(ENTITY, "acceptor")
    asked, longest = A_ASSOCIATE(), MaximumLengthNotification()
    longest.maximum_length_received = 0
    asked.user_information = [longest]
    association.requestor.primitive = asked
    association._accepted_cx = {number: context(number, *of) for number, of in contexts.items()}
    association._serve_request = lambda *_: None  # no thread serves N-EVENT-REPORT here
    association.dul.socket = object()  # the lane closes it in Sta13 only
    association.dul.state_machine.current_state = "Sta6"
    return association


ENTITY = ApplicationEntity()


@functools.cache
def context(number: int, abstract: str, transfer: str) -> PresentationContext:
    one = build_context(abstract, transfer)
    one.context_id = number
    return one


def answers_in(heard: bytes) -> list[tuple[int, int]]:
    """Read C-STORE-RSPs that were written for a peer without a maximum length."""
    found = []
    while heard:
        length = int.from_bytes(heard[2:6], "big")
        elements = reference.elements_of(heard[12 : 6 + length])
        assert (heard[0], heard[11]) == (4, 3)
        assert reference.field_of(elements) == 0x8001
        found.append((reference.number(elements, 0x0120), reference.number(elements, 0x0900)))
        heard = heard[6 + length :]
    return found
