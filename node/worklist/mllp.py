"""Cut a stream of bytes into HL7 messages (MLLP, HL7 2.x Transport release 1); pure.

A message stands between 0x0B and 0x1C 0x0D. What comes after a start is dropped when another start
follows: its sender broke off, and hears nothing, so that it sends again.
"""

from collections.abc import Iterator
from typing import Final

START: Final = 0x0B
END: Final = 0x1C
MOST_BETWEEN: Final = 4096
"""Bytes between messages beyond which whoever sends speaks another protocol."""
_HEAD_BYTES: Final = 4096


class TooLong(ValueError):  # noqa: N818  (named as what it says)
    """A message is longer than it may be; `head` is how it begins."""

    def __init__(self, head: bytes) -> None:
        self.head = head
        super().__init__("the message is too long")


class NotFramed(ValueError):  # noqa: N818  (named as what it says)
    """What is sent is not framed as messages."""


class Frames:
    """Takes bytes as they come, and gives messages as they are whole."""

    def __init__(self, largest_bytes: int) -> None:
        self._largest_bytes = largest_bytes
        self._inside: bytearray | None = None
        self._between = 0
        self.broken = 0
        """Messages that began and did not end."""

    @property
    def is_inside(self) -> bool:
        """Whether a message has begun and is not whole."""
        return self._inside is not None

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yield each message that is whole now. Raises TooLong, NotFramed."""
        at = 0
        while at < len(chunk):
            if self._inside is None:
                at = self._start(chunk, at)
                continue
            end, again = _found(chunk, END, at), _found(chunk, START, at)
            stop = min(end, again)
            if len(self._inside) + stop - at > self._largest_bytes:
                self._inside += chunk[at : at + _HEAD_BYTES]
                raise TooLong(bytes(self._inside[:_HEAD_BYTES]))
            self._inside += chunk[at:stop]
            at = stop + 1
            if end < again:
                message, self._inside = bytes(self._inside), None
                yield message
            elif again < len(chunk):
                self._inside = bytearray()
                self.broken += 1

    def _start(self, chunk: bytes, at: int) -> int:
        start = _found(chunk, START, at)
        self._between += start - at
        if self._between > MOST_BETWEEN:
            raise NotFramed("what is sent is no HL7 over MLLP")
        if start < len(chunk):
            self._inside, self._between = bytearray(), 0
        return start + 1


def _found(chunk: bytes, sign: int, at: int) -> int:
    """Give where a sign stands; the chunk's end where it does not."""
    found = chunk.find(sign, at)
    return len(chunk) if found < 0 else found


def framed(message: bytes) -> bytes:
    """Frame a message."""
    return bytes((START,)) + message + bytes((END, 0x0D))
