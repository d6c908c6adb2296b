"""The desk for questions in SQL as the web's event loop asks it: in threads, answered in pieces."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

import anyio
import anyio.to_thread
from anyio import CapacityLimiter
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from dicom.errors import NotAuthorised, OutOfResources
from node.sql_desk import SqlDesk, Wanted
from node.web.guard import Caller
from storage.index.offered import Role
from storage.index.questions import Answer

MEDIA_TYPES: Final = {
    "json": "application/json",
    "lines": "application/x-ndjson",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
ENDINGS: Final = {"json": "json", "lines": "ndjson", "csv": "csv", "parquet": "parquet"}
CHUNK_BYTES: Final = 1 << 18
CHUNK_S: Final = 30.0
"""So long a reader may leave a piece of an answer; then it is broken off."""
RETRY_S: Final = 5
_THREADS: Final = 8
"""Of questions alone, whose own limit is lower: those that wait take no thread of others."""

Result = TypeVar("Result")


def role_of(caller: Caller) -> Role:
    """Say as whom a caller asks; whoever may not at all was turned away before."""
    return Role.IDENTIFIED if Role.IDENTIFIED.value in caller.may else Role.PLAIN


class SqlDoor:
    """The desk as the web's one event loop asks it, in threads of its own."""

    def __init__(self, desk: SqlDesk) -> None:
        self.desk = desk
        self._limiter: CapacityLimiter | None = None

    async def ask(self, wanted: Wanted, caller: Caller, request: Request) -> Answer:
        """Ask a question whose request has been read, as long as somebody waits for its answer.

        Raises HTTPException for what is refused or has to wait; Faults.
        """
        try:
            return await self.ask_as(wanted, role_of(caller), f"token {caller.name}", request)
        except NotAuthorised as fault:
            raise HTTPException(403, str(fault)) from fault
        except OutOfResources as fault:
            raise HTTPException(503, str(fault), {"Retry-After": str(RETRY_S)}) from fault

    async def ask_as(self, wanted: Wanted, role: Role, by: str, request: Request) -> Answer:
        """As `ask`, for whoever has a role. Raises Faults."""
        stop = threading.Event()
        watching = asyncio.create_task(_set_when_gone(request, stop))
        try:
            return await self.run(self.desk.ask, wanted, role, by, stop)
        finally:
            watching.cancel()

    async def run(self, work: Callable[..., Result], *arguments: object) -> Result:
        """Do what may block."""
        if self._limiter is None:  # it belongs to the loop, which runs only now
            self._limiter = CapacityLimiter(_THREADS)
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._limiter)

    def response(self, answer: Answer, form: str, name: str) -> Response:
        """Send an answer as a file, piece by piece; `name` is its own, without an ending."""
        return _Streamed(self, answer, form, name)


async def _set_when_gone(request: Request, gone: threading.Event) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    gone.set()


class _Streamed(Response):
    """An answer on its way; it is broken off when its reader takes nothing for a while."""

    def __init__(self, door: SqlDoor, answer: Answer, form: str, name: str) -> None:
        headers = {
            "Content-Length": str(answer.size_bytes),
            "Content-Disposition": f'attachment; filename="{name}.{ENDINGS[form]}"',
            "Penumbra-Rows": str(answer.rows),
            "Penumbra-Truncated": "true" if answer.truncated else "false",
        }
        self.status_code = 200
        self.background = None
        self.body = b""
        self.media_type = MEDIA_TYPES[form]
        self._door, self._answer = door, answer
        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and close its file whatever happens."""
        del scope, receive
        chunks = self._answer.chunks(CHUNK_BYTES)
        try:
            start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
            await send(start)
            while chunk := await self._door.run(next, chunks, b""):
                with anyio.fail_after(CHUNK_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._answer.file.close()
