"""What a peer sent and nobody has served yet: one buffer, filled by as few reads as possible.

A read takes what is there, up to a window, so that a command and the beginning of its dataset
come in one call. What follows of a large fragment goes past the window to its own place.
"""

import mmap
import time
from typing import Final, Protocol

from dicom.abort import AbortReason
from dicom.errors import ProtocolFault

WINDOW_BYTES: Final = 64 << 10
"""The most that one read brings. What lies in the window is copied once; the rest is not."""
_PRIVATE: Final = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Ended(Exception):  # noqa: N818  (an event of the connection, caught in node/lane.py)
    """The peer closed its end."""


class Source(Protocol):
    """What an inbox asks of a connection: node/transport.py has it."""

    def receive(self, view: memoryview) -> int:
        """Read what is there: how many bytes, 0 at the peer's end, -1 for nothing yet.

        Waits for some milliseconds.
        """

    def scatter(self, view: memoryview, behind: memoryview) -> int:
        """Read as `receive` does, where more than fills the view is sure to come.

        What comes after the end of the first view goes into the second.
        """

    def acknowledge(self) -> None:
        """Have the kernel acknowledge now what was read."""


class Inbox:
    """Bytes in the order they came. One thread uses it."""

    def __init__(self, source: Source, largest_bytes: int, timeout_s: float) -> None:
        """`largest_bytes` is the most that is ever asked for at once."""
        self._source = source
        self._size_bytes = largest_bytes + WINDOW_BYTES
        self._timeout_s = timeout_s
        self._held: memoryview | None = None
        self._start = self._end = 0
        self._waited_s = 0.0

    @property
    def waiting(self) -> int:
        """How many bytes are here."""
        return self._end - self._start

    def begin(self) -> None:
        """Start the time in which the next PDU is to arrive."""
        self._waited_s = 0.0

    def arrived(self) -> bool:
        """Whether anything is here, or comes within the moment that a read waits."""
        return bool(self.waiting) or self._read() > 0

    def need(self, count: int) -> memoryview:
        """Give the next bytes, which stay; the view is valid until the next call but `take`.

        Raises Ended, PeerGone, and ProtocolFault when the PDU's time is over.
        """
        while self._end - self._start < count:
            self._judge(self._read())
        return self._buffer[self._start : self._start + count]

    def take(self, count: int) -> None:
        """Count bytes as served."""
        self._start += count

    def fill(self, view: memoryview, behind: int) -> int:
        """Read past the buffer, which is empty, into a view; returns how many bytes came.

        So many bytes `behind` the view are read in the same call where they come with it; they
        are kept here. Raises as `need` does.
        """
        assert not self.waiting
        self._start = self._end = 0
        self._source.acknowledge()
        began_s = time.monotonic()
        if behind:
            count = self._source.scatter(view, self._buffer[:behind])
        else:
            count = self._source.receive(view)
        self._waited_s += time.monotonic() - began_s
        self._judge(count)
        self._end = max(0, count - len(view))
        return max(0, min(count, len(view)))

    @property
    def _buffer(self) -> memoryview:
        if self._held is None:  # a connection that says nothing costs no buffer
            # A page of it costs memory from its first use on, where a bytearray is all zeroed.
            self._held = memoryview(mmap.mmap(-1, self._size_bytes, flags=_PRIVATE))
        return self._held

    def _read(self) -> int:
        buffer, start, end = self._buffer, self._start, self._end
        if start == end:
            start = end = 0
        elif start >= WINDOW_BYTES or end + WINDOW_BYTES > len(buffer):
            # Sooner than it must, so that pages further on stay unused.
            buffer[: end - start] = buffer[start:end]
            start, end = 0, end - start
        # Or a peer that leaves Nagle's algorithm on keeps the end of its message back.
        self._source.acknowledge()
        began_s = time.monotonic()
        count = self._source.receive(buffer[end : end + WINDOW_BYTES])
        self._waited_s += time.monotonic() - began_s
        if count == 0:
            raise Ended
        self._start, self._end = start, end + max(count, 0)
        return count

    def _judge(self, count: int) -> None:
        """Judge a read in the middle of a PDU.

        Only what was waited for the peer counts, not what our own disk took in between.
        """
        if count == 0:
            raise Ended
        if self._waited_s > self._timeout_s:
            words = f"a PDU took longer than {self._timeout_s:g} s to arrive"
            raise ProtocolFault(words, AbortReason.NOT_SPECIFIED)
