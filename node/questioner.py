"""Whoever asked a question by C-FIND, on the association that it asked on: answered, listened to.

Answers are written straight to the connection by the association's own thread, many in one call,
while its upper layer thread goes on reading (node/lane.py): a C-CANCEL, an abort and a closed
connection are heard at once, also while the index is searched.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from dicom.find_answer import Responses
from dicom.message import Command
from node.transport import PeerGone, Transport

_GONE: Final = "the requester ended the association"


class Questioner:
    """The peer behind one C-FIND. `cancel` and `hang_up` come from another thread."""

    is_storing = False

    def __init__(self, transport: Transport, responses: Responses, message_id: int) -> None:
        self.message_id = message_id
        self.responses = responses
        """Writes what answers it."""
        self.pause_s = 0.0
        """So long the first answer waits; see Exchange.is_pynetdicom."""
        self._transport = transport
        self._cancelled = threading.Event()
        self._gone = threading.Event()
        self._lock = threading.Lock()
        self._interrupt: Callable[[], object] | None = None

    @property
    def is_cancelled(self) -> bool:
        """Whether it wants no more."""
        return self._cancelled.is_set()

    @property
    def is_gone(self) -> bool:
        """Whether the association has ended, or is being released."""
        return self._gone.is_set()

    def require(self) -> None:
        """Raise PeerGone where the association has ended, or is being released."""
        if self._gone.is_set():
            raise PeerGone(_GONE)

    def send(self, messages: bytes) -> None:
        """Send whole messages. Raises PeerGone."""
        self.require()
        if self.pause_s:
            time.sleep(self.pause_s)
            self.pause_s = 0.0
        self._transport.send(messages)

    @contextmanager
    def interrupting(self, interrupt: Callable[[], object]) -> Iterator[None]:
        """Have something called, on another thread, as soon as no more is wanted."""
        with self._lock:
            self._interrupt = interrupt
        try:
            yield
        finally:
            with self._lock:
                self._interrupt = None

    def cancel(self) -> None:
        """Note that no more is wanted."""
        self._cancelled.set()
        self._stop()

    def hang_up(self) -> None:
        """Note that the association ends."""
        self._gone.set()
        self._stop()

    def answered(self, response: Command) -> None:
        """Take nothing: no C-STORE is sent here."""

    def _stop(self) -> None:
        with self._lock:  # what is interrupted ends with the block above, not sooner
            if self._interrupt is not None:
                self._interrupt()
