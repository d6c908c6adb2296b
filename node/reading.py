"""Read stored objects in a process of its own, so that the door keeps the interpreter.

Digests and heads cost more than the receiving itself. The child gets batches as JSON lines on its
standard input and answers each with a line; end of file ends it, so it never outlives the front.
The first line holds the spool's keys: other users could read arguments, and a crash report the
environment.
An object that kills or hangs it is held, and takes no other object down.
"""

import json
import os
import queue
import resource
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from dicom.entity import Arrival, Instance, Location, Origin, SeriesKey
from dicom.errors import CannotUnderstand, Corrupt, DoesNotMatch, Fault, StorageFault
from node.line_pipe import Gone, LinePipe, end
from node.logs import configure
from storage.index.heads import HeadRow
from storage.ledger.arrived import NOWHERE, UNREAD, Arrived
from storage.ledger.arriving import read
from storage.ledger.heading import Heading
from storage.spool.reader import SpoolReader
from storage.spool.record import Record
from storage.spool.sealing import NO_KEYS, NoKey, SpoolKey, SpoolKeys

NICENESS: Final = 5
"""Whoever waits at the door comes first."""
MEMORY_LIMIT_BYTES: Final = 2 << 30
"""A deflated dataset can unfold to any size; beyond this it is a fault of that object."""
LINE_RECORDS: Final = 50
"""Answers come in lines of so many: the front's interpreter stands still while it reads one."""
TIMEOUT_S: Final = 120.0
"""A batch takes milliseconds."""
SLOWEST_BYTES_PER_S: Final = 50e6
"""A disk that gives less is as good as hung; an object of 25 GB may take minutes on a slow one."""

READ: Final = "read"
HEADS: Final = "heads"

_FAULTS: Final[dict[str, type[Fault]]] = {
    kind.code: kind for kind in (CannotUnderstand, DoesNotMatch, Corrupt, NoKey, StorageFault)
}

log = structlog.get_logger()


