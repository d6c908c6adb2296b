"""STOW-RS: store objects as their bytes come, and answer for each of them (PS3.18 10.5).

A body is never held: at most STEP_BYTES of it, and of an object whose UIDs have not come yet
intake.MOST_HEAD_BYTES, are in memory.
"""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final
from uuid import uuid4

import anyio
import anyio.to_thread
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from config.api import Token
from config.sources import title_of
from dicom import uid
from node.admission import AssociationFacts
from node.conversation import AssociationWatcher, Ending
from node.conversation import Outcome as Ended
from node.services.store import Receiver
from node.web.dicomweb.body import Body, Disk, Reader, reader_of
from node.web.dicomweb.intake import Commits, Terms
from node.web.dicomweb.negotiate import Offer, pick
from node.web.dicomweb.outcome import JSON, XML, Outcome
from node.web.dicomweb.service import accepted, service_url
from node.web.guard import Caller

STEP_BYTES: Final = 1 << 20
"""Handed on at once, from the event loop to the thread that writes."""
AT_ONCE: Final = 16
"""Requests that may store at one time; each has a segment of the spool to itself."""
SYNCS: Final = 8
"""Threads that sync objects for all of them."""
WRITERS: Final = 4
"""Threads that write for all of them."""
CHUNK_S: Final = 30.0
"""Within which the next bytes of a body must come."""
LINGER_S: Final = 0.2
"""After so long without more, what has come is handed on, however little it is."""
SLOWEST_BYTES_S: Final = 1024
"""Per second, over all of a body: who sends drop by drop holds a segment that others need."""
DROPPED_BYTES: Final = 64 << 20
"""Of a body that has proven broken so much is read on, so that its sender hears the answer."""
RETRY_S: Final = 10

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class StoreParts:
    """What storing needs of the node."""

    receiver: Receiver
    disk: Disk
    watchers: Sequence[AssociationWatcher]
    """Hear of each request as of an association; its Series settle, it is counted and explained."""
    classes: frozenset[str]
    called_ae: str
    titles: dict[str, str]
    """The AE title of each token, by its name."""
    scratch: Path
    """Where bulk data waits for the metadata that it belongs to."""
    behind_proxy: bool = False


def titles_of(tokens: dict[str, Token]) -> dict[str, str]:
    """Give each token the AE title that rules see as `calling_ae`."""
    return {name: title_of(name, one.ae_title) for name, one in tokens.items()}


class Store:
    """Answers requests to store. One object serves every request."""

    def __init__(self, parts: StoreParts, clock: Callable[[], float] = time.time) -> None:
        self._parts = parts
        self._clock = clock
        self._open = 0
        self._writers = anyio.CapacityLimiter(WRITERS)
        self._pool = ThreadPoolExecutor(SYNCS, "stow")

    async def handle(self, request: Request, caller: Caller) -> Response:
        """Store what comes; 200, 202, 400, 408, 409, 415 or 503 as PS3.18 10.5.3 says."""
        offer = _offer(request)
        reader = reader_of(_content_type(request))
        study = request.path_params.get("StudyInstanceUID", "")
        if study and not uid.is_storable(study):
            raise HTTPException(400, "StudyInstanceUID in the URL is no UID")
        if words := self._parts.disk.trouble():
            raise _later(words)
        if self._open >= AT_ONCE:
            raise _later(f"{AT_ONCE} requests are being stored; come back in a moment")
        self._open += 1
        try:
            return await self._stored(request, caller, reader, study, offer)
        finally:
            self._open -= 1

    async def _stored(
        self, request: Request, caller: Caller, reader: Reader, study: str, offer: Offer
    ) -> Response:
        parts = self._parts
        terms = Terms(
            parts.titles[caller.name], parts.called_ae, _address(request),
            f"web-{uuid4().hex[:12]}", parts.classes, study, self._clock,
        )  # fmt: skip
        began_at, began_s = self._clock(), time.monotonic()
        outcome = Outcome()
        body = Body(reader, terms, parts.receiver, parts.disk, outcome, scratch=parts.scratch,
                    commits=Commits(self._pool))  # fmt: skip
        facts = AssociationFacts(
            terms.association, terms.ae_title, terms.called_ae, terms.address, began_at
        )
        for watcher in parts.watchers:
            watcher.on_opened(facts)
        try:
            refusal = await self._read(request, body, outcome)
        except BaseException:
            outcome.broken = outcome.broken or "the node broke it off"
            raise
        finally:
            self._told(caller, facts, outcome, time.monotonic() - began_s)
        if refusal is not None and not outcome.stored:
            raise refusal
        url = service_url(request, behind_proxy=parts.behind_proxy)
        return _answer(outcome, url, offer)

    async def _read(self, request: Request, body: Body, outcome: Outcome) -> HTTPException | None:
        """Have the whole body taken; returns the answer to one that did not come."""
        dropped = 0
        try:
            async for chunk in _steps(request):
                await anyio.to_thread.run_sync(body.feed, chunk, limiter=self._writers)
                dropped += len(chunk) if outcome.broken else 0
                if dropped > DROPPED_BYTES:
                    break
            await anyio.to_thread.run_sync(body.close, limiter=self._writers)
        except ClientDisconnect:
            outcome.broken = "the connection broke"
        except TimeoutError:
            outcome.broken = (
                f"the body came too slowly: less than {SLOWEST_BYTES_S} bytes a second, or nothing"
                f" for {CHUNK_S:g} s"
            )
            return HTTPException(408, outcome.broken)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(body.abandon, limiter=self._writers)
        return None

    def _told(
        self, caller: Caller, facts: AssociationFacts, outcome: Outcome, seconds: float
    ) -> None:
        size_bytes = sum(one.size_bytes for one in outcome.stored)
        statuses = {0: len(outcome.stored)} if outcome.stored else {}
        for one in outcome.failed:
            assert one.failure is not None
            statuses[one.failure] = statuses.get(one.failure, 0) + 1
        ended = Ended.LOST if outcome.broken else Ended.RELEASED
        ending = Ending(ended, outcome.broken, statuses, size_bytes, seconds)
        for watcher in self._parts.watchers:
            for result in (*outcome.stored, *outcome.failed):
                watcher.on_stored(facts, result.failure or 0, result.size_bytes)
            watcher.on_closed(facts, ending)
        write = log.warning if outcome.failed or outcome.broken else log.info
        write(
            "stow",
            association=facts.id,
            token=caller.name,
            calling_ae=facts.calling_ae,
            address=facts.address,
            stored=len(outcome.stored),
            failed=len(outcome.failed),
            words=outcome.broken or (outcome.failed[0].words if outcome.failed else ""),
            bytes=size_bytes,
            seconds=round(seconds, 3),
        )


