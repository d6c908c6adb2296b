"""Let the pages of named sites ask this node from a browser (CORS, the Fetch standard)."""

from collections.abc import Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware

_ASKED: Final = ("Accept", "Authorization", "Content-Type", "If-None-Match", "If-Range", "Range")
_TOLD: Final = ("Content-Location", "Content-Range", "ETag", "Retry-After", "Warning")
_REMEMBERED_S: Final = 600


def allow_origins(app: Starlette, origins: Sequence[str]) -> None:
    """Answer browsers that ask whether pages of these sites may.

    A page sends its token itself: what the browser knows of passwords is never sent for it.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST"),
        allow_headers=_ASKED,
        expose_headers=_TOLD,
        allow_credentials=False,
        max_age=_REMEMBERED_S,
    )
