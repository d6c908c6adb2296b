"""The routes of the pages, each behind a token: a browser asks for its name and for itself."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from dicom.errors import CannotUnderstand
from node.sql_desk import Wanted
from node.web.guard import Caller, guarded
from node.web.pages import report as pages
from node.web.pages.layout import HEADERS, PREFIX, Place, page
from node.web.pages.overview import Seen, overview
from node.web.sql_door import ENDINGS, SqlDoor, role_of
from node.web.tokens import Tokens
from storage.index.offered import Role
from storage.index.questions import Answer
from storage.index.saved import Report

EVERY_S: Final = 30
"""So often the overview comes anew by itself."""
_STYLE: Final = Path(__file__).with_name("style.css")
_ICON: Final = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="14"'
    ' fill="#1f5fbf"/><path d="M16 2a14 14 0 0 1 0 28z" fill="#0c2a57"/></svg>'
)
_MOST_FILE_ROWS: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class PageParts:
    """What the pages show."""

    node_name: str
    door: SqlDoor
    seen: Callable[[], Seen]
    """Look at the node; may block."""


def page_routes(tokens: Tokens, parts: PageParts) -> list[Route]:
    """Make the routes; none without tokens."""
    if not tokens:
        return []
    shown = _Pages(parts)

    def get(path: str, endpoint: Any) -> Route:
        return Route(PREFIX + path, endpoint, methods=["GET"])

    async def to_start(_request: Request) -> Response:
        return RedirectResponse(f"{PREFIX}/")

    return [
        get("", to_start),
        get("/", guarded(tokens, "status", shown.overview)),
        get("/reports", guarded(tokens, "sql", shown.reports)),
        get("/reports/{name}", guarded(tokens, "sql", shown.report)),
        get("/reports/{name}/file", guarded(tokens, "sql", shown.file)),
        get("/style.css", guarded(tokens, None, _style)),
        get("/icon.svg", guarded(tokens, None, _icon)),
    ]


class _Pages:
    """Answers for each page."""

    def __init__(self, parts: PageParts) -> None:
        self._parts = parts

    async def overview(self, _request: Request, caller: Caller) -> Response:
        seen = await self._parts.door.run(self._parts.seen)
        place = Place(self._parts.node_name, "Overview", caller.may)
        return page("Overview", place, overview(seen), every_s=EVERY_S)

    async def reports(self, _request: Request, caller: Caller) -> Response:
        door, role = self._parts.door, role_of(caller)
        found, faults = await door.run(door.desk.reports.list)
        mine = [one for one in found if one.role in (role, Role.PLAIN)]
        wrong = faults if role is Role.IDENTIFIED else {}
        return page("Reports", self._reports(caller), pages.report_list(mine, wrong))

    async def report(self, request: Request, caller: Caller) -> Response:
        report = await self._find(request)
        values = _values(request, report)
        try:
            wanted = _wanted(report, values, "json", pages.MOST_ROWS)
            answer = await self._parts.door.ask(wanted, caller, request)
            told = json.loads(await self._parts.door.run(_whole, answer))
            result, status = pages.answer(report, told, answer.seconds), 200
        except HTTPException as fault:
            result, status = pages.failure(fault.detail), fault.status_code
        except CannotUnderstand as fault:
            result, status = pages.failure(str(fault)), 400
        content = pages.report_page(report, values, result)
        return page(report.title, self._reports(caller), content, status=status)

    async def file(self, request: Request, caller: Caller) -> Response:
        form = request.query_params.get("form", "csv")
        if form not in ENDINGS:
            raise HTTPException(422, f"form must be one of {', '.join(ENDINGS)}")
        report = await self._find(request)
        wanted = _wanted(report, _values(request, report), form, _MOST_FILE_ROWS)
        answer = await self._parts.door.ask(wanted, caller, request)
        return self._parts.door.response(answer, form, report.name)

    async def _find(self, request: Request) -> Report:
        door = self._parts.door
        return await door.run(door.desk.reports.find, request.path_params["name"])

    def _reports(self, caller: Caller) -> Place:
        return Place(self._parts.node_name, "Reports", caller.may)


_LONG_S: Final = 3600.0
"""What [sql] timeout_s says is less."""


def _wanted(report: Report, values: Mapping[str, str], form: Any, rows: int) -> Wanted:
    return Wanted("", report.name, values, form, rows, _LONG_S)


def _values(request: Request, report: Report) -> dict[str, str]:
    known = {one.name for one in report.parameters}
    return {name: value for name, value in request.query_params.items() if name in known}


def _whole(answer: Answer) -> bytes:
    return b"".join(answer.chunks())


async def _style(_request: Request, _caller: Caller) -> Response:
    headers = {**HEADERS, "Cache-Control": "private, max-age=300"}
    return Response(_STYLE.read_bytes(), media_type="text/css", headers=headers)


async def _icon(_request: Request, _caller: Caller) -> Response:
    return Response(_ICON, media_type="image/svg+xml", headers=HEADERS)
