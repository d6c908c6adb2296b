"""Every route that retrieves: WADO-RS and WADO-URI (PS3.18 Table 10.4.1-1, Chapter 9)."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dicom.errors import OutOfResources, Refused
from node.originals import Originals
from node.transcoding import Transcoding
from node.web.dicomweb import bulkdata, frames, metadata, rendered, uri, wado
from node.web.dicomweb.archive import Archive, Heads
from node.web.dicomweb.checked import Checked
from node.web.dicomweb.darkroom import Darkroom
from node.web.dicomweb.service import INSTANCE, SERIES, STUDY
from node.web.dicomweb.turns import RETRY_S, Turns
from node.web.guard import guarded
from node.web.tokens import Tokens

WADO_URI: Final = "/wado"

Handler = Callable[[Archive, Request], Awaitable[Response]]
_thumbnail: Final = partial(rendered.retrieve, thumbnail=True)

RETRIEVALS: Final[tuple[tuple[str, Handler], ...]] = (
    *((level, wado.retrieve) for level in (STUDY, SERIES, INSTANCE)),
    *((level + "/metadata", metadata.retrieve) for level in (STUDY, SERIES, INSTANCE)),
    *((level + "/rendered", rendered.retrieve) for level in (STUDY, SERIES, INSTANCE)),
    *((level + "/thumbnail", _thumbnail) for level in (STUDY, SERIES, INSTANCE)),
    (INSTANCE + "/frames/{frames}", frames.retrieve),
    (INSTANCE + "/frames/{frames}/rendered", rendered.retrieve),
    (INSTANCE + "/frames/{frames}/thumbnail", _thumbnail),
    (INSTANCE + "/bulkdata/{path:path}", bulkdata.retrieve),
    (WADO_URI, uri.retrieve),
)
"""What can be retrieved, and who answers for it."""
_WHOLE: Final = (wado.retrieve, bulkdata.retrieve, uri.retrieve)


def wado_routes(
    tokens: Tokens,
    originals: Originals,
    transcoding: Transcoding,
    heads: Heads | None = None,
    *,
    darkroom: Darkroom | None = None,
    behind_proxy: bool = False,
) -> list[Route]:
    """Make the routes, each for tokens with the permission "retrieve".

    Without a `darkroom` of the caller's own, its processes end with this one.
    """
    turns, checked, dark = Turns(), Checked(originals), darkroom or Darkroom()
    archive = Archive(
        originals, heads, turns, checked, dark, transcoding, behind_proxy=behind_proxy
    )
    routes = []
    for path, handler in RETRIEVALS:
        answer = turns.taken(_told(partial(handler, archive)), whole=handler in _WHOLE)
        routes.append(Route(path, guarded(tokens, "retrieve", answer), methods=["GET"]))
    return routes


def _told(
    handler: Callable[[Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def handle(request: Request) -> Response:
        try:
            return await handler(request)
        except Refused as fault:  # it cannot be made in that transfer syntax
            raise HTTPException(406, str(fault)) from fault
        except OutOfResources as fault:
            raise HTTPException(503, str(fault), {"Retry-After": str(RETRY_S)}) from fault

    return handle
