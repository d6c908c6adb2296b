"""The API's part about models: versions and decisions, drift, agreement of shadows."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ai.agreement import Agreement
from node.models import Models, plain_move, plain_version, plain_watched
from node.web import asked
from node.web.endpoint import Abilities, Endpoint
from node.web.guard import Caller
from storage.ledger.models import Decision, Stage

_Words = Annotated[str, Field(min_length=1, max_length=500)]


class StageWanted(BaseModel):
    """The body of PUT /models/{model}/versions/{version}."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    stage: Stage
    reason: _Words


class RollbackWanted(BaseModel):
    """The body of POST /models/{model}/rollback."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    reason: _Words


async def _list(_request: Request, abilities: Abilities, _caller: Caller) -> Response:
    found = await anyio.to_thread.run_sync(_models(abilities).versions)
    return JSONResponse({"versions": [plain_version(one) for one in found]})


async def _one(request: Request, abilities: Abilities, _caller: Caller) -> Response:
    models, name = _models(abilities), request.path_params["model"]

    def read() -> dict[str, Any]:
        agreements = models.agreements(name)
        return {
            "versions": [plain_version(one) for one in models.versions(name)],
            "decisions": [plain_move(one) for one in models.moves(name)],
            "drift": [plain_watched(one) for one in models.drifts(name)],
            "agreement": {key: _rows(rows) for key, rows in agreements.items()},
        }

    return JSONResponse(await anyio.to_thread.run_sync(read))


async def _stage(request: Request, abilities: Abilities, caller: Caller) -> Response:
    wanted = StageWanted.model_validate_json(await asked.body(request))
    model, version = request.path_params["model"], request.path_params["version"]
    move = _models(abilities).move
    decision = _by(caller, wanted.reason)
    made = await anyio.to_thread.run_sync(move, model, version, wanted.stage, decision)
    return JSONResponse(plain_version(made))


async def _rollback(request: Request, abilities: Abilities, caller: Caller) -> Response:
    wanted = RollbackWanted.model_validate_json(await asked.body(request))
    model, back = request.path_params["model"], _models(abilities).rollback
    made = await anyio.to_thread.run_sync(back, model, _by(caller, wanted.reason))
    return JSONResponse(plain_version(made))


def _rows(rows: Sequence[Agreement]) -> list[dict[str, Any]]:
    return [asdict(one) for one in rows]


def _by(caller: Caller, reason: str) -> Decision:
    return Decision(f"token {caller.name}", reason, time.time())


def _models(abilities: Abilities) -> Models:
    if abilities.models is None:
        raise HTTPException(404, "there are no models here")
    return abilities.models


_LIST: Final[Mapping[str, Any]] = {"type": "array", "items": {"type": "object"}}
_VERSION: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["model", "version", "stage", "digest"],
}
ENDPOINTS: Final = (
    Endpoint("GET", "/models", "models", "The versions of models that are registered.", _list, 200,
             {"type": "object", "required": ["versions"], "properties": {"versions": _LIST}}),
    Endpoint("GET", "/models/{model}", "models",
             "A model's versions, the decisions about them, what has drifted, and how far shadows"
             " agree.", _one, 200,
             {"type": "object", "required": ["versions", "decisions", "drift", "agreement"]}),
    Endpoint("PUT", "/models/{model}/versions/{version}", "promote",
             "Bring a version to a stage: candidate, shadow, live or retired.", _stage, 200,
             _VERSION, body=StageWanted),
    Endpoint("POST", "/models/{model}/rollback", "promote",
             "Bring back the version that was live before.", _rollback, 200, _VERSION,
             body=RollbackWanted),
)  # fmt: skip
