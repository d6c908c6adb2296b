"""The control app: what the commands ask of a running node, in JSON over a unix socket.

The socket's mode lets in the node's own user alone; that is the whole of its access control, so
the app is never served on a TCP port.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Final, Protocol, TypeVar

import anyio
import anyio.to_thread
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dicom.errors import Fault
from node.plain import plain
from node.sql_desk import SqlDesk
from node.web.control_sql import control_routes
from storage.index.reports import Table

T = TypeVar("T")

POLL_S: Final = 0.1
"""How often a long poll looks for events."""
LONGEST_WAIT_S: Final = 60.0
MOST_EVENTS: Final = 1000
MOST_ASSOCIATIONS: Final = 10_000


class Ask(Protocol):
    """Answers SQL: storage.index.database.Index.sql is one."""

    def __call__(self, text: str, /, *, timeout_s: float, max_rows: int) -> Table:
        """Answer one SELECT; raises a Fault."""


class Read(Protocol):
    """Gives the events after an id, oldest first, as plain facts with an "id"."""

    def __call__(self, after: int, limit: int, /) -> Sequence[Mapping[str, object]]:
        """Read what is there now; raises a Fault."""


class Recall(Protocol):
    """Gives the latest associations, oldest first, as plain facts: see node/history.py."""

    def __call__(
        self, *, limit: int, caller: str, only_bad: bool, prefix: str
    ) -> Sequence[Mapping[str, object]]:
        """Read what is there now; of one id where a prefix of it is given."""


class Question(BaseModel):
    """The body of POST /api/sql."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    sql: Annotated[str, Field(min_length=1, max_length=100_000)]
    max_rows: Annotated[int, Field(ge=1, le=1_000_000)] = 1000
    timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30


def control_app(
    *,
    status: Callable[[], Mapping[str, object]],
    sql: Ask,
    events: Read,
    associations: Recall = lambda **_: (),
    desk: SqlDesk | None = None,
) -> Starlette:
    """Make the app.

    GET /api/status gives what `status` gives. POST /api/sql {sql, max_rows, timeout_s} gives
    {columns, rows, truncated}. GET /api/events?after=ID&limit=N&wait_s=S gives {events}, at
    the latest after S seconds. GET /api/associations?limit=N&caller=TITLE&bad=1&id=PREFIX gives
    {associations}, the latest N. POST /api/ask and GET /api/reports are what the API has as /sql,
    about every table. A Fault is answered with 400 and a problem (RFC 9457) with the
    members `code` and `detail`.
    """

    async def get_status(_request: Request) -> Response:
        return JSONResponse(plain(await _in_thread(status)))

    async def post_sql(request: Request) -> Response:
        question = Question.model_validate_json(await request.body())

        def ask() -> object:
            table = sql(question.sql, timeout_s=question.timeout_s, max_rows=question.max_rows)
            told = {"columns": table.columns, "rows": table.rows, "truncated": table.truncated}
            return plain(told)

        return JSONResponse(await _in_thread(ask))

    async def get_events(request: Request) -> Response:
        after = _number(request, "after", 0, float("inf"))
        limit = _number(request, "limit", 100, MOST_EVENTS)
        wait_s = _number(request, "wait_s", 0, LONGEST_WAIT_S)
        deadline = time.monotonic() + wait_s
        read = partial(events, int(after), int(limit))
        while not (found := await _in_thread(read)) and not _is_over(request, deadline):
            await anyio.sleep(POLL_S)
            if await request.is_disconnected():
                break
        return JSONResponse(plain({"events": found}))

    app = Starlette(
        routes=[
            Route("/api/status", get_status),
            Route("/api/sql", post_sql, methods=["POST"]),
            Route("/api/events", get_events),
            Route("/api/associations", partial(_get_associations, associations)),
            *(control_routes(desk) if desk else ()),
        ],
        exception_handlers={
            Fault: _fault,
            ValidationError: _invalid,
            HTTPException: _http,
            Exception: _bug,
        },
    )
    app.state.stopping = False
    return app


async def _get_associations(recall: Recall, request: Request) -> Response:
    asked = request.query_params
    read = partial(
        recall,
        limit=int(_number(request, "limit", 20, MOST_ASSOCIATIONS)),
        caller=asked.get("caller", "").strip(),
        only_bad=bool(_number(request, "bad", 0, 1)),
        prefix=asked.get("id", "").strip(),
    )
    return JSONResponse(plain({"associations": await _in_thread(read)}))


async def _in_thread(call: Callable[[], T]) -> T:
    # Abandoned when the server stops: a long question shall not keep the node alive.
    return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)


def _is_over(request: Request, deadline: float) -> bool:
    return time.monotonic() >= deadline or bool(request.app.state.stopping)


def _number(request: Request, name: str, default: float, most: float) -> float:
    text = request.query_params.get(name)
    try:
        number = default if text is None else float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise HTTPException(422, f"{name} must be a number of 0 or more")
    return min(number, most)


def _problem(status: int, code: str, words: str) -> Response:
    body = {"title": code, "status": status, "code": code, "detail": words}
    return JSONResponse(body, status, media_type="application/problem+json")


def _fault(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, Fault)
    return _problem(400, fault.code, str(fault))


def _invalid(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, ValidationError)
    words = "; ".join(
        f"{'.'.join(map(str, error['loc']))}: {error['msg']}"
        for error in fault.errors(include_url=False, include_input=False, include_context=False)
    )
    return _problem(422, "question", words)


def _http(_request: Request, fault: Exception) -> Response:
    assert isinstance(fault, HTTPException)
    return _problem(fault.status_code, "question", fault.detail)


def _bug(_request: Request, bug: Exception) -> Response:
    return _problem(500, "bug", f"the node failed at this ({type(bug).__name__}); see its log")
