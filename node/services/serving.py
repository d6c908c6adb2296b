"""Serve a request past pynetdicom: it reads the request, the node answers on the connection."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from node.conversation import Conversation, Outcome
from node.exchange import Listening
from node.lane import Lane
from node.transport import PeerGone

_ESTABLISHED: Final = "Sta6"


class Served(Listening, Protocol):
    """Whoever is being answered."""

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended."""


@contextmanager
def serving(lane: Lane, conversation: Conversation, peer: Served) -> Iterator[None]:
    """Let a peer be heard while the block answers it, and pynetdicom rest meanwhile.

    Takes PeerGone; where the peer is there, and takes nothing, its association ends.
    """
    association = lane.association
    association._is_paused = True  # noqa: SLF001  (as pynetdicom does while it serves)
    try:
        with lane.exchange.listening(peer):
            # What came between the request and the moment from which the peer is heard.
            if peer.message_id in association.dimse.cancel_req:
                peer.cancel()
            if association.dul.state_machine.current_state != _ESTABLISHED:
                peer.hang_up()
            yield
    except PeerGone as gone:
        if not peer.is_gone:
            conversation.end(Outcome.LOST, str(gone))
            lane.cut()
    finally:
        association._is_paused = False  # noqa: SLF001  (as above)
        association.dimse.cancel_req = {}
        association.dul._idle_timer.restart()  # noqa: SLF001  (no public way)
