"""Take orders by HL7 v2 over MLLP, and acknowledge each once it is on disk.

One thread runs all connections, another one does what messages ask, one after the other, as they
came. Whoever is silent, slow or talks nonsense holds up nobody else.
"""

import asyncio
import contextlib
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog

from config import addresses
from config.worklist import Hl7
from dicom.errors import CannotUnderstand, ConfigFault, Fault
from node.worklist import er7, orders
from node.worklist.er7 import Message, NotHl7
from node.worklist.mllp import Frames, NotFramed, TooLong, framed
from storage.ledger.worklist import Draft, Order, Put

ANSWER_S: Final = 30.0
"""Within which a sender must take its answer."""
LINGER_S: Final = 5.0
START_S: Final = 10.0
_READ_BYTES: Final = 65_536
_UNSUPPORTED: Final = frozenset({200, 201})

log = structlog.get_logger()


class Entries(Protocol):
    """Where entries are kept: the ledger."""

    def put(self, drafts: list[Draft], now: float) -> list[Put]:
        """Write entries down."""

    def cancel(self, orders: list[Order], now: float) -> int:
        """Take the entries of orders back."""

    def update_patient(
        self, patient_id: str, issuer: str, facts: Mapping[str, str], now: float
    ) -> int:
        """Have a patient's entries say what is now known."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a message is answered, and what the log says of it."""

    answer: str
    ack: bytes
    kind: str
    words: str = ""
    entries: int = 0


