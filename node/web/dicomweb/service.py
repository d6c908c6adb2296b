"""Where DICOMweb is on this node, as a client sees it, and what a client takes."""

import re
from typing import Final

from starlette.requests import Request

from node.web.dicomweb.negotiate import MediaRange, parse

PREFIX: Final = "/dicom-web"
STUDIES: Final = PREFIX + "/studies"
STUDY: Final = STUDIES + "/{StudyInstanceUID}"
SERIES: Final = STUDY + "/series/{SeriesInstanceUID}"
INSTANCE: Final = SERIES + "/instances/{SOPInstanceUID}"
_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(
    r"[A-Za-z0-9.-]{1,255}(:[0-9]{1,5})?|\[[0-9A-Fa-f:]{2,45}\](:[0-9]{1,5})?"
)


def accepted(request: Request) -> tuple[MediaRange, ...]:
    """Read what the client takes: the query's `accept`, or the header (PS3.18 8.3.3.1, 8.7.5).

    Raises CannotUnderstand.
    """
    asked = request.query_params.get("accept", "")
    # In a query "+" stands for a blank, and no media type has one.
    return parse(asked.replace(" xml", "+xml").replace(" json", "+json")
                 or ",".join(request.headers.getlist("accept")))  # fmt: skip


def service_url(request: Request, *, behind_proxy: bool = False) -> str:
    """Give the URL of the service as this client called it, without a slash at its end.

    `behind_proxy`: a proxy in front has the word about the scheme, HTTPS unless it says otherwise.
    """
    scheme = request.url.scheme
    if behind_proxy:
        told = request.headers.get("x-forwarded-proto", "").lower()
        scheme = told if told in {"http", "https"} else "https"
    host = request.headers.get("host", "")
    server, port = request.scope.get("server") or ("localhost", _PORTS[scheme])
    named = _HOST.fullmatch(host)
    if named is None:
        host = f"[{server}]:{port}" if ":" in server else f"{server}:{port}"
    elif not (named[1] or named[2] or behind_proxy or port == _PORTS[scheme]):
        host = f"{host}:{port}"  # some clients leave it out, against RFC 9110 7.2
    return f"{scheme}://{host}{PREFIX}"
