"""Every route of DICOMweb, each with the permission it needs (PS3.18 Chapter 10)."""

from typing import Final

from starlette.routing import Route

from dicom.attributes import Level
from node.web.dicomweb.qido import Search
from node.web.dicomweb.service import PREFIX, SERIES, STUDIES, STUDY
from node.web.dicomweb.stow import Store
from node.web.guard import Record, guarded
from node.web.tokens import Tokens

SEARCHES: Final = (
    (STUDIES, Level.STUDY),
    (STUDY + "/series", Level.SERIES),
    (SERIES + "/instances", Level.IMAGE),
    (STUDY + "/instances", Level.IMAGE),
    (PREFIX + "/series", Level.SERIES),
    (PREFIX + "/instances", Level.IMAGE),
)
"""The resources of PS3.18 Table 10.6.1-1, and what their results are."""


def search_routes(tokens: Tokens, search: Search) -> list[Route]:
    """Make the routes of QIDO-RS."""
    return [
        Route(path, guarded(tokens, "query", search.of(level)), methods=["GET"])
        for path, level in SEARCHES
    ]


def store_routes(tokens: Tokens, store: Store, record: Record) -> list[Route]:
    """Make the routes of STOW-RS; each use is put on record."""
    endpoint = guarded(tokens, "store", store.handle, record)
    return [Route(path, endpoint, methods=["POST"]) for path in (STUDIES, STUDY)]
