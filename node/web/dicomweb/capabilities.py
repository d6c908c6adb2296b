"""Tell what DICOMweb can do here, as JSON (PS3.18 8.9, Annex H)."""

from importlib import metadata
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dicom.attributes import Level
from node.web.dicomweb.negotiate import COMPRESSED, DICOM, OCTETS
from node.web.dicomweb.retrieving import RETRIEVALS, WADO_URI
from node.web.dicomweb.routes import SEARCHES
from node.web.dicomweb.service import INSTANCE, PREFIX, STUDIES, STUDY
from node.web.dicomweb.wado import ZIP
from node.web.dicomweb.wish import FORMATS
from node.web.guard import Caller, guarded
from node.web.tokens import Tokens

_RESULTS: Final = ["application/dicom+json", 'multipart/related; type="application/dicom+xml"']
_BODIES: Final = [
    "application/dicom", "application/dicom+json",
    'multipart/related; type="application/dicom"',
    'multipart/related; type="application/dicom+json"',
]  # fmt: skip
_PICTURES: Final = [*FORMATS, *(f'multipart/related; type="{one}"' for one in FORMATS)]
_FRAMES: Final = [
    kind
    for media in (OCTETS, *dict.fromkeys(COMPRESSED.values()))
    for kind in (f'multipart/related; type="{media}"', media)
]
_GIVEN: Final = {
    "metadata": _RESULTS,
    "rendered": _PICTURES,
    "thumbnail": _PICTURES,
    "{frames}": _FRAMES,
    "{path:path}": _FRAMES,
}
"""What resources give that are no whole objects, by the last word of their paths."""
_SEARCH_PARAMETERS: Final = ["{attribute}", "includefield", "fuzzymatching", "limit", "offset"]


def capability_routes(tokens: Tokens) -> list[Route]:
    """Make the route; any token may ask."""

    async def answer(_request: Request, _caller: Caller) -> Response:
        return JSONResponse(capabilities())

    endpoint = guarded(tokens, None, answer)
    return [Route(path, endpoint, methods=["GET", "OPTIONS"]) for path in (PREFIX, PREFIX + "/")]


def capabilities() -> dict[str, Any]:
    """Describe each resource: its URI template, its methods, what they need and what they give."""
    resources: dict[str, dict[str, Any]] = {}
    for path, level in SEARCHES:
        resources.setdefault(path, {})["GET"] = _search(level)
    for path in (STUDIES, STUDY):
        resources.setdefault(path, {})["POST"] = {
            "transaction": "store", "may": "store", "consumes": _BODIES,
            "produces": ["application/dicom+json", "application/dicom+xml"],
        }  # fmt: skip
    for path in (path for path, _ in RETRIEVALS if path != WADO_URI):
        resources.setdefault(path, {})["GET"] = _retrieval(path)
    return {
        "server": f"Penumbra {metadata.version('penumbra-node')}",
        "authentication": ["Bearer", "Basic"],
        "wado_uri": {"path": WADO_URI, "may": "retrieve", "produces": [DICOM, *FORMATS]},
        "resources": [
            {"path": path.removeprefix(PREFIX).replace(":path}", "}"), "methods": methods}
            for path, methods in resources.items()
        ],
    }


def _retrieval(path: str) -> dict[str, Any]:
    whole = [f'multipart/related; type="{DICOM}"', ZIP, *([DICOM] if path == INSTANCE else [])]
    given = _GIVEN.get(path.rpartition("/")[2], whole)
    return {"transaction": "retrieve", "may": "retrieve", "produces": given}


def _search(level: Level) -> dict[str, Any]:
    return {
        "transaction": "search", "may": "query", "level": str(level),
        "parameters": _SEARCH_PARAMETERS, "produces": _RESULTS,
    }  # fmt: skip
