"""The API on the HTTP port: what others' programs may ask of the node, each with a token.

Without any [tokens.NAME] there is no API. Every request is denied unless its token's `may` has
the permission that the endpoint asks for, and every use is on record with the token's name.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from config.api import Token
from node.moments import utc
from node.plain import plain
from node.web import asked, models, sql, worklist
from node.web.endpoint import PREFIX, Abilities, Endpoint, LinksWanted
from node.web.guard import Caller, guarded
from node.web.openapi import description
from node.web.tokens import Tokens

MOST_EVENTS: Final = 1000
USED: Final = "penumbra.api.used"
"""The type of the event about a use of the API; the token itself is in none."""


def api_routes(tokens: Tokens | Mapping[str, Token], abilities: Abilities) -> list[Route]:
    """Make the routes; none without tokens."""
    known = tokens if isinstance(tokens, Tokens) else Tokens(tokens)
    return [
        Route(PREFIX + each.path, _guarded(each, known, abilities), methods=[each.method])
        for each in ENDPOINTS
        if known
    ]


def _guarded(
    endpoint: Endpoint, tokens: Tokens, abilities: Abilities
) -> Callable[[Request], Awaitable[Response]]:
    record = abilities.audit if endpoint.is_audited else None

    async def answer(request: Request, caller: Caller) -> Response:
        return await endpoint.answer(request, abilities, caller)

    return guarded(tokens, endpoint.may, answer, record, path=PREFIX + endpoint.path)


async def _status(_request: Request, abilities: Abilities, _caller: Caller) -> Response:
    return JSONResponse(plain(await anyio.to_thread.run_sync(abilities.status)))


async def _links(request: Request, abilities: Abilities, caller: Caller) -> Response:
    wanted = LinksWanted.model_validate_json(await asked.body(request))
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
    body = await asked.body(request)
    count = await anyio.to_thread.run_sync(abilities.notice, request.path_params["name"], body)
    return JSONResponse({"keys": count}, 202)


async def _events(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    after, limit = asked.number(request, "after", 0), asked.number(request, "limit", 100)
    read = await anyio.to_thread.run_sync(abilities.events, after, min(limit, MOST_EVENTS))
    return JSONResponse(plain({"events": read}))


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
    *worklist.ENDPOINTS,
    *sql.ENDPOINTS,
    *models.ENDPOINTS,
    Endpoint("GET", "/openapi.json", None, "This description (OpenAPI 3.1).", _openapi, 200,
             {"type": "object"}),
)  # fmt: skip
