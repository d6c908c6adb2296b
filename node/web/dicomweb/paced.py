"""An answer that is handed out as it is read, and is broken off where nobody reads it."""

from typing import Final

import anyio
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

STEP_BYTES: Final = 256 << 10
STEP_S: Final = 30.0
"""Within which a client must have read so many bytes more."""

log = structlog.get_logger()


class Paced(Response):
    """A whole body, sent step by step: what a slow client has not read yet is not copied."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it. A client that does not read loses its connection."""
        del scope, receive
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **start})
        body = memoryview(self.body)
        ends = range(STEP_BYTES, len(body) + STEP_BYTES, STEP_BYTES) or range(1)
        try:
            for end in ends:
                part = bytes(body[max(0, end - STEP_BYTES) : end])
                with anyio.fail_after(STEP_S):
                    await send({"type": "http.response.body", "body": part,
                                "more_body": end != ends[-1]})  # fmt: skip
        except TimeoutError:
            log.warning("answer not read", words=f"{STEP_BYTES} bytes took more than {STEP_S:g} s")
