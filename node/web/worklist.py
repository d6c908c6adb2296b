"""The API's part about the worklist: list entries, say them, say them again, take them back."""

import re
from collections.abc import Iterator
from typing import Any, Final

import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from dicom.errors import DoesNotMatch
from dicom.worklist import Entry, State
from dicom.worklist_reading import as_told, of_json
from node.moments import utc
from node.web import asked
from node.web.endpoint import Abilities, Endpoint, WorklistDoor
from node.web.guard import Caller
from storage.ledger.worklist import Draft, Put

MOST_LISTED: Final = 1000
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


def _door(abilities: Abilities) -> WorklistDoor:
    if abilities.worklist is None:
        raise HTTPException(404, "there is no worklist here")
    return abilities.worklist


async def _list(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    limit = min(asked.number(request, "limit", 100), MOST_LISTED)
    after, state = request.query_params.get("after", ""), request.query_params.get("state", "")
    if state and state not in list(State):
        raise HTTPException(422, f"state must be one of {', '.join(State)}")
    entries = _door(abilities)
    found = await anyio.to_thread.run_sync(entries.page, after, limit, state)
    return JSONResponse({"entries": [_told(one) for one in found]}, headers=_PRIVATE)


async def _add(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    items = of_json(await asked.body(request))
    made = await _put([Draft(item, "rest") for item in items], abilities)
    return JSONResponse({"entries": list(_puts(made))}, 201)


async def _get(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    found = await anyio.to_thread.run_sync(_door(abilities).get, _id(request))
    if found is None:
        raise DoesNotMatch("there is no entry of this id")
    return JSONResponse(_told(found), headers=_PRIVATE)


async def _replace(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    entry_id = _id(request)
    items = of_json(await asked.body(request))
    if len(items) != 1:
        raise HTTPException(422, "the body must have one entry, with one scheduled step")
    (made,) = await _put([Draft(items[0], "rest", id=entry_id)], abilities)
    return JSONResponse(next(_puts([made])))


async def _remove(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    entry_id, entries = _id(request), _door(abilities)
    found = await anyio.to_thread.run_sync(entries.get, entry_id)
    if found is not None and found.source == "folder":
        raise HTTPException(409, "a file of [worklist] folder says this entry: remove the file")
    if not await anyio.to_thread.run_sync(entries.remove, entry_id):
        raise DoesNotMatch("there is no entry of this id")
    return JSONResponse({"id": entry_id})


async def _put(drafts: list[Draft], abilities: Abilities) -> list[Put]:
    try:
        return await anyio.to_thread.run_sync(_door(abilities).put, drafts)
    except DoesNotMatch as fault:
        raise HTTPException(409, str(fault)) from fault


def _id(request: Request) -> str:
    entry_id = str(request.path_params["id"])
    if not _ID.fullmatch(entry_id):
        raise HTTPException(422, "an id is 1 to 64 letters, digits, dots, hyphens, underscores")
    return entry_id


def _puts(made: list[Put]) -> Iterator[dict[str, object]]:
    return ({"id": one.id, "is_new": one.is_new, "is_changed": one.is_changed} for one in made)


def _told(entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "source": entry.source,
        "state": str(entry.state),
        "performed_step": entry.performed_step,
        "changed_at": utc(entry.changed_at),
        "entry": dict(as_told(entry.item)),
    }


_PRIVATE: Final = {"Cache-Control": "no-store"}
_PUT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "is_new", "is_changed"],
    "properties": {
        "id": {"type": "string"},
        "is_new": {"type": "boolean"},
        "is_changed": {"type": "boolean", "description": "whether it says something else now"},
    },
}
_ENTRY: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["id", "source", "state", "performed_step", "changed_at", "entry"],
    "properties": {
        "id": {"type": "string"},
        "source": {"enum": ["rest", "hl7", "folder"]},
        "state": {"enum": [str(each) for each in State]},
        "performed_step": {"type": "string", "description": "SOP Instance UID of the MPPS"},
        "changed_at": {"type": "string", "format": "date-time"},
        "entry": {"type": "object", "description": "values by DICOM keyword"},
    },
}


def _several(schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["entries"],
        "properties": {"entries": {"type": "array", "items": schema}},
    }


ENDPOINTS: Final = (
    Endpoint("GET", "/worklist", "worklist", "Entries of the modality worklist, by their ids.",
             _list, 200, _several(_ENTRY),
             query={"after": "the id of the last entry that is known",
                    "limit": f"at most so many, at most {MOST_LISTED}",
                    "state": f"only entries that are {', '.join(State)}"}),
    Endpoint("POST", "/worklist", "worklist",
             "Say entries: values by DICOM keyword, or the DICOM JSON Model. Said again, a step"
             " is changed.", _add, 201, _several(_PUT)),
    Endpoint("GET", "/worklist/{id}", "worklist", "One entry.", _get, 200, _ENTRY),
    Endpoint("PUT", "/worklist/{id}", "worklist", "Say an entry under an id of your own.",
             _replace, 200, _PUT),
    Endpoint("DELETE", "/worklist/{id}", "worklist", "Take an entry back.", _remove, 200,
             {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}}}),
)  # fmt: skip
