"""Ask the index in SQL as somebody who is given a part of it, in a process that sees no more.

The front reads only the tables and columns that the role is offered and streams them to a child
(storage/index/question_process.py), which answers into a file. Time, memory, the length of the
answer and the number of questions at once are limited; a child that will not end is killed.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import duckdb
from pyarrow import ipc  # type: ignore[attr-defined]  # pyarrow has no types

from dicom.errors import CannotUnderstand, Fault, NotAuthorised, OutOfResources, StorageFault
from storage.index.database import Index
from storage.index.offered import Role, offered

Form = Literal["json", "lines", "csv", "parquet"]

BATCH_ROWS: Final = 20_000
LYING: Final = 4
"""So many answers for each question at once may lie there until they are fetched."""
PATIENCE_S: Final = 2.0
"""So long a question waits for its turn before it is refused."""
LONGEST_LINE: Final = 1 << 20
_MODULE: Final = "storage.index.question_process"
_KINDS: Final = {kind.code: kind for kind in (CannotUnderstand, NotAuthorised, OutOfResources)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a question may use; see [sql] in docs/configuration.md."""

    timeout_s: float = 30.0
    max_rows: int = 100_000
    memory_mb: int = 1024
    answer_mb: int = 256
    at_once: int = 2


@dataclass(frozen=True, slots=True)
class Question:
    """One SELECT, its parameters by name, and how its answer is to be written."""

    sql: str
    parameters: Mapping[str, str | float | None] = field(default_factory=dict)
    form: Form = "json"
    timeout_s: float = 30.0
    max_rows: int = 1000


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer: a file, to be read from its beginning and closed, and what is known of it."""

    file: BinaryIO
    size_bytes: int
    columns: tuple[tuple[str, str], ...]
    """Names and DuckDB's types."""
    rows: int
    truncated: bool
    """Whether there were more rows than asked for."""
    seconds: float

    def chunks(self, size_bytes: int = 1 << 16) -> Iterator[bytes]:
        """Give the bytes, and close the file behind them."""
        with self.file:
            while chunk := self.file.read(size_bytes):
                yield chunk


class Questions:
    """Asks; safe to use from several threads."""

    def __init__(self, index: Index, limits: Limits, folder: Path) -> None:
        """`folder` is where answers lie while they are fetched; they have no names there."""
        self._index = index
        self._limits = limits
        self._folder = folder
        self._turns = threading.BoundedSemaphore(limits.at_once)
        self._places = threading.BoundedSemaphore(limits.at_once * LYING)

    def ask(self, question: Question, role: Role, stop: threading.Event | None = None) -> Answer:
        """Answer a question as a role may ask it; whoever sets `stop` ends it before its time.

        Raises CannotUnderstand for what is no SELECT or makes no sense, NotAuthorised for what
        the role is not offered, OutOfResources where a limit is reached, StorageFault.
        """
        if not self._turns.acquire(timeout=PATIENCE_S):
            words = f"{self._limits.at_once} questions are being answered: ask again in a while"
            raise OutOfResources(words)
        try:
            return self._ask(question, role, stop or threading.Event())
        finally:
            self._turns.release()

    def _ask(self, question: Question, role: Role, stop: threading.Event) -> Answer:
        began_s = time.monotonic()
        timeout_s = min(question.timeout_s, self._limits.timeout_s)
        file = self._place()
        try:
            with _child(file, timeout_s, stop) as child:
                said = self._converse(child, self._request(question, role, timeout_s), role)
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(0)
        except BaseException:
            file.close()
            raise
        columns = tuple((str(name), str(kind)) for name, kind in said["columns"])
        seconds = time.monotonic() - began_s
        return Answer(file, size_bytes, columns, said["rows"], said["truncated"], seconds)

    def _place(self) -> BinaryIO:
        """Give a file without a name for an answer; whoever closes it gives its place back."""
        if not self._places.acquire(blocking=False):
            words = "too many answers wait to be fetched: fetch them, or ask again in a while"
            raise OutOfResources(words)
        try:
            raw = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  (as said)
        except OSError as fault:
            self._places.release()
            raise StorageFault(f"no room for an answer ({fault.strerror})") from fault
        return _Lying(raw, self._places.release)

    def _request(self, question: Question, role: Role, timeout_s: float) -> dict[str, Any]:
        return {
            "sql": question.sql,
            "parameters": dict(question.parameters),
            "form": question.form,
            "max_rows": min(question.max_rows, self._limits.max_rows),
            "timeout_s": timeout_s,
            "memory_mb": self._limits.memory_mb,
            "answer_mb": self._limits.answer_mb,
            "offered": {table: list(one.columns) for table, one in offered(role).items()},
        }

    def _converse(self, child: "_Child", request: Mapping[str, Any], role: Role) -> dict[str, Any]:
        try:
            child.send(json.dumps(request).encode() + b"\n")
            said = child.hear()
            if "need" in said:
                self._give(child, said["need"], role)
                said = child.hear()
        except OSError:  # it ended before it had read everything: what it said tells why
            said = child.hear()
        except Fault:
            if child.late:  # what was read for it was interrupted
                child.hear()
            raise
        if "fault" in said:
            raise _KINDS.get(said["fault"], CannotUnderstand)(said["words"])
        return said

    def _give(self, child: "_Child", need: Mapping[str, Sequence[str]], role: Role) -> None:
        """Stream what is needed: of what is offered, whatever the child says."""
        offers = offered(role)
        statements = []
        for table, columns in need.items():
            if table not in offers:
                raise NotAuthorised("a table is asked for that is not offered")
            statements.append(offers[table].select(columns))
        with self._index.reading() as cursor:  # all of them in one state of the index
            child.at_the_end = cursor.interrupt
            for statement in statements:
                # sql() streams; what execute() gives would be copied whole first
                reader = cursor.sql(statement).to_arrow_reader(BATCH_ROWS)
                stream = ipc.new_stream(child.into, reader.schema)  # type: ignore[no-untyped-call]  # as above
                with stream:
                    for batch in reader:
                        stream.write_batch(batch)
        child.into.flush()