class Responder:
    """Does what messages ask. One thread at a time uses it."""

    def __init__(
        self,
        entries: Entries,
        stations: Mapping[str, str],
        charset: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._entries = entries
        self._stations = stations
        self._charset = charset
        self._clock = clock

    def answer(self, data: bytes) -> Answered:
        """Do what a message asks, and make its acknowledgement.

        AA: it is done, and on disk. AE: the message is at fault. AR: this kind is not taken, or
        the node cannot do it now; then it may be sent again.
        """
        message: Message | None = None
        try:
            message = er7.read(data, self._charset)
            count = self._do(orders.asked_by(message, self._stations))
        except NotHl7 as fault:
            answer = "AR" if fault.code in _UNSUPPORTED else "AE"
            return _answered(message or er7.head_of(data), answer, fault.code, str(fault))
        except CannotUnderstand as fault:
            return _answered(message, "AE", 102, str(fault))
        except Fault as fault:
            return _answered(message, "AR", 207, f"{fault.code}: {fault}")
        except Exception as bug:  # one message must not end the thread that answers them all
            log.error("hl7 failed", exc_info=bug)
            return _answered(message, "AR", 207, "the node failed at this; see its log")
        return _answered(message, "AA", entries=count)

    def _do(self, asked: orders.Asked) -> int:
        now = self._clock()
        count = 0
        if asked.cancelled:
            count += self._entries.cancel(asked.cancelled, now)
        if asked.drafts:
            count += len(self._entries.put(asked.drafts, now))
        for one in asked.patients:
            count += self._entries.update_patient(one.patient_id, one.issuer, one.facts, now)
        return count


def _answered(
    asked: Message | None, answer: str, code: int = 0, words: str = "", entries: int = 0
) -> Answered:
    kind = asked.type if asked else ("", "")
    known = kind in orders.ORDERS | orders.UPDATES | orders.MERGES
    when = time.strftime("%Y%m%d%H%M%S%z")
    ack = er7.acknowledgement(asked, answer, when, secrets.token_hex(8), code=code, words=words)
    return Answered(answer, ack, "^".join(kind) if known else "other", words, entries)


@dataclass(slots=True, eq=False)
class _Connection:
    """One sender's connection."""

    address: str
    writer: asyncio.StreamWriter
    frames: Frames
    is_busy: bool = False
    heard_at: float = field(default_factory=time.monotonic)


class Hl7Listener:
    """The port for orders."""

    def __init__(self, hl7: Hl7, responder: Responder) -> None:
        self._hl7 = hl7
        self._responder = responder
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._fault: OSError | None = None
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="hl7-orders")
        self._thread = threading.Thread(target=self._run, name="hl7", daemon=True)
        self.port = hl7.port

    def start(self) -> None:
        """Open the port. Raises ConfigFault when it cannot be had."""
        self._thread.start()
        if not self._ready.wait(START_S) or self._fault is not None:
            said = self._fault.strerror if self._fault else "its thread does not start"
            where = f"{self._hl7.host}:{self._hl7.port}"
            raise ConfigFault([("worklist.hl7.port", f"{where} cannot be listened on: {said}")])
        log.info("hl7 listening", host=self._hl7.host, port=self.port)

    def stop(self, timeout_s: float) -> None:
        """Close the port and every connection, after the message in hand. Safe before start."""
        if self._loop is not None and self._stopping is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join(timeout_s)
        self._worker.shutdown(wait=False, cancel_futures=True)

    def facts(self) -> dict[str, int]:
        """Count answers since the start, connections that were refused, and messages cut off."""
        names = ("AA", "AE", "AR", "refused", "broken")
        return {name: self._counts[name] for name in names}

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except OSError as fault:
            self._fault = fault
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, self._hl7.host, self._hl7.port)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stopping.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = addresses.normal(str((writer.get_extra_info("peername") or ("",))[0]))
        if words := self._refusal(address):
            self._counts["refused"] += 1
            log.warning("hl7 connection refused", address=address, words=words)
            writer.transport.abort()
            return
        one = _Connection(address, writer, Frames(self._hl7.largest_kb << 10))
        self._connections.add(one)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._attend(one, reader)
            writer.close()
        except (OSError, TimeoutError) as fault:
            log.info("hl7 connection lost", address=address, words=type(fault).__name__)
            writer.transport.abort()
        except asyncio.CancelledError:  # the node stops
            writer.transport.abort()
        finally:
            self._counts["broken"] += one.frames.broken + one.frames.is_inside
            self._connections.discard(one)
            self._tasks.discard(task)

    def _refusal(self, address: str) -> str:
        """Say why a connection may not be; "" when it may: if need be, a silent one makes room."""
        if not addresses.contains(self._hl7.addresses, address):
            return f"add {address} to [worklist.hl7] addresses, if it is your RIS"
        if len(self._connections) < self._hl7.max_connections:
            return ""
        silent = [one for one in self._connections if not one.is_busy and not one.frames.is_inside]
        if not silent:
            return "too many connections: raise [worklist.hl7] max_connections"
        longest = min(silent, key=lambda one: one.heard_at)
        self._connections.discard(longest)
        longest.writer.transport.abort()
        return ""

    async def _attend(self, one: _Connection, reader: asyncio.StreamReader) -> None:
        due: float | None = None
        while True:
            async with asyncio.timeout_at(due):
                chunk = await reader.read(_READ_BYTES)
            if not chunk:
                if one.frames.is_inside:
                    log.warning("hl7 message cut off", address=one.address)
                return
            one.heard_at = time.monotonic()
            was_inside = one.frames.is_inside
            try:
                for message in one.frames.feed(chunk):
                    await self._answer(one, message)
                    was_inside = False
            except TooLong as fault:
                await self._too_long(one, reader, fault.head)
                return
            except NotFramed as fault:
                log.warning("hl7 connection closed", address=one.address, words=str(fault))
                return
            if not one.frames.is_inside:
                due = None
            elif due is None or not was_inside:
                due = asyncio.get_running_loop().time() + self._hl7.message_s

    async def _answer(self, one: _Connection, message: bytes) -> None:
        begun = time.monotonic()
        one.is_busy = True
        try:
            loop = asyncio.get_running_loop()
            made = await loop.run_in_executor(self._worker, self._responder.answer, message)
            await self._send(one, made)
        finally:
            one.is_busy = False
        log.info(
            "hl7", address=one.address, kind=made.kind, answer=made.answer, entries=made.entries,
            words=made.words, ms=round((time.monotonic() - begun) * 1000, 1),
        )  # fmt: skip

    async def _too_long(self, one: _Connection, reader: asyncio.StreamReader, head: bytes) -> None:
        words = f"the message is longer than [worklist.hl7] largest_kb, {self._hl7.largest_kb}"
        log.warning("hl7 message refused", address=one.address, words=words)
        await self._send(one, _answered(er7.head_of(head), "AR", 207, words))
        one.writer.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                # Closed at once, with more to come, the sender might not see its answer.
                while await reader.read(_READ_BYTES):
                    pass

    async def _send(self, one: _Connection, made: Answered) -> None:
        self._counts[made.answer] += 1
        one.writer.write(framed(made.ack))
        async with asyncio.timeout(ANSWER_S):
            await one.writer.drain()
