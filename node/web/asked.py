"""Read what a request says: its body, within limits, and numbers of its query."""

from typing import Final

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_BYTES: Final = 1 << 20
"""Of a body: a message about ten thousand keys, say."""
BODY_S: Final = 30.0
"""Within which a body must be there."""


async def body(request: Request) -> bytes:
    """Read a body, and never more of it than is allowed, nor for longer.

    Raises HTTPException: 413, 408.
    """
    whole = bytearray()
    try:
        with anyio.fail_after(BODY_S):
            async for chunk in request.stream():
                whole += chunk
                if len(whole) > MOST_BYTES:
                    raise HTTPException(413, f"the body has more than {MOST_BYTES >> 20} MiB")
    except TimeoutError:
        raise HTTPException(408, f"the body was not there within {BODY_S:g} s") from None
    return bytes(whole)


def number(request: Request, name: str, default: int) -> int:
    """Read a whole number of the query. Raises HTTPException 422."""
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise HTTPException(422, f"{name} must be a whole number of 0 or more")
    return int(text)
