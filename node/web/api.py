"""The API on the HTTP port: what others' programs may ask of the node, each with a token.

Without any [tokens.NAME] there is no API. Every request is denied unless its token's `may` has
the permission that the endpoint asks for, and every use is on record with the token's name.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio
import anyio.to_thread
import structlog
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.api import Token
from dicom.errors import Fault
from node.moments import utc
from node.plain import plain
from node.web.endpoint import PREFIX, Abilities, Caller, Endpoint, LinksWanted
from node.web.openapi import description
from node.web.problems import problem, problem_of
from node.web.tokens import Tokens

MOST_BYTES: Final = 1 << 20
"""Of a body: a message about ten thousand keys, say."""
BODY_S: Final = 30.0
"""Within which a body must be there."""
MOST_EVENTS: Final = 1000
USED: Final = "penumbra.api.used"
"""The type of the event about a use of the API; the token itself is in none."""

log = structlog.get_logger()


def api_routes(tokens: Mapping[str, Token], abilities: Abilities) -> list[Route]:
    """Make the routes; none without tokens."""
    known = Tokens(tokens)
    return [
        Route(PREFIX + each.path, _guarded(each, known, abilities), methods=[each.method])
        for each in ENDPOINTS
        if tokens
    ]


def _guarded(
    endpoint: Endpoint, tokens: Tokens, abilities: Abilities
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        address = request.client.host if request.client else ""
        found = tokens.identify(request.headers.get("authorization", ""))
        if found is None:
            return _unknown(tokens.failed(address), address)
        caller = Caller(found[0], frozenset(found[1].may))
        if endpoint.may is not None and endpoint.may not in caller.may:
            words = f'[tokens.{caller.name}] lacks may = ["{endpoint.may}"]'
            answer = problem(403, "not-authorised", words)
        else:
            answer = await _answered(endpoint, request, abilities, caller)
        used = {"method": endpoint.method, "path": PREFIX + endpoint.path,
                "status": answer.status_code}  # fmt: skip
        log.info("api", token=caller.name, address=address, **used)
        if endpoint.is_audited:
            await anyio.to_thread.run_sync(_record, abilities, caller.name, used)
        return answer

    return handle


def _unknown(too_many_s: float, address: str) -> Response:
    if too_many_s:
        words = "too many requests without a valid token"
        return problem(429, "too-many", words, {"Retry-After": f"{too_many_s:.0f}"})
    log.warning("api refused", address=address, words="no valid token")
    words = "send a token: Authorization: Bearer pnb_...; `penumbra token new NAME` makes one"
    return problem(401, "not-authorised", words, {"WWW-Authenticate": 'Bearer realm="penumbra"'})


async def _answered(
    endpoint: Endpoint, request: Request, abilities: Abilities, caller: Caller
) -> Response:
    try:
        return await endpoint.answer(request, abilities, caller)
    except Exception as fault:
        if not isinstance(fault, (Fault, HTTPException, ValidationError)):
            log.error("api failed", path=endpoint.path, exc_info=fault)
        return problem_of(fault)


def _record(abilities: Abilities, name: str, used: Mapping[str, object]) -> None:
    try:
        abilities.audit(name, used)
    except Fault as fault:  # on a full disk the ledger may take no event; the log has the use
        log.warning("event not written", fault=fault.code)


async def _body(request: Request) -> bytes:
    """Read a body, and never more of it than is allowed, nor for longer."""
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


async def _status(_request: Request, abilities: Abilities, _caller: Caller) -> Response:
    return JSONResponse(plain(await anyio.to_thread.run_sync(abilities.status)))


async def _links(request: Request, abilities: Abilities, caller: Caller) -> Response:
    wanted = LinksWanted.model_validate_json(await _body(request))
    made = await anyio.to_thread.run_sync(abilities.links, wanted, caller)
    links = [
        {
            "sop_instance_uid": one.sop_instance_uid,
            "url": one.url,
            "expires_at": utc(one.expires_at),
        }
        for one in made
    ]
    return JSONResponse({"links": links}, headers={"Cache-Control": "no-store"})


async def _notice(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    body = await _body(request)
    count = await anyio.to_thread.run_sync(abilities.notice, request.path_params["name"], body)
    return JSONResponse({"keys": count}, 202)


async def _events(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    after, limit = _whole(request, "after", 0), _whole(request, "limit", 100)
    read = await anyio.to_thread.run_sync(abilities.events, after, min(limit, MOST_EVENTS))
    return JSONResponse(plain({"events": read}))


def _whole(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise HTTPException(422, f"{name} must be a whole number of 0 or more")
    return int(text)


async def _openapi(_request: Request, _abilities: Abilities, _caller: Caller) -> Response:
    return JSONResponse(description(ENDPOINTS))


_LINK: Final = {
    "type": "object",
    "required": ["sop_instance_uid", "url", "expires_at"],
    "properties": {
        "sop_instance_uid": {"type": "string"},
        "url": {"type": "string", "format": "uri"},
        "expires_at": {"type": "string", "format": "date-time"},
    },
}
_EVENT: Final = {
    "type": "object",
    "required": ["id", "type", "subject", "data", "at"],
    "properties": {
        "id": {"type": "integer"},
        "type": {"type": "string"},
        "subject": {"type": "string"},
        "data": {"type": "object"},
        "at": {"type": "number", "description": "seconds since the epoch, UTC"},
    },
}


def _holding(**properties: object) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


ENDPOINTS: Final = (
    Endpoint("GET", "/status", "status", "What the node received, owes and holds.", _status, 200,
             {"type": "object"}),
    Endpoint("POST", "/links", "links", "URLs by which others may fetch a study for a while.",
             _links, 200, _holding(links={"type": "array", "items": _LINK}), body=LinksWanted),
    Endpoint("POST", "/sources/{name}/events", "sources",
             "Tell a bucket source of new objects: S3's message as it is.", _notice, 202,
             _holding(keys={"type": "integer", "description": "how many are looked at"})),
    # Not audited as an event: whoever follows the events would only ever hear of himself.
    Endpoint("GET", "/events", "events", "What happened after an event, oldest first.", _events,
             200, _holding(events={"type": "array", "items": _EVENT}),
             query={"after": "the id of the last event that is known",
                    "limit": f"at most so many, at most {MOST_EVENTS}"}, is_audited=False),
    Endpoint("GET", "/openapi.json", None, "This description (OpenAPI 3.1).", _openapi, 200,
             {"type": "object"}),
)  # fmt: skip
