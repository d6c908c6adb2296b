"""The control app's questions in SQL: for the node's own user, so about every table."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from node.sql_desk import SqlDesk
from node.web.sql import SqlWanted
from node.web.sql_door import SqlDoor
from storage.index.offered import Role

BY = "control socket"
"""Who asked, on record: whoever may read the node's data directory."""


def control_routes(desk: SqlDesk) -> list[Route]:
    """Make the routes."""
    door = SqlDoor(desk)

    async def ask(request: Request) -> Response:
        wanted = SqlWanted.model_validate_json(await request.body()).wanted()
        answer = await door.ask_as(wanted, Role.IDENTIFIED, BY, request)
        return door.response(answer, wanted.form, "answer")

    async def reports(_request: Request) -> Response:
        return JSONResponse(await door.run(desk.offers, Role.IDENTIFIED))

    return [
        Route("/api/ask", ask, methods=["POST"]),
        Route("/api/reports", reports),
    ]
