"""Let so many retrievals run at once and no more, each a step ahead of its reader at most."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

import anyio
import anyio.to_thread
import structlog
from anyio import CapacityLimiter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dicom.errors import Fault
from node.web.guard import Caller

MOST: Final = 16
"""Retrievals of whole objects at once. Each holds a few pieces of a megabyte or so."""
MOST_SMALL: Final = 24
"""Others at once: metadata, frames, pictures. Nobody who takes whole studies holds these up."""
PATIENCE_S: Final = 5.0
"""How long another waits for its turn before it hears that the node is busy."""
RETRY_S: Final = 5
_THREADS: Final = 6
"""For what reads; as many are for what waits for a picture, which may take long."""

log = structlog.get_logger()
Result = TypeVar("Result")
Answer = Callable[[Request], Awaitable[Response]]


class Turns:
    """The turns of one HTTP port; its event loop's thread alone uses them."""

    def __init__(
        self, most: int = MOST, most_small: int = MOST_SMALL, patience_s: float = PATIENCE_S
    ) -> None:
        self._whole = asyncio.Semaphore(most)
        self._small = asyncio.Semaphore(most_small)
        self._patience_s = patience_s
        self._readers = CapacityLimiter(_THREADS)
        self._viewers = CapacityLimiter(_THREADS)
        self._writers = CapacityLimiter(most + most_small)

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Do in a thread what may block; threads of retrievals are apart from all others."""
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._readers)

    async def develop(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Do in a thread what waits for the darkroom; what only reads has threads of its own."""
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._viewers)

    async def write(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Do in a thread what lasts as long as a client reads: one for each turn that there is."""
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._writers)

    def taken(
        self, answer: Answer, *, whole: bool
    ) -> Callable[[Request, Caller], Awaitable[Response]]:
        """Have a handler answer in its turn, which ends when its last byte has gone.

        `whole`: whether it gives whole objects. Raises HTTPException, 503 with Retry-After, when
        no turn comes.
        """
        free = self._whole if whole else self._small

        async def handle(request: Request, _caller: Caller) -> Response:
            await self._take(free)
            try:
                response = await answer(request)
            except BaseException:
                free.release()
                raise
            return _Held(response, free.release, request.method == "HEAD")

        return handle

    async def _take(self, free: asyncio.Semaphore) -> None:
        try:
            with anyio.fail_after(self._patience_s):
                await free.acquire()
        except TimeoutError:
            words = "too many retrievals at once; try again"
            raise HTTPException(503, words, {"Retry-After": str(RETRY_S)}) from None

    async def ahead(self, made: Iterator[Result], *, pixels: bool = False) -> AsyncIterator[Result]:
        """Give what is made in threads, the next while the last is on its way.

        `pixels`: whether to make it is to wait for the darkroom.
        """
        run = self.develop if pixels else self.run
        coming = asyncio.ensure_future(run(next, made, None))
        try:
            while (one := await coming) is not None:
                coming = asyncio.ensure_future(run(next, made, None))
                yield one
        finally:
            coming.cancel()


class _Held(Response):
    """A response that holds a turn until it has gone, or its reader has."""

    def __init__(self, inner: Response, leave: Callable[[], object], is_head: bool) -> None:  # noqa: FBT001  (of this file alone)
        self._inner = inner
        self._leave = leave
        self._is_head = is_head
        self.status_code = inner.status_code
        self.raw_headers = inner.raw_headers  # one list: what is added here goes out there
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. What goes wrong now can only break it off, which its reader notices."""
        try:
            if self._is_head:
                await _head_alone(self._inner, send)
            else:
                await self._inner(scope, receive, send)
        except* Fault as faults:
            for fault in _leaves(faults):
                log.error("retrieval broken off", fault=fault.code, words=str(fault))
        finally:
            self._leave()


def _leaves(group: BaseExceptionGroup[Any]) -> Iterator[Fault]:
    for one in group.exceptions:
        if isinstance(one, BaseExceptionGroup):
            yield from _leaves(one)
        else:
            yield one


async def _head_alone(response: Response, send: Send) -> None:
    await send({"type": "http.response.start", "status": response.status_code,
                "headers": response.raw_headers})  # fmt: skip
    await send({"type": "http.response.body", "body": b"", "more_body": False})
