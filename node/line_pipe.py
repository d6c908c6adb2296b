"""Exchange lines with a child process, waiting for it with a deadline and never longer."""

import os
import select
import subprocess
import time
from collections.abc import Callable
from typing import Final

BEAT_S: Final = 1.0
"""So often whoever waits for the child shows that it is alive itself."""
READ_BYTES: Final = 1 << 16
"""What a pipe holds."""


class Gone(Exception):  # noqa: N818  (an event, caught by whoever started the child)
    """The child died, hangs, or says what makes no sense."""


def end(child: subprocess.Popen[bytes]) -> None:
    """Kill a child and close its pipes."""
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        assert pipe is not None
        pipe.close()


class LinePipe:
    """A child's standard input and output. One thread uses it."""

    def __init__(self, child: subprocess.Popen[bytes], beat: Callable[[], object]) -> None:
        """`child` was started with unbuffered pipes; `beat` is called while it is waited for."""
        assert child.stdin is not None
        assert child.stdout is not None
        self._into, self._from = child.stdin.fileno(), child.stdout.fileno()
        os.set_blocking(self._into, False)
        self._beat = beat
        self._heard = bytearray()

    def send(self, line: bytes, timeout_s: float) -> None:
        """Write a line. Raises Gone when the child does not take it in time."""
        deadline_s = time.monotonic() + timeout_s
        rest = memoryview(line)
        while rest:
            self._wait(self._into, select.POLLOUT, deadline_s)
            try:
                rest = rest[os.write(self._into, rest) :]
            except BlockingIOError:  # room for less than a page is called writable by some kernels
                continue
            except OSError as fault:
                raise Gone from fault

    def receive(self, deadline_s: float) -> bytes:
        """Read a line, without its end. Raises Gone at the child's end or the deadline."""
        searched = 0
        while (end := self._heard.find(b"\n", searched)) < 0:
            searched = len(self._heard)
            self._wait(self._from, select.POLLIN, deadline_s)
            part = os.read(self._from, READ_BYTES)
            if not part:
                raise Gone
            self._heard += part
        line = bytes(self._heard[:end])
        del self._heard[: end + 1]
        return line

    def _wait(self, fd: int, event: int, deadline_s: float) -> None:
        """Wait until a pipe is ready. Raises Gone at the deadline, by the monotonic clock."""
        poll = select.poll()
        poll.register(fd, event)
        while not poll.poll(BEAT_S * 1000):
            self._beat()
            if time.monotonic() > deadline_s:
                raise Gone