class ReadingProcess:
    """Reads batches of records, first in, first out, one ahead of whoever collects.

    One thread uses it. The child starts at once, for it takes half a second to get ready.
    """

    def __init__(self, root: Path, keys: SpoolKeys = NO_KEYS) -> None:
        """Start the child. Raises StorageFault when the machine has no room for a process."""
        self.beat: Callable[[], object] = lambda: None
        """Called now and then while the child is waited for, which may take minutes."""
        self._keys = keys
        self._command = [sys.executable, "-m", "node.reading", str(root)]
        self._pending: deque[Sequence[Record]] = deque()
        self._child: subprocess.Popen[bytes] | None = None
        try:
            self._start()
        except Gone:
            self._end()  # the first batch starts another

    def submit(self, records: Sequence[Record]) -> None:
        """Have a batch read."""
        self._pending.append(records)
        try:
            self._ask(records)
        except (Gone, StorageFault):
            self._end()  # `collect` asks again

    def collect(self) -> list[Arrived]:
        """Wait for the oldest batch that was submitted.

        Raises StorageFault when no child can be started; everything submitted is then forgotten.
        """
        records = self._pending[0]
        try:
            try:
                if self._child is None:
                    self._ask_all()
                arrived = self._answer(records)
            except Gone:
                arrived = self._one_by_one(records)
        except BaseException:
            self.forget()
            raise
        self._pending.popleft()
        return arrived

    def heads(self, records: Sequence[Record]) -> list[HeadRow | None]:
        """Have heads made for the index, while nothing else is submitted.

        Raises StorageFault as `collect` does. An object that ends the child has no head.
        """
        assert not self._pending
        try:
            self._ask(records, HEADS)
            return [_head(found) for found in self._lines(records)]
        except Gone:
            self._end()
        out: list[HeadRow | None] = []
        for record in records:
            try:
                self._ask([record], HEADS)
                out += [_head(found) for found in self._lines([record])]
            except Gone:
                self._end()
                out.append(None)
                uid = record.arrival.sop_instance_uid
                log.error("head died", sop_instance=uid, segment=record.location.segment)
        return out

    def forget(self) -> None:
        """Drop what was submitted and not collected, and the child with it."""
        self._end()
        self._pending.clear()

    def _ask_all(self) -> None:
        for records in self._pending:
            self._ask(records)

    def _one_by_one(self, records: Sequence[Record]) -> list[Arrived]:
        """Read a batch on which the child died, and find the object that does it."""
        out: list[Arrived] = []
        self._end()
        for record in records:
            try:
                self._ask([record])
                out += self._answer([record])
            except Gone:
                self._end()
                uid = record.arrival.sop_instance_uid
                log.error("reading died", sop_instance=uid, segment=record.location.segment)
                fault = CannotUnderstand("reading it kills or hangs the process that reads")
                out.append(Arrived(Instance(record.arrival, record.location, UNREAD), fault=fault))
        self._end()  # what else is pending is asked again
        return out

    def _ask(self, records: Sequence[Record], what: str = READ) -> None:
        if self._child is None:
            self._start()
        self._pipe.send(_request(records, what), TIMEOUT_S)

    def _answer(self, records: Sequence[Record]) -> list[Arrived]:
        return [_arrived(*pair) for pair in zip(records, self._lines(records), strict=True)]

    def _lines(self, records: Sequence[Record]) -> list[Any]:
        found: list[Any] = []
        deadline_s = time.monotonic() + patience_s(records)
        while len(found) < len(records):
            line = self._pipe.receive(deadline_s)
            try:
                found += json.loads(line)
            except ValueError as fault:
                raise Gone from fault
        if len(found) != len(records):
            raise Gone
        return found

    def _start(self) -> None:
        try:
            self._child = subprocess.Popen(
                self._command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        except OSError as fault:
            raise StorageFault(
                f"no process can be started to read objects: {fault.strerror}; look at the"
                " machine's memory and its limit of processes"
            ) from fault
        self._pipe = LinePipe(self._child, self._show_life)
        self._pipe.send(_keys_line(self._keys), TIMEOUT_S)

    def _show_life(self) -> None:
        self.beat()

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            end(child)


def patience_s(records: Sequence[Record]) -> float:
    """Say how long a batch may take to be read, by its bytes."""
    return TIMEOUT_S + sum(one.location.length for one in records) / SLOWEST_BYTES_PER_S


def _keys_line(keys: SpoolKeys) -> bytes:
    return json.dumps([key.secret.hex() for key in keys]).encode("ascii") + b"\n"


def _keys(line: bytes) -> SpoolKeys:
    # An empty line is the end of file: the front left before it had asked anything.
    secrets = json.loads(line) if line else []
    return SpoolKeys(older=[SpoolKey(bytes.fromhex(secret)) for secret in secrets])


def _request(records: Sequence[Record], what: str) -> bytes:
    asked: list[Any] = [what]
    asked += [
        (one.arrival.sop_class_uid, one.arrival.sop_instance_uid, one.arrival.transfer_syntax_uid,
         one.location.segment, one.location.offset, one.location.length, one.checksum.hex(),
         one.key_id)
        for one in records
    ]  # fmt: skip
    return json.dumps(asked).encode("ascii") + b"\n"


def _arrived(record: Record, found: list[Any]) -> Arrived:
    digest, texts, fault = found
    instance = Instance(record.arrival, record.location, digest)
    if fault is not None:
        code, words = fault
        return Arrived(instance, fault=_FAULTS.get(code, CannotUnderstand)(words))
    key = SeriesKey(texts["StudyInstanceUID"], texts["SeriesInstanceUID"])
    return Arrived(instance, key, texts)


def _head(found: list[Any] | None) -> HeadRow | None:
    return None if found is None else HeadRow(*found)


def _record(asked: list[Any]) -> Record:
    sop_class_uid, sop_instance_uid, syntax, segment, offset, length, checksum, key_id = asked
    arrival = Arrival(sop_class_uid, sop_instance_uid, syntax, "", "", "", "", 0.0, Origin.DIMSE)
    location = Location(segment, offset, length)
    return Record(arrival, location, bytes.fromhex(checksum), 0, key_id)


def _read(reader: SpoolReader, asked: list[Any]) -> tuple[str, dict[str, str], object]:
    found = read(reader, _record(asked))
    if found.fault is None:
        assert found.key != NOWHERE
        return found.instance.digest, dict(found.texts), None
    return found.instance.digest, {}, (found.fault.code, str(found.fault))


def main() -> None:
    """Answer batches until standard input ends."""
    configure("warning")  # what a library says of an object may quote it (P6)
    os.nice(NICENESS)
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_LIMIT_BYTES, hard))
    reader = SpoolReader(Path(sys.argv[1]), _keys(sys.stdin.buffer.readline()))
    batches: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    # Requests are taken in at once: the front must never wait for us to read one while we wait
    # for it to read an answer.
    threading.Thread(target=_take_in, args=(batches,), daemon=True).start()
    heading = Heading(reader)
    while line := batches.get():
        what, *asked = json.loads(line)
        for start in range(0, len(asked), LINE_RECORDS):
            some = asked[start : start + LINE_RECORDS]
            if what == HEADS:
                answers: list[Any] = [heading.head(_record(one)) for one in some]
            else:
                answers = [_read(reader, one) for one in some]
            sys.stdout.write(json.dumps(answers) + "\n")
        sys.stdout.flush()


def _take_in(batches: queue.SimpleQueue[bytes]) -> None:
    for line in sys.stdin.buffer:
        batches.put(line)
    batches.put(b"")


if __name__ == "__main__":
    main()
