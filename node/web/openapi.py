"""Describe the API as OpenAPI 3.1, made of the same table as its routes."""

import re
from collections.abc import Sequence
from importlib import metadata
from typing import Any, Final

from node.web.endpoint import PREFIX, Endpoint
from node.web.problems import MEDIA_TYPE

_PROBLEM: Final = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
    },
}
_FAULTS: Final = {
    "401": "no valid token",
    "403": "the token lacks the permission",
    "429": "too many requests without a valid token",
    "default": "a problem (RFC 9457)",
}


def description(endpoints: Sequence[Endpoint]) -> dict[str, Any]:
    """Make the description of these endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for each in endpoints:
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Penumbra", "version": metadata.version("penumbra-node")},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Problem": _PROBLEM,
                **{
                    one.body.__name__: one.body.model_json_schema() for one in endpoints if one.body
                },
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", f"{endpoint.method.lower()} {endpoint.path}").strip("_"),
        "summary": endpoint.words,
        "responses": {
            str(endpoint.status): {
                "description": "done",
                "content": {"application/json": {"schema": dict(endpoint.result)}},
            },
            **{status: _problem(words) for status, words in _FAULTS.items()},
        },
    }
    if endpoint.may:
        told["description"] = f'Needs `may = ["{endpoint.may}"]`.'
    if endpoint.method in {"POST", "PUT"}:
        name = endpoint.body.__name__ if endpoint.body else None
        schema = {"$ref": f"#/components/schemas/{name}"} if name else {"type": "object"}
        told["requestBody"] = {
            "required": True, "content": {"application/json": {"schema": schema}},
        }  # fmt: skip
    inside = [
        _parameter(name, "path", "its name") for name in re.findall(r"{(\w+)}", endpoint.path)
    ]
    asked = [_parameter(name, "query", words) for name, words in dict(endpoint.query).items()]
    if inside or asked:
        told["parameters"] = [*inside, *asked]
    return told


def _parameter(name: str, where: str, words: str) -> dict[str, Any]:
    kind = "string" if where == "path" or name == "state" else "integer"
    return {"name": name, "in": where, "required": where == "path", "description": words,
            "schema": {"type": kind}}  # fmt: skip


def _problem(words: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": words, "content": {MEDIA_TYPE: {"schema": schema}}}