class _Lying(io.BufferedRandom):
    """A file that says when it is closed."""

    def __init__(self, raw: Any, closed: Callable[[], None]) -> None:
        super().__init__(raw)
        self._said = closed

    def close(self) -> None:
        """Close it, and say so once."""
        if not self.closed:
            super().close()
            self._said()


class _Child:
    """A process that answers one question; killed when its time is up or nobody wants it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        told: BinaryIO,
        timeout_s: float,
        stop: threading.Event,
    ) -> None:
        assert process.stdin is not None
        self.into = process.stdin
        self.late = False
        self.at_the_end: Callable[[], None] = lambda: None
        """What else has to end with it, before it is done."""
        self._process = process
        self._told = told
        self._timeout_s = timeout_s
        self._stop = stop
        self._over = False
        threading.Thread(target=self._watch, name="question", daemon=True).start()

    def send(self, line: bytes) -> None:
        """Write to it."""
        self.into.write(line)
        self.into.flush()

    def hear(self) -> dict[str, Any]:
        """Read what it says next. Raises OutOfResources when it is gone."""
        line = self._told.readline(LONGEST_LINE)
        if self.late:
            words = f"no answer within {self._timeout_s:g} s; ask for less or allow more time"
            raise OutOfResources(words)
        if not line.endswith(b"\n"):
            raise OutOfResources(
                "the question broke the process that answered it: it needs more memory or more"
                " depth than there is"
            )
        said: dict[str, Any] = json.loads(line)
        return said

    def end(self) -> None:
        """End it, whatever it does."""
        self._over = True
        self._stop.set()
        self._process.kill()
        with suppress(OSError):
            self.into.close()
        self._process.wait()
        self._told.close()

    def _watch(self) -> None:
        self._stop.wait(self._timeout_s)
        if not self._over:
            self.late = True
            self._process.kill()
            with suppress(duckdb.Error):  # it may be closed by now
                self.at_the_end()


@contextmanager
def _child(out: BinaryIO, timeout_s: float, stop: threading.Event) -> Iterator[_Child]:
    """Start a child that answers into a file, and end it."""
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-m", _MODULE, str(write_end)],
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=subprocess.DEVNULL,  # DuckDB's last words may quote a row
            pass_fds=(write_end,),
            cwd="/",
            env={},
        )
    except OSError as fault:
        os.close(read_end)
        raise StorageFault(f"no process for the question ({fault.strerror})") from fault
    finally:
        os.close(write_end)
    child = _Child(process, os.fdopen(read_end, "rb"), timeout_s, stop)
    try:
        yield child
    finally:
        child.end()


def as_role(may: Sequence[str] | frozenset[str]) -> Role | None:
    """Give the role of whoever has these permissions; None without one."""
    return next((role for role in (Role.IDENTIFIED, Role.PLAIN) if role in may), None)
