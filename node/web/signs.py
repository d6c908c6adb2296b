"""The signs of life over HTTP: /livez, /readyz and /metrics; no patient data."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from dicom.errors import Fault
from node.metrics import CONTENT_TYPE, Metrics

PATIENCE_S: Final = 2.0
"""A check that has not answered by then counts as failed."""


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one part can do its work now, and why not."""

    ok: bool
    words: str = ""


Checks = Mapping[str, Callable[[], Check]]
"""Checks by name; each may block, and may raise a Fault, which counts as failed."""


def signs_app(
    checks: Checks,
    metrics: Metrics,
    is_alive: Callable[[], bool] = lambda: True,
    *,
    patience_s: float = PATIENCE_S,
) -> Starlette:
    """Make the app.

    /livez answers 200 while `is_alive` is true: when not, restart the process. /readyz answers 200
    when every check passes, and tells each: when not, send no work here. /metrics is OpenMetrics.
    Everything else than 200 is 503.
    """

    async def livez(_request: Request) -> Response:
        # Not in a thread: it must answer when every thread is stuck.
        alive = is_alive()
        return PlainTextResponse("alive\n" if alive else "hung\n", 200 if alive else 503)

    async def readyz(_request: Request) -> Response:
        found: dict[str, Check] = {}
        async with anyio.create_task_group() as together:
            for name, check in checks.items():
                together.start_soon(_ask, found, name, check, patience_s)
        told = {
            name: {"ok": found[name].ok, "words": found[name].words} for name in checks
        }  # in the order of the checks, not of the answers
        ready = all(check.ok for check in found.values())
        return JSONResponse({"ready": ready, "checks": told}, 200 if ready else 503)

    def exposed(_request: Request) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/livez", livez),
            Route("/readyz", readyz),
            Route("/metrics", exposed),
        ]
    )


async def _ask(
    found: dict[str, Check], name: str, check: Callable[[], Check], patience_s: float
) -> None:
    found[name] = Check(ok=False, words=f"no answer within {patience_s:g} s")
    with anyio.move_on_after(patience_s):
        found[name] = await anyio.to_thread.run_sync(
            partial(_answer, check), abandon_on_cancel=True
        )


def _answer(check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Fault as fault:
        return Check(ok=False, words=f"{fault.code}: {fault}")
    except Exception as bug:  # noqa: BLE001  (the web is a boundary: a check's bug is "not ready")
        return Check(ok=False, words=f"the check itself failed ({type(bug).__name__})")
