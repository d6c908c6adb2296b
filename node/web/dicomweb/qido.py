"""QIDO-RS: search for Studies, Series and Instances (PS3.18 10.6)."""

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import structlog
from starlette.requests import Request
from starlette.responses import Response

from dicom import native_xml, web_query
from dicom.attributes import Level
from dicom.query import Query
from dicom.web_query import BadQuery, WebQuery
from node.web.dicomweb import negotiate
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.negotiate import Offer
from node.web.dicomweb.order import ordered
from node.web.dicomweb.paced import Paced
from node.web.dicomweb.results import Row, writer
from node.web.dicomweb.service import service_url
from node.web.guard import Caller, Handler
from node.web.problems import problem

JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
AT_ONCE: Final = 4
"""Searches; more wait for their turn, so that the door has the processors."""
FEW: Final = 200
"""Fewer results are put in order after they were found: see order.py."""
_PAGE: Final = 500
_MOST_PARAMETERS: Final = 200
_OFFERS: Final = (Offer(JSON), Offer("application/json"), Offer(XML, multipart=True))

log = structlog.get_logger()


class Finding(Protocol):
    """The matches of one search."""

    def page(self, size: int) -> Sequence[Row]:
        """Give the next matches, at most `size`; none where none are left."""


class Searchable(Protocol):
    """Where entities are found; the index."""

    def finding(
        self, query: Query, limit: int, *, offset: int = 0, is_ordered: bool = False
    ) -> AbstractContextManager[Finding]:
        """Begin to find the entities that match."""


class Search:
    """Answers searches. One object serves every request."""

    def __init__(self, index: Searchable, *, behind_proxy: bool = False) -> None:
        self._index = index
        self._behind_proxy = behind_proxy
        self._turns = anyio.CapacityLimiter(AT_ONCE)

    def of(self, level: Level) -> Handler:
        """Make the handler of a resource whose results are of this level.

        Raises BadQuery for parameters that cannot be understood, StorageFault.
        """

        async def handle(request: Request, caller: Caller) -> Response:
            parameters = _parameters(request)
            accept = dict(parameters).get("accept", request.headers.get("accept", ""))
            offer = negotiate.pick(negotiate.parse(accept), _OFFERS)
            if offer is None:
                return problem(406, "not-acceptable", f"there is {JSON}, and {XML} in parts")
            keys = [(name, value) for name, value in parameters if name != "accept"]
            asked = web_query.parse(level, request.path_params, keys)
            url = service_url(request, behind_proxy=self._behind_proxy)
            started = time.monotonic()
            results, is_more = await anyio.to_thread.run_sync(
                self._results, asked, url, limiter=self._turns
            )
            _log(caller, asked, len(results), time.monotonic() - started)
            return _answer(results, offer, _warnings(asked, url, is_more=is_more))

        return handle

    def _results(self, asked: WebQuery, url: str) -> tuple[list[str], bool]:
        """Find what is asked for; returns it with whether there is more."""
        rows = self._few(asked)
        if rows is None:
            rows = self._rows(asked.query, asked.limit + 1, asked.offset, is_ordered=True)
        write = writer(asked.query, url)
        return [write(row) for row in rows[: asked.limit]], len(rows) > asked.limit

    def _few(self, asked: WebQuery) -> Sequence[Row] | None:
        """Find few results, in order; None where there may be more."""
        if asked.offset or asked.query.sequences:
            return None
        most = min(asked.limit + 1, FEW)
        rows = self._rows(asked.query, most, 0, is_ordered=False)
        return ordered(asked.query, rows) if len(rows) < most else None

    def _rows(self, query: Query, limit: int, offset: int, *, is_ordered: bool) -> list[Row]:
        rows: list[Row] = []
        with self._index.finding(query, limit, offset=offset, is_ordered=is_ordered) as finding:
            while page := finding.page(_PAGE):
                rows += page
        return rows


def _parameters(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode("ascii"),
            keep_blank_values=True, errors="strict", max_num_fields=_MOST_PARAMETERS,
        )  # fmt: skip
    except ValueError as fault:
        words = f"the query is no UTF-8, or has more than {_MOST_PARAMETERS} parameters"
        raise BadQuery(words) from fault


def _warnings(asked: WebQuery, url: str, *, is_more: bool) -> list[str]:
    words = list(asked.warnings)
    if is_more:
        words.append("There are additional results that can be requested.")
    return [f"299 {url}: {each}" for each in words]


def _answer(results: Sequence[str], offer: Offer, warnings: Sequence[str]) -> Response:
    if offer.multipart:
        answer: Response = _xml(results)
    else:
        body = "[" + ",".join(results) + "]"
        answer = Paced(body, media_type=offer.media_type)
    for each in warnings:
        answer.headers.append("Warning", each)
    return answer


def _xml(results: Sequence[str]) -> Response:
    """Answer a part for each result; nothing where there is none (PS3.18 10.6.3.1)."""
    if not results:
        return Response(status_code=204)
    whole = Multipart(secrets.token_hex(16))
    body = bytearray()
    for each in results:
        head: Mapping[str, object] = json.loads(each)
        part = native_xml.write(head)
        body += whole.opening(XML, len(part)) + part
    return Paced(bytes(body + whole.closing), media_type=whole.content_type(XML))


def _log(caller: Caller, asked: WebQuery, matches: int, seconds: float) -> None:
    """Tell of a search: the names of keys, never their values."""
    log.info(
        "search",
        token=caller.name,
        entity=str(asked.query.level),
        keys=list(asked.query.keywords),
        matches=matches,
        ms=round(seconds * 1000, 1),
    )
