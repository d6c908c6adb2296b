"""Serve the OHIF viewer's files at /ohif, set up for the DICOMweb of this node.

The files are what deploy/setup-viewer.sh made of OHIF's own. Its configuration is ours: the one
that comes with it asks a demonstration server elsewhere.
"""

import json
import mimetypes
from pathlib import Path
from typing import Final

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from node.web.dicomweb.service import PREFIX as DICOM_WEB
from node.web.guard import Caller, guarded
from node.web.tokens import Tokens

PREFIX: Final = "/ohif"
_ISOLATED: Final = {
    # SharedArrayBuffer, which its image decoders share between threads, is for isolated pages.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Nothing of it may ask anybody but this node.
    "Content-Security-Policy": (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; frame-ancestors 'self';"
        " base-uri 'self'; form-action 'self'"
    ),
}
_FRESH: Final = {"Cache-Control": "no-cache"}
_KEPT: Final = {"Cache-Control": "private, max-age=86400"}
_SOURCE: Final = {
    "friendlyName": "Penumbra",
    "name": "penumbra",
    "qidoSupportsIncludeField": True,
    "supportsReject": False,
    "supportsFuzzyMatching": False,
    "supportsWildcard": True,
    "imageRendering": "wadors",
    "thumbnailRendering": "wadors",
    "enableStudyLazyLoad": True,
    "singlepart": "bulkdata,video",
    "bulkDataURI": {"enabled": True},
    "omitQuotationForMultipartRequest": True,
}
_SETTINGS: Final = {
    "name": "penumbra",
    "routerBasename": PREFIX,
    "extensions": [],
    "modes": [],
    "customizationService": {},
    "showStudyList": True,
    "maxNumberOfWebWorkers": 3,
    "showLoadingIndicator": True,
    "strictZSpacingForVolumeViewport": True,
    "investigationalUseDialog": {"option": "always"},
    "maxNumRequests": {"interaction": 20, "thumbnail": 5, "prefetch": 10},
    "defaultDataSourceName": "penumbra",
}
_NAMESPACE: Final = "@ohif/extension-default.dataSourcesModule.dicomweb"


def viewer_routes(tokens: Tokens, folder: Path | None) -> list[Route]:
    """Make the routes; none without a folder.

    The page and its configuration want a token, of whatever permissions, so that a browser asks
    for the password at once. The other files are what anybody can have from npm.
    """
    if folder is None:
        return []
    root = folder.resolve()

    async def page(_request: Request, _caller: Caller) -> Response:
        return FileResponse(root / "index.html", headers=_ISOLATED | _FRESH)

    async def configuration(_request: Request, _caller: Caller) -> Response:
        return Response(app_config(), media_type="text/javascript", headers=_ISOLATED | _FRESH)

    guarded_page = guarded(tokens, None, page)

    async def any_file(request: Request) -> Response:
        path = await anyio.to_thread.run_sync(_found, root, request.path_params["path"])
        if path is not None:
            media = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
            return FileResponse(path, media_type=media, headers=_ISOLATED | _KEPT)
        if "." in request.path_params["path"].rpartition("/")[2]:
            raise HTTPException(404)
        return await guarded_page(request)  # a place within the viewer, such as /viewer?...

    async def to_page(_request: Request) -> Response:
        return RedirectResponse(PREFIX + "/")

    return [
        Route(PREFIX, to_page, methods=["GET"]),
        Route(PREFIX + "/", guarded_page, methods=["GET"]),
        Route(PREFIX + "/index.html", guarded_page, methods=["GET"]),
        Route(PREFIX + "/app-config.js", guarded(tokens, None, configuration), methods=["GET"]),
        Route(PREFIX + "/{path:path}", any_file, methods=["GET"]),
    ]


def app_config() -> str:
    """Write the viewer's configuration: this node's DICOMweb, and nothing else."""
    source = json.dumps(_SOURCE)
    return (
        f"window.config = {json.dumps(_SETTINGS)};\n"
        f"const root = window.location.origin + {json.dumps(DICOM_WEB)};\n"
        "window.config.dataSources = [{\n"
        f'  namespace: "{_NAMESPACE}",\n'
        '  sourceName: "penumbra",\n'
        "  configuration: Object.assign({ qidoRoot: root, wadoRoot: root, wadoUriRoot: root },\n"
        f"    {source}),\n"
        "}];\n"
    )


def _found(folder: Path, name: str) -> Path | None:
    """Find a file of the folder; None for everything that is none, or lies elsewhere."""
    try:
        path = (folder / name).resolve()
        is_file = path.is_file()
    except (OSError, ValueError):
        return None
    return path if is_file and path.is_relative_to(folder) else None
