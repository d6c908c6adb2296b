"""Call an inference server over HTTP: what goes wrong means the same as over gRPC; httpx's home.

A client belongs to the event loop it was made in and lives as long as the process.
"""

import asyncio
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from ai.identity import Identity
from ai.trouble import Trouble, Troubled, classify
from config.client_checks import is_loopback
from config.urls import split
from dicom.errors import BadAnswer

MOST_BYTES: Final = 2**31 - 1
"""No answer is read that is longer."""
MOST_TOLD_BYTES: Final = 1 << 24
"""Nor what a server says of itself and its models."""
CONNECT_S: Final = 5.0
_CONNECTIONS: Final = httpx.Limits(max_connections=64, max_keepalive_connections=16)
_REDIRECTS: Final = range(300, 400)
_NOT_KNOWN: Final = frozenset({401, 403})
_GRPC: Final = {
    400: "INVALID_ARGUMENT",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    415: "INVALID_ARGUMENT",
    422: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "RESOURCE_EXHAUSTED",
    504: "DEADLINE_EXCEEDED",
}
"""What a status of HTTP is among those of gRPC; any other is somebody who does not answer."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Calls:
    """One server."""

    def __init__(
        self,
        address: str,
        tls: ssl.SSLContext,
        headers: Mapping[str, str],
        name: str | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Take the URL that paths are put behind. Needs a running loop.

        `name` is what the server's certificate must carry instead of the URL's host; `identity`
        says in each request who asks.
        """
        self.address = address.rstrip("/")
        self._identity = identity
        self._extensions = {"sni_hostname": name} if name else {}
        url = split(self.address)
        self._client = httpx.AsyncClient(
            verify=tls,
            headers=dict(headers),
            limits=_CONNECTIONS,
            trust_env=url is None or not is_loopback(url),
            follow_redirects=False,  # images go where the config says, nowhere else
        )

    async def ask(
        self,
        method: str,
        path: str,
        timeout_s: float,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        """Ask, and read the whole answer, whatever its status, within so many seconds in all.

        Raises Troubled where there is none, BadAnswer for one that is too long.
        """
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        request = self._client.build_request(
            method, self.address + path, content=body, headers=headers, timeout=timeout,
            extensions=self._extensions,
        )  # fmt: skip
        most_bytes = MOST_TOLD_BYTES if body is None else MOST_BYTES
        try:
            # httpx counts from byte to byte: who sends them one by one would never be late.
            async with asyncio.timeout(timeout_s):
                await self._sign(request)
                answer = await self._client.send(request, stream=True)
                try:
                    whole = await self._whole(answer, most_bytes)
                finally:
                    await answer.aclose()
            if self._identity is not None and answer.status_code in _NOT_KNOWN:
                self._identity.forget()
            return Said(answer.status_code, answer.headers, whole)
        except (httpx.TimeoutException, TimeoutError) as fault:
            words = f"{self.address}: no answer within {timeout_s:g} s"
            raise Troubled(words, Trouble.SLOW) from fault
        except httpx.HTTPError as fault:
            raise Troubled(f"{self.address}: {type(fault).__name__}", Trouble.AWAY) from fault

    async def identify(self, timeout_s: float) -> None:
        """Find out whether there are credentials to ask with; nothing is sent to the server.

        Raises Troubled where there are none, or none within so many seconds.
        """
        if self._identity is None:
            return
        try:
            async with asyncio.timeout(timeout_s):
                await self._identity.headers("GET", self.address, {}, b"")
        except TimeoutError as fault:
            words = f"{self.address}: no credentials within {timeout_s:g} s"
            raise Troubled(words, Trouble.SLOW) from fault

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _sign(self, request: httpx.Request) -> None:
        # Whole as it will be sent: what is signed may not change any more.
        if self._identity is not None:
            told = await self._identity.headers(
                request.method, str(request.url), request.headers, request.content
            )
            request.headers.update(told)

    async def _whole(self, answer: httpx.Response, most_bytes: int) -> bytes:
        whole = bytearray()
        async for piece in answer.aiter_bytes():
            whole += piece
            if len(whole) > most_bytes:
                raise BadAnswer(f"{self.address}: the answer has more than {most_bytes} bytes")
        return bytes(whole)


def parsed(body: bytes) -> Any:
    """Read JSON; None where it is none, or nested deeper than anybody means."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def require_good(said: Said, who: str, words: str) -> None:
    """Raise BadAnswer or Troubled unless the answer is good.

    `who` is asked, in words for people; `words` is what the server says about it.
    """
    if said.status == 200:
        return
    told = f"{who}: HTTP {said.status}" + (f": {words}" if words else "")
    if said.status in _NOT_KNOWN:  # as over gRPC: jobs wait until it knows us
        raise Troubled(f"{told}; check the token or identity that it wants", Trouble.AWAY)
    if said.status in _REDIRECTS:
        raise BadAnswer(f"{told}; check its address")
    trouble = classify(_GRPC.get(said.status, "UNAVAILABLE"), words)
    if trouble is None:
        raise BadAnswer(told)
    raise Troubled(told, trouble)
