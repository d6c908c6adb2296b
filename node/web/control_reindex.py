"""The control app's upkeep of the index: begin to read the spool again, and say how far it is."""

from typing import Protocol

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


class Renewed(Protocol):
    """An index that can be renewed: storage.index.database.Index is one."""

    def begin_renewal(self) -> None:
        """Have the whole spool read once more."""

    def renewed_records(self) -> int | None:
        """Count the records that were read again, None when none goes on."""

    def count(self) -> int:
        """Count the Instances."""


def control_routes(index: Renewed) -> list[Route]:
    """Make GET and POST /api/reindex: {"records": N, or null when none goes on; "of": M}."""

    def begin() -> dict[str, int | None]:
        if index.renewed_records() is None:
            index.begin_renewal()
        return told()

    def told() -> dict[str, int | None]:
        return {"records": index.renewed_records(), "of": index.count()}

    async def post(_request: Request) -> Response:
        return JSONResponse(await anyio.to_thread.run_sync(begin))

    async def get(_request: Request) -> Response:
        return JSONResponse(await anyio.to_thread.run_sync(told))

    return [
        Route("/api/reindex", post, methods=["POST"]),
        Route("/api/reindex", get, methods=["GET"]),
    ]
