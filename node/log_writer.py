"""Write log lines on a thread of their own, so that no log can hold up whoever logs.

A pipe that nobody drains blocks the thread here and nobody else: lines queue up to a bound, what
comes beyond it is dropped and counted, and the count is a line of its own once lines go out again.
"""

import os
import queue
import select
import threading
from collections.abc import Callable
from typing import Final, TextIO

QUEUE_LINES: Final = 10_000
"""So many lines wait, some megabytes; an association makes one or two."""
FLUSH_S: Final = 1.0
"""So long an end waits for the last lines; a log that is read takes milliseconds."""


class LogWriter:
    """Takes lines from any thread, at any moment, and returns at once."""

    def __init__(self, sink: TextIO, tell_dropped: Callable[[int], object]) -> None:
        """`tell_dropped` logs how many lines were dropped so far, in all.

        It is called on the writer's thread.
        """
        self._write = _writing_to(sink)
        self._tell_dropped = tell_dropped
        # Its `put` may interrupt itself: a finalizer or a signal handler may log at any point.
        self._queue: queue.SimpleQueue[str | threading.Event | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._dropped = self._told = 0
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Have a line written, or count it as dropped."""
        if threading.current_thread() is self._thread:  # the count of what was dropped
            self._try(line)
        elif self._queue.qsize() < QUEUE_LINES:
            self._queue.put(line)
        else:
            self._drop()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until everything that was put before is written; False when it takes too long."""
        done = threading.Event()
        self._queue.put(done)
        return done.wait(timeout_s)

    def close(self, timeout_s: float = FLUSH_S) -> None:
        """Write what there is, then end."""
        self._queue.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        goes_out = False
        while (item := self._queue.get()) is not None:
            if isinstance(item, str):
                goes_out = self._try(item)
            if goes_out and self._dropped > self._told and self._queue.empty():
                self._told = self._dropped
                self._tell_dropped(self._told)
            if isinstance(item, threading.Event):
                item.set()

    def _try(self, line: str) -> bool:
        try:
            self._write(line + "\n")
        except (OSError, ValueError):  # a full disk, a closed pipe, a closed stream
            self._drop()
            return False
        return True

    def _drop(self) -> None:
        with self._lock:
            self._dropped += 1


def _writing_to(sink: TextIO) -> Callable[[str], object]:
    """Give a function that writes text, in one call where the kernel takes it whole.

    Processes that share the stream do not mix their lines then. The descriptor is written past
    the stream's own buffer, whose lock would stop the interpreter's end while a write is blocked.
    """
    try:
        fd = sink.fileno()
    except (OSError, ValueError):
        return lambda text: (sink.write(text), sink.flush())
    encoding = sink.encoding or "utf-8"
    return lambda text: _write_all(fd, text.encode(encoding, "backslashreplace"))


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # somebody who shares the stream made it so
            select.select([], [fd], [])
