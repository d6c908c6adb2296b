"""QIDO-RS: search for Studies, Series and Instances (PS3.18 10.6)."""

import json
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final, Protocol
from urllib.parse import parse_qsl

import anyio
import anyio.to_thread
import structlog
from starlette.requests import Request
from starlette.responses import Response

from dicom import native_xml, web_query
from dicom.attributes import UNIQUE_KEYS, Level
from dicom.query import NEARLINE, ONLINE, Query
from dicom.selection import Selection
from dicom.web_query import BadQuery, WebQuery
from node.web.dicomweb.archive import Heads
from node.web.dicomweb.metadata import linked
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.negotiate import Offer, pick
from node.web.dicomweb.order import ordered
from node.web.dicomweb.paced import Paced
from node.web.dicomweb.results import Row, writer
from node.web.dicomweb.service import accepted, service_url
from node.web.guard import Caller, Handler
from node.web.problems import problem

JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
AT_ONCE: Final = 4
"""Searches; more wait for their turn, so that the door has the processors."""
FEW: Final = 200
"""Fewer results are put in order after they were found: see order.py."""
MOST_TEXT: Final = 64 << 20
"""Characters of results; those behind are left for another search, as a Warning says."""
_PAGE: Final = 500
_HEADS: Final = 100
"""Read at once: they may have a megabyte each."""
_MOST_PARAMETERS: Final = 200
_OFFERS: Final = (Offer(JSON), Offer("application/json"), Offer(XML, multipart=True))

Released = Callable[[Level, Collection[str], Collection[str]], Collection[str]]
"""Names those of some entities, of some Studies, of which bytes have left the spool."""

log = structlog.get_logger()


class Finding(Protocol):
    """The matches of one search."""

    def page(self, size: int) -> Sequence[Row]:
        """Give the next matches, at most `size`; none where none are left."""


class Searchable(Heads, Protocol):
    """Where entities are found, and heads of Instances; the index."""

    def finding(
        self, query: Query, limit: int, *, offset: int = 0, is_ordered: bool = False
    ) -> AbstractContextManager[Finding]:
        """Begin to find the entities that match."""


class Search:
    """Answers searches. One object serves every request."""

    def __init__(
        self,
        index: Searchable,
        released: Released = lambda _level, _uids, _studies: (),
        *,
        behind_proxy: bool = False,
    ) -> None:
        self._index = index
        self._released = released
        self._behind_proxy = behind_proxy
        self._turns = anyio.CapacityLimiter(AT_ONCE)

    def of(self, level: Level) -> Handler:
        """Make the handler of a resource whose results are of this level.

        Raises BadQuery for parameters that cannot be understood, StorageFault.
        """

        async def handle(request: Request, caller: Caller) -> Response:
            parameters = _parameters(request)
            offer = pick(accepted(request), _OFFERS)
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
        is_more, rows = len(rows) > asked.limit, rows[: asked.limit]
        write = writer(asked.query, url)
        results: Iterator[str] = map(write, rows, self._availability(asked.query, rows))
        if asked.needs_heads:
            results = self._with_heads(asked, rows, results)
        told, size = [], 0
        for text in results:
            told.append(text)
            size += len(text)
            if size > MOST_TEXT:
                return told, is_more or len(told) < len(rows)
        return told, is_more

    def _availability(self, query: Query, rows: Sequence[Row]) -> Iterator[str]:
        """Say of each match whether all of it can be had at once."""
        keywords = [one.keyword for one in query.returning]
        own, study = (keywords.index(UNIQUE_KEYS[one]) for one in (query.level, Level.STUDY))
        studies = {row[study] for row in rows}
        gone = self._released(query.level, {row[own] for row in rows}, studies) if rows else ()
        return (NEARLINE if row[own] in gone else ONLINE for row in rows)

    def _with_heads(
        self, asked: WebQuery, rows: Sequence[Row], results: Iterator[str]
    ) -> Iterator[str]:
        """Have results of Instances tell what only their heads have; of young ones some may not."""
        keywords = [one.keyword for one in asked.query.returning]
        study, series, own = (
            keywords.index(UNIQUE_KEYS[one]) for one in (Level.STUDY, Level.SERIES, Level.IMAGE)
        )
        for start in range(0, len(rows), _HEADS):
            some = rows[start : start + _HEADS]
            which = Selection(
                study_instance_uids=tuple({row[study] for row in some}),
                series_instance_uids=tuple({row[series] for row in some}),
                sop_instance_uids=tuple({row[own] for row in some}),
            )
            heads = {
                (one.series_instance_uid, one.instance.arrival.sop_instance_uid): head
                for one, head in self._index.heads(which)
            }
            for row, text in zip(some, results, strict=False):
                told = json.loads(text)
                head = heads.get((row[series], row[own])) or {}
                more = {tag: one for tag, one in head.items()
                        if asked.whole or int(tag, 16) in asked.unindexed}  # fmt: skip
                bulk = f"{told['00081190']['Value'][0]}/bulkdata"
                yield json.dumps(dict(sorted((linked(more, bulk) | told).items())))

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
