"""Have pixels decoded and pictures made in processes of their own.

Codecs are written in C and read what anybody sent: an object that kills or hangs one takes down a
child that is started anew, never the front, whose interpreter stays with the door. A child gets
requests on its standard input, and ends with it.
"""

import contextlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from dicom.errors import CannotUnderstand, OutOfResources

CHILDREN: Final = 2
TIMEOUT_S: Final = 60.0
"""A frame takes milliseconds, a very large one some seconds."""
BUSY_S: Final = 20.0
"""How long a request waits for a child."""
_MOST_ANSWER: Final = 2 << 30

log = structlog.get_logger()


class Darkroom:
    """Children that work with pixels; each is started when it is first needed.

    Safe to share between threads.
    """

    def __init__(self, children: int = CHILDREN, timeout_s: float = TIMEOUT_S) -> None:
        self._idle: queue.LifoQueue[subprocess.Popen[bytes] | None] = queue.LifoQueue()
        for _ in range(children):
            self._idle.put(None)
        self._timeout_s = timeout_s

    def ask(self, task: Mapping[str, object], *blobs: bytes | memoryview) -> bytes:
        """Have one task done; see node/web/dicomweb/developing.py for tasks.

        Raises CannotUnderstand where it cannot be done, OutOfResources where nobody is free.
        """
        try:
            child = self._idle.get(timeout=BUSY_S)
        except queue.Empty:
            raise OutOfResources("too many pictures are asked for at once; try again") from None
        try:
            if child is None or child.poll() is not None:
                child = _started()
            return self._answer(child, task, blobs)
        except (OSError, EOFError, ValueError) as fault:
            if child is not None:
                _end(child)
            child = None
            log.error("pixels not read", task=str(task.get("do")), why=type(fault).__name__)
            words = "reading its pixels kills or hangs the process that reads"
            raise CannotUnderstand(words) from fault
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End the children. Others may be started by who still asks."""
        with contextlib.suppress(queue.Empty):
            while True:
                child = self._idle.get_nowait()
                if child is not None:
                    _end(child)

    def _answer(
        self,
        child: subprocess.Popen[bytes],
        task: Mapping[str, object],
        blobs: Sequence[bytes | memoryview],
    ) -> bytes:
        assert child.stdin is not None
        assert child.stdout is not None
        late = threading.Timer(self._timeout_s, child.kill)
        late.daemon = True
        late.start()
        try:
            line = json.dumps({**task, "sizes": [len(one) for one in blobs]}) + "\n"
            child.stdin.write(line.encode("ascii"))
            for one in blobs:
                child.stdin.write(one)
            child.stdin.flush()
            told = json.loads(child.stdout.readline())
            found = _exactly(child, int(told["size"]))
        finally:
            late.cancel()
        if "fault" in told:
            raise CannotUnderstand(str(told["fault"])[:500])
        return found


def _exactly(child: subprocess.Popen[bytes], size: int) -> bytes:
    assert child.stdout is not None
    if not 0 <= size <= _MOST_ANSWER:
        raise ValueError("no size of an answer")
    found = child.stdout.read(size)
    if len(found) != size:
        raise EOFError
    return found


def _started() -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "node.web.dicomweb.developing"]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
