"""Give the heads of Instances without their bulk data (WADO-RS metadata, PS3.18 10.4.1.1.2)."""

import hashlib
import json
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import structlog
from starlette.requests import Request
from starlette.responses import Response

from dicom import native_xml
from dicom.errors import CannotUnderstand, StorageFault
from dicom.json_head import head_json
from dicom.native import Piece
from dicom.selection import Stored
from node.web.dicomweb import ranges
from node.web.dicomweb.archive import Archive, not_acceptable, path_of, selection
from node.web.dicomweb.checked import PIECE_BYTES
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.negotiate import Offer, pick
from node.web.dicomweb.service import accepted

JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
_OFFERS: Final = (Offer(JSON), Offer("application/json"), Offer(XML, multipart=True))
_FORM: Final = "1"
"""Another form of what is written means another one here, so that nobody keeps the old."""
_GZIP_LEVEL: Final = 1
_GZIP: Final = 16 + zlib.MAX_WBITS

Head = Mapping[str, Any]

log = structlog.get_logger()


async def retrieve(archive: Archive, request: Request) -> Response:
    """Answer for the metadata of a study, a series or an instance: 200, 304; 404, 406.

    A JSON array, or multipart/related with the Native DICOM Model of each in XML.
    """
    offer = pick(accepted(request), _OFFERS)
    if offer is None:
        raise not_acceptable(f'{JSON}, or multipart/related; type="{XML}"')
    found = await archive.find(request)
    is_packed = not offer.multipart and takes_gzip(request.headers.get("accept-encoding", ""))
    url = archive.url(request)
    etag = f'"{_etag(found, url, offer.media_type)}{"-gzip" if is_packed else ""}"'
    headers = {"ETag": etag, "Cache-Control": "private, no-cache",
               "Vary": "Accept, Accept-Encoding"}  # fmt: skip
    if ranges.is_known(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    heads = _heads(archive, request, found, url)
    if offer.multipart:
        multipart = Multipart(secrets.token_hex(16))
        documents = _documents(multipart, heads)
        return await archive.stream(documents, multipart.content_type(XML), headers, 200)
    pieces = _array(heads)
    if is_packed:
        headers["Content-Encoding"] = "gzip"
        pieces = _packed(pieces)
    return await archive.stream(pieces, offer.media_type, headers, 200)


def takes_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110 12.5.3)."""
    for one in accept_encoding.lower().split(","):
        name, _, weight = one.replace(" ", "").partition(";")
        if name in {"gzip", "x-gzip"}:
            return re.fullmatch(r"q=0(\.0*)?", weight) is None
    return False


def linked(head: Head, url: str) -> Head:
    """Make the names of bulk data in a head URLs that begin with `url`."""
    return {tag: _element(element, url) for tag, element in head.items()}


def _element(element: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    if "BulkDataURI" in element:
        return {**element, "BulkDataURI": f"{url}/{element['BulkDataURI']}"}
    if element.get("vr") == "SQ" and "Value" in element:
        return {"vr": "SQ", "Value": [linked(item, url) for item in element["Value"]]}
    return element


def _etag(found: Sequence[Stored], url: str, media_type: str) -> str:
    sha = hashlib.sha256(f"{_FORM} {url} {media_type}".encode())
    for one in found:
        sha.update(bytes.fromhex(one.instance.digest))
    return sha.hexdigest()[:32]


def _heads(archive: Archive, request: Request, found: Sequence[Stored], url: str) -> Iterator[Head]:
    which = selection(request.path_params)
    known: Iterable[tuple[Stored, Head | None]] = (
        ((one, None) for one in found) if archive.heads is None else archive.heads.heads(which)
    )
    for stored, head in known:
        whole = _read(archive, stored) if head is None else head
        yield linked(whole, f"{url}{path_of(stored)}/bulkdata")


def _read(archive: Archive, stored: Stored) -> Head:
    """Read the head of an Instance that the index has not got to yet, or could not read."""
    arrival = stored.instance.arrival
    try:
        with archive.checked.open(stored.instance) as stream:
            return head_json(stream, arrival.transfer_syntax_uid)
    except (CannotUnderstand, StorageFault) as fault:
        log.warning("head not read", sop_instance=arrival.sop_instance_uid, fault=fault.code)
    return {
        "00080016": {"vr": "UI", "Value": [arrival.sop_class_uid]},
        "00080018": {"vr": "UI", "Value": [arrival.sop_instance_uid]},
        "0020000D": {"vr": "UI", "Value": [stored.study_instance_uid]},
        "0020000E": {"vr": "UI", "Value": [stored.series_instance_uid]},
    }


def _array(heads: Iterator[Head]) -> Iterator[bytes]:
    before = "["
    for head in heads:
        text = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
        yield (before + text).encode("utf-8", "replace")
        before = ",\n"
    yield b"]" if before != "[" else b"[]"


def _documents(multipart: Multipart, heads: Iterator[Head]) -> Iterator[bytes]:
    for head in heads:
        body = native_xml.write(head)
        yield multipart.opening(XML, len(body)) + body
    yield multipart.closing


def _packed(pieces: Iterator[Piece]) -> Iterator[bytes]:
    packing = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP)
    for piece in pieces:
        for at in range(0, len(piece), PIECE_BYTES):
            if packed := packing.compress(piece[at : at + PIECE_BYTES]):
                yield packed
    yield packing.flush()
