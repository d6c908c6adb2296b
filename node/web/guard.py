"""Stand before every route of the HTTP port that is not for everybody: who asks, and may they.

Denied by default. A browser sends a password by itself with whatever any page asks for, so that
what another site's page asks is refused too, unless [http] origins names that site.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import anyio
import anyio.to_thread
import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from config.api import ApiPermission
from dicom.errors import Fault
from node.web.problems import problem, problem_of
from node.web.tokens import CHALLENGES, Tokens

Routes = list[Route]
"""What an app serves."""
Record = Callable[[str, Mapping[str, object]], None]
"""Puts a use on record: a token's name and plain facts. It may block and raise a Fault."""

_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_OURS: Final = frozenset({"same-origin", "none"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer that does not say otherwise."""
_WORD: Final = re.compile(r"[a-zA-Z][a-z.-]{0,30}|[0-9.]{1,64}")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose token it is, and what it may."""

    name: str
    may: frozenset[ApiPermission]


Handler = Callable[[Request, Caller], Awaitable[Response]]


def guarded(
    tokens: Tokens,
    may: ApiPermission | None,
    handler: Handler,
    record: Record | None = None,
    *,
    path: str | None = None,
) -> Callable[[Request], Awaitable[Response]]:
    """Make an endpoint of a handler that is asked only for callers with a permission.

    `may` is None where any token will do. What the handler raises becomes a problem (RFC 9457):
    a Fault, a ValidationError, an HTTPException; whatever else it raises is a bug of ours. One
    line is logged per request, without the values of its query; with `record`, the use is put on
    record as well. `path` is what both say was asked, where not the request's own path.
    """

    async def handle(request: Request) -> Response:
        caller = _admitted(request, tokens)
        if isinstance(caller, Response):
            return _private(caller)
        asked = _path(request) if path is None else path
        if may is None or may in caller.may:
            answer = await _answered(request, caller, handler, asked)
        else:
            words = f'[tokens.{caller.name}] lacks may = ["{may}"]'
            answer = problem(403, "not-authorised", words)
        used = {"method": request.method, "path": asked, "status": answer.status_code}
        log.info("api", token=caller.name, address=_address(request), **used)
        if record is not None:
            await anyio.to_thread.run_sync(_recorded, record, caller.name, used)
        return _private(answer)

    return handle


def _private(answer: Response) -> Response:
    """Keep an answer from caches and from other sites' pages, unless it says otherwise."""
    for key, value in _HEADERS.items():
        answer.headers.setdefault(key, value)
    return answer


def _admitted(request: Request, tokens: Tokens) -> Caller | Response:
    """Say who asks, or answer the refusal: 401 or 429 for a stranger, 403 for another's page."""
    address = _address(request)
    authorization = request.headers.get("authorization", "")
    found = tokens.identify(authorization)
    if found is None:
        # Browsers ask without a password first: that is no guess at one.
        return _unknown(tokens.failed(address) if authorization else 0.0, address, authorization)
    name, token = found
    if not _is_ours(request, tokens.origins):
        log.warning("api refused", token=name, address=address, words="asked by another site")
        return problem(403, "cross-site", "another site's page asks; [http] origins can allow it")
    return Caller(name, frozenset(token.may))


async def _answered(request: Request, caller: Caller, handler: Handler, path: str) -> Response:
    try:
        return await handler(request, caller)
    except Exception as fault:
        if not isinstance(fault, (Fault, HTTPException, ValidationError)):
            log.error("api failed", path=path, exc_info=fault)
        return problem_of(fault)


def _recorded(record: Record, name: str, used: Mapping[str, object]) -> None:
    try:
        record(name, used)
    except Fault as fault:  # on a full disk the ledger may take no event; the log has the use
        log.warning("event not written", fault=fault.code)


def _unknown(too_many_s: float, address: str, authorization: str) -> Response:
    if too_many_s:
        words = "too many requests without a valid token"
        return problem(429, "too-many", words, {"Retry-After": f"{too_many_s:.0f}"})
    if authorization:
        log.warning("api refused", address=address, words="no valid token")
    words = "send a token: Authorization: Bearer pnb_...; `penumbra token new NAME` makes one"
    answer = problem(401, "not-authorised", words)
    for challenge in CHALLENGES:  # not in one header, of which browsers read the first alone
        answer.headers.append("WWW-Authenticate", challenge)
    return answer


def _is_ours(request: Request, origins: frozenset[str]) -> bool:
    """Whether a request comes from no page, from a page of the node, or from one that is named.

    Browsers write both headers themselves, and no page can change them (Fetch Metadata; RFC 6454).
    """
    origin = request.headers.get("origin", "")
    if origin in origins:
        return True
    site = request.headers.get("sec-fetch-site", "")
    if site:
        # Whoever follows a link from elsewhere reads the answer himself; its page does not.
        follows = request.headers.get("sec-fetch-mode") == "navigate"
        return site in _OURS or (follows and request.method in _SAFE)
    return not origin or origin.partition("://")[2] == request.headers.get("host")


def _address(request: Request) -> str:
    return request.client.host if request.client else ""


def _path(request: Request) -> str:
    """Give a path for the log: its words and UIDs; whatever else somebody wrote into it is left."""
    parts = request.url.path.split("/")
    return "/".join(part if _WORD.fullmatch(part) or not part else "*" for part in parts)
