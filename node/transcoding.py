"""Decode compressed objects in processes of their own, for retrievals.

Codecs hold the interpreter while they compute, and the door could not receive meanwhile; an object
that kills one shall not kill the front. Bytes go to a child and back in memory without a copy
through a pipe. Objects that are not compressed are written anew here, which takes little.
"""

import contextlib
import json
import mmap
import os
import queue
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from dicom.encoding import DEFLATED
from dicom.errors import Refused
from dicom.store_scu import encoded_dataset
from dicom.transcode import NATIVE, transcode
from node.line_pipe import Gone, LinePipe, end

CHILDREN: Final = 2
TIMEOUT_S: Final = 60.0
SLOWEST_BYTES_PER_S: Final = 1e6
"""Of compressed bytes."""
GRACE_S: Final = 1
"""A child that outlives its time by so long ends itself."""
NICENESS: Final = 5
MEMORY_LIMIT_BYTES: Final = 6 << 30
"""An object of 2 GB when native is the largest that is made, and is in memory twice."""

Chunk = bytes | memoryview
Source = tuple[str, str, str]
"""SOP class, SOP Instance UID and transfer syntax of an object."""


class Transcoding:
    """Gives objects in other transfer syntaxes; see dicom/transcode.py. Threads may share it."""

    def __init__(self, children: int = CHILDREN) -> None:
        """Make it; a child is started when the first object needs it."""
        self._all = [_Child() for _ in range(children)]
        self._free: queue.LifoQueue[_Child] = queue.LifoQueue()
        for child in self._all:
            self._free.put(child)

    def transcode(
        self, part10: Sequence[Chunk], source: Source, transfer_syntax_uid: str
    ) -> Sequence[Chunk]:
        """Give an object in one of the `substitutes` of its own transfer syntax.

        Raises Refused, with the reason, where it cannot be made.
        """
        own = source[2]
        if own in NATIVE and own not in DEFLATED:
            return transcode(part10, encoded_dataset(part10), source, transfer_syntax_uid)
        child = self._free.get()
        try:
            return [child.transcode(part10, source, transfer_syntax_uid)]
        finally:
            self._free.put(child)

    def close(self) -> None:
        """End the children. May be called twice."""
        for child in self._all:
            child.close()


class _Child:
    """One process. One thread uses it at a time; `close` may come from another."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._pipe: LinePipe | None = None
        self._lock = threading.Lock()

    def transcode(
        self, part10: Sequence[Chunk], source: Source, transfer_syntax_uid: str
    ) -> memoryview:
        patience_s = TIMEOUT_S + sum(map(len, part10)) / SLOWEST_BYTES_PER_S
        given, made = _memory("given"), _memory("made")
        try:
            for chunk in part10:
                _write(given, chunk)
            asked = {
                "given": _path(given), "made": _path(made), "source": source,
                "syntax": transfer_syntax_uid, "within_s": patience_s,
            }  # fmt: skip
            answer = self._ask(asked, patience_s, source)
            if "fault" in answer:
                raise Refused(str(answer["fault"]))
            return memoryview(mmap.mmap(made, 0, access=mmap.ACCESS_READ))
        finally:
            os.close(given)
            os.close(made)

    def close(self) -> None:
        with self._lock:
            child, self._child, self._pipe = self._child, None, None
        if child is not None:
            end(child)

    def _ask(
        self, asked: Mapping[str, object], patience_s: float, source: Source
    ) -> dict[str, Any]:
        line = json.dumps(asked).encode("ascii") + b"\n"
        try:
            pipe = self._started()
            pipe.send(line, TIMEOUT_S)
            answer: dict[str, Any] = json.loads(pipe.receive(time.monotonic() + patience_s))
        except (Gone, ValueError, OSError) as fault:
            self.close()
            words = f"{source[1]} cannot be decoded: it kills or hangs the process that decodes"
            raise Refused(words) from fault
        return answer

    def _started(self) -> LinePipe:
        if self._pipe is None or self._child is None or self._child.poll() is not None:
            self.close()
            command = [sys.executable, "-m", "node.transcoding"]
            self._child = subprocess.Popen(
                command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._pipe = LinePipe(self._child, lambda: None)
        return self._pipe


def _memory(name: str) -> int:
    return os.memfd_create(name, os.MFD_CLOEXEC)


def _path(descriptor: int) -> str:
    """Name a descriptor so that a child of ours can open it."""
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def _write(descriptor: int, data: Chunk) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _answer(asked: dict[str, Any]) -> dict[str, Any]:
    sop_class_uid, sop_instance_uid, own = asked["source"]
    try:
        part10 = [memoryview(Path(asked["given"]).read_bytes())]
        source = (sop_class_uid, sop_instance_uid, own)
        pieces = transcode(part10, encoded_dataset(part10), source, asked["syntax"])
        with Path(asked["made"]).open("r+b") as out:
            out.writelines(pieces)
    except Refused as fault:
        return {"fault": str(fault)}
    except Exception as bug:  # noqa: BLE001  (one strange object shall not stop all others)
        return {"fault": f"{sop_instance_uid} cannot be decoded ({type(bug).__name__})"}
    return {}


def main() -> None:
    """Answer requests until standard input ends, and with it whoever asked."""
    from node.logs import configure

    configure("error")  # what a library says of an object may quote it (P6)
    os.nice(NICENESS)
    with contextlib.suppress(OSError):  # when memory runs out, this goes, and not the front
        Path("/proc/self/oom_score_adj").write_text("1000")
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, hard))
    for line in sys.stdin.buffer:
        asked = json.loads(line)
        # Whoever asked may be gone by then. It ends a codec that hangs, which no handler would.
        signal.alarm(int(asked["within_s"]) + GRACE_S)
        sys.stdout.write(json.dumps(_answer(asked)) + "\n")
        signal.alarm(0)
        sys.stdout.flush()


if __name__ == "__main__":
    main()