def _content_type(request: Request) -> Message:
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise HTTPException(415, "send the body as it is, without a Content-Encoding")
    message = Message()
    message["Content-Type"] = request.headers.get("content-type", "application/octet-stream")
    return message


def _offer(request: Request) -> Offer:
    offers = (Offer(JSON), Offer("application/json"), Offer(XML), Offer(XML, multipart=True))
    # Whoever names something else has still stored: he hears of it in JSON (PS3.18 10.5.3.2).
    return pick(accepted(request), offers) or offers[0]


def _later(words: str) -> HTTPException:
    return HTTPException(503, words, {"Retry-After": str(RETRY_S)})


async def _steps(request: Request) -> AsyncIterator[bytes]:
    """Give the body in steps. Raises TimeoutError where it comes too slowly, ClientDisconnect.

    What had come before it broke off is given first.
    """
    gathered, total, began_s = bytearray(), 0, time.monotonic()
    is_more, patience_s = True, CHUNK_S
    while is_more:
        with anyio.move_on_after(LINGER_S if gathered else patience_s) as waiting:
            message = await request.receive()
        is_gone = not waiting.cancelled_caught and message["type"] == "http.disconnect"
        if not (waiting.cancelled_caught or is_gone):
            gathered += message.get("body", b"")
            total += len(message.get("body", b""))
            is_more, patience_s = message.get("more_body", False), CHUNK_S
        is_slow = time.monotonic() - began_s > CHUNK_S + total / SLOWEST_BYTES_S
        is_silent = waiting.cancelled_caught and not gathered
        is_enough = len(gathered) >= STEP_BYTES or waiting.cancelled_caught
        if gathered and (is_enough or is_gone or is_slow):
            yield bytes(gathered)
            gathered.clear()
            patience_s = CHUNK_S - LINGER_S
        if is_gone:
            raise ClientDisconnect
        if is_slow or is_silent:
            raise TimeoutError
    if gathered:
        yield bytes(gathered)


def _answer(outcome: Outcome, url: str, offer: Offer) -> Response:
    headers = {"Retry-After": str(RETRY_S)} if outcome.status == 503 else {}
    if not (outcome.stored or outcome.failed):
        words = outcome.broken or "the body holds no object"
        raise HTTPException(400, words)
    if outcome.broken:
        headers["Warning"] = f"299 {url}: {outcome.broken}"
    xml = offer.media_type == XML
    return Response(
        outcome.body(url, xml=xml), outcome.status, headers,
        media_type=XML if xml else offer.media_type,
    )  # fmt: skip


def _address(request: Request) -> str:
    return request.client.host if request.client else ""
