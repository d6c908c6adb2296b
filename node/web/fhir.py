"""FHIR R4 on the HTTP port: ImagingStudy by id and by search, under /fhir.

Every answer is FHIR, also those of the guard before it. Whoever asks needs a token that may "fhir".
"""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import metadata
from typing import Final, TypeVar
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.fhir.desk import Desk, bundle
from node.fhir.imaging_study import Resource
from node.fhir.search import read
from node.fhir.statements import MEDIA_TYPE, capabilities, outcome
from node.web.dicomweb.service import PREFIX as DICOM_WEB
from node.web.dicomweb.service import service_url
from node.web.guard import Caller, guarded
from node.web.problems import MEDIA_TYPE as PROBLEM
from node.web.tokens import Tokens

T = TypeVar("T")

PREFIX: Final = "/fhir"
AT_ONCE: Final = 4
"""So many questions are answered at a time; the others wait, and hold up nobody else."""
BODY_S: Final = 30.0
_LONGEST_QUERY: Final = 8192
_READING: Final = ("GET", "HEAD")
_ANYTHING: Final = "/{rest:path}"
_METHODS: Final = {
    "/ImagingStudy/_search": ["POST"],
    _ANYTHING: [*_READING, "POST", "PUT", "PATCH", "DELETE"],  # so that FHIR's own answer is given
}


def fhir_routes(tokens: Tokens, desk: Desk, *, behind_proxy: bool = False) -> list[Route]:
    """Make the routes of /fhir; none without tokens."""
    if not tokens:
        return []
    web = _Web(desk, behind_proxy=behind_proxy)
    paths: list[tuple[str, Callable[[Request, Caller], Awaitable[Response]], bool]] = [
        ("/metadata", web.metadata, False),
        ("/ImagingStudy", web.search, True),
        ("/ImagingStudy/_search", web.search, True),
        ("/ImagingStudy/{id}", web.study, True),
        (_ANYTHING, web.nothing, False),
    ]
    return [
        Route(
            PREFIX + path,
            _in_fhir(guarded(tokens, "fhir" if needs else None, handler)),
            methods=_METHODS.get(path, ["GET"]),
        )
        for path, handler, needs in paths
    ]


def control_route(desk: Desk) -> Route:
    """Make the control socket's route by which workers read what they tell a FHIR server."""

    async def answer(request: Request) -> Response:
        found = await anyio.to_thread.run_sync(desk.of_uid, request.path_params["uid"], "")
        return JSONResponse({"resource": found.resource if found else None})

    return Route("/api/fhir/{uid}", answer)


def _in_fhir(
    handle: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    """Have every fault said as an OperationOutcome."""

    async def answer(request: Request) -> Response:
        found = await handle(request)
        if found.media_type != PROBLEM:
            return found
        problem = json.loads(bytes(found.body))
        told = _answer(outcome(found.status_code, problem["detail"]), found.status_code)
        for key, value in found.headers.items():
            if key not in {"content-length", "content-type"}:
                told.headers.append(key, value)
        return told

    return answer


class _Web:
    """Handlers over the desk."""

    def __init__(self, desk: Desk, *, behind_proxy: bool) -> None:
        self._desk = desk
        self._behind_proxy = behind_proxy
        self._limit: anyio.CapacityLimiter | None = None
        self._since = datetime.now(UTC).isoformat(timespec="seconds")

    async def metadata(self, request: Request, _caller: Caller) -> Response:
        version = metadata.version("penumbra-node")
        return _answer(capabilities(version, self._since, self._base(request) + PREFIX))

    async def study(self, request: Request, _caller: Caller) -> Response:
        _require_json(request)
        asked, base = request.path_params["id"], self._base(request)
        found = await self._asked(lambda: self._desk.study(asked, base))
        if found is None:
            raise HTTPException(404, "there is no ImagingStudy of this id")
        headers = {"ETag": f'W/"{found.version}"'}
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return _answer(found.resource, headers=headers)

    async def search(self, request: Request, _caller: Caller) -> Response:
        _require_json(request)
        if len(request.url.query) > _LONGEST_QUERY:
            raise HTTPException(414, "the search is too long")
        asked = list(request.query_params.multi_items())
        if request.method == "POST":
            asked += parse_qsl(await _form(request), keep_blank_values=True)
        search, base = read(asked, self._desk.settings.issuers), self._base(request)
        page = await self._asked(lambda: self._desk.search(search, base))
        return _answer(bundle(page, base + PREFIX, asked))

    async def nothing(self, request: Request, _caller: Caller) -> Response:
        if request.method not in _READING:
            raise HTTPException(405, "FHIR is for reading here", {"Allow": "GET, HEAD"})
        raise HTTPException(404, "there are /fhir/metadata and /fhir/ImagingStudy")

    def _base(self, request: Request) -> str:
        """Give the URL under which the port is known to whoever asks."""
        if self._desk.settings.public_url is not None:
            return self._desk.settings.public_url.rstrip("/")
        url = service_url(request, behind_proxy=self._behind_proxy)
        return url.removesuffix(DICOM_WEB)

    async def _asked(self, ask: Callable[[], T]) -> T:
        if self._limit is None:  # there is an event loop only now
            self._limit = anyio.CapacityLimiter(AT_ONCE)
        return await anyio.to_thread.run_sync(ask, limiter=self._limit)


def _answer(
    resource: Resource, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    body = json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
    return Response(body, status, headers, MEDIA_TYPE)


async def _form(request: Request) -> str:
    """Read the parameters of a search that shall not stand in a URL (R4 3.1.1.1)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise HTTPException(415, "a search is posted as application/x-www-form-urlencoded")
    whole = bytearray()
    try:
        with anyio.fail_after(BODY_S):
            async for chunk in request.stream():
                whole += chunk
                if len(whole) > _LONGEST_QUERY:
                    raise HTTPException(413, "the search is too long")
    except TimeoutError:
        raise HTTPException(408, f"the search was not there within {BODY_S:g} s") from None
    return whole.decode("utf-8", "replace")


def _require_json(request: Request) -> None:
    form = request.query_params.get("_format", "json")
    if "json" not in form:
        raise HTTPException(406, "there is JSON alone: application/fhir+json")
