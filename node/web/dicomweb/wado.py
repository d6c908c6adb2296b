"""Give whole objects: studies, series and instances as they are stored or as asked (WADO-RS).

PS3.18 10.4: multipart/related with one part for each Instance, one Instance alone as
application/dicom, or everything in a ZIP file.
"""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom.errors import StorageFault
from dicom.native import Piece
from dicom.selection import Stored
from node.web.dicomweb import ranges
from node.web.dicomweb.archive import Archive, not_acceptable, path_of, warning
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.negotiate import (
    DICOM,
    MediaRange,
    Offer,
    pick,
    syntax_for,
    wishes,
)
from node.web.dicomweb.service import accepted
from node.web.dicomweb.transcoding import given
from node.web.dicomweb.zipped import zipped

ZIP: Final = "application/zip"
_VARY: Final = {"Vary": "Accept"}


@dataclass(frozen=True, slots=True)
class Planned:
    """One Instance that goes out, and in which transfer syntax."""

    stored: Stored
    transfer_syntax_uid: str

    @property
    def is_original(self) -> bool:
        """Whether its bytes go out as they came in."""
        return self.transfer_syntax_uid == self.stored.instance.arrival.transfer_syntax_uid


async def retrieve(archive: Archive, request: Request) -> Response:
    """Answer for a study, a series or an instance.

    200; 206 with a Warning where some Instances cannot be given as asked, or not be read (PS3.18
    10.4.3); 404, 406. One that turns out to be damaged once bytes have gone out breaks the answer
    off; asked again, the others are given.
    """
    takes = accepted(request)
    found = await archive.find(request)
    is_one = "SOPInstanceUID" in request.path_params
    form = pick([_without_syntax(one) for one in takes], _forms(is_one=is_one))
    if form is None:
        there_is = 'multipart/related; type="application/dicom", application/zip'
        raise not_acceptable(there_is + (", application/dicom" if is_one else ""))
    wished = (("*",),) if form.media_type == ZIP else wishes(takes, multipart=form.multipart)
    while True:
        planned = await archive.turns.run(plan, archive, found, wished)
        if not planned:
            raise not_acceptable("no Instance in a transfer syntax that it names; * takes any")
        try:
            return await _answer(archive, request, form, (planned, len(found)))
        except StorageFault:
            if len(plan(archive, found, wished)) >= len(planned) or len(planned) == 1:
                raise  # it is not known to be lost, so that the same would happen again


async def _answer(
    archive: Archive, request: Request, form: Offer, chosen: tuple[Sequence[Planned], int]
) -> Response:
    planned, of = chosen
    if form.media_type == DICOM and not form.multipart:
        return await single(archive, request, planned[0])
    left_out = of - len(planned)
    headers = _VARY | (_left_out(left_out, of) if left_out else {})
    status = 206 if left_out else 200
    if form.media_type == ZIP:
        headers["Content-Disposition"] = 'attachment; filename="dicom.zip"'
        files = ((one.stored.instance, pieces) for one, pieces in _opened(archive, planned))
        return await archive.stream(zipped(files), ZIP, headers, status)
    multipart = Multipart(secrets.token_hex(16))
    url = archive.url(request)
    if all(one.is_original for one in planned):
        headers["Content-Length"] = str(await archive.turns.run(_length, multipart, url, planned))
    pieces = _parts(archive, multipart, url, planned)
    return await archive.stream(pieces, multipart.content_type(DICOM), headers, status)


def _forms(*, is_one: bool) -> list[Offer]:
    alone = [Offer(DICOM)] if is_one else []
    return [Offer(DICOM, multipart=True), *alone, Offer(ZIP)]


def plan(
    archive: Archive, found: Iterable[Stored], wished: Sequence[Sequence[str]]
) -> list[Planned]:
    """Choose how each Instance goes out; leave out what cannot be given so, or at all."""
    chosen = []
    for one in found:
        syntax = syntax_for(one.instance.arrival.transfer_syntax_uid, wished)
        if syntax is not None and not archive.checked.is_lost(one.instance):
            chosen.append(Planned(one, syntax))
    if not chosen and (lost := [one for one in found if archive.checked.is_lost(one.instance)]):
        # Asked again, its fault is told in its own words, or it has been mended.
        chosen = [Planned(one, one.instance.arrival.transfer_syntax_uid) for one in lost[:1]]
    return chosen


async def single(archive: Archive, request: Request, planned: Planned) -> Response:
    """Give one Instance alone; in its stored transfer syntax also in parts (Range)."""
    content_type = f"{DICOM}; transfer-syntax={planned.transfer_syntax_uid}"
    instance = planned.stored.instance
    if not planned.is_original:
        return await archive.stream(_pieces(archive, planned), content_type, _VARY, 200)
    size = instance.location.length
    etag = f'"{instance.digest[:32]}"'
    headers = _VARY | {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache"}
    if ranges.is_known(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    part = wanted_part(request, size, etag)
    if part is None:
        headers["Content-Length"] = str(size)
        return await archive.stream(archive.checked.pieces(instance), content_type, headers, 200)
    headers |= {"Content-Length": str(len(part)), "Content-Range": part.content_range}
    pieces = archive.checked.extent(instance, part.first, len(part))
    return await archive.stream(pieces, content_type, headers, 206)


def wanted_part(request: Request, size_bytes: int, etag: str) -> ranges.Part | None:
    """Read the Range header. Raises HTTPException, 416."""
    if not ranges.is_same(request.headers.get("if-range", ""), etag):
        return None
    try:
        return ranges.part(request.headers.get("range", ""), size_bytes)
    except ranges.Unsatisfiable:
        words = f"there are {size_bytes} bytes, and none of them in this range"
        raise HTTPException(416, words, {"Content-Range": f"bytes */{size_bytes}"}) from None


def _parts(
    archive: Archive, multipart: Multipart, url: str, planned: Sequence[Planned]
) -> Iterator[Piece]:
    """Give the body. What fails before the first byte went out is left to be told as a fault."""
    for one, pieces in _opened(archive, planned):
        first = next(pieces, b"")
        size = one.stored.instance.location.length if one.is_original else None
        yield _opening(multipart, url, one, size)
        yield first
        yield from pieces
    yield multipart.closing


def _opened(
    archive: Archive, planned: Sequence[Planned]
) -> Iterator[tuple[Planned, Iterator[Piece]]]:
    """Give the pieces of each; runs of originals are read ahead."""
    for is_original, run in groupby(planned, key=lambda one: one.is_original):
        listed = list(run)
        if is_original:
            coming = archive.checked.ahead(one.stored for one in listed)
            for one, (_, pieces) in zip(listed, coming, strict=True):
                yield one, pieces
        else:
            for one in listed:
                yield one, _pieces(archive, one)


def _opening(multipart: Multipart, url: str, one: Planned, size: int | None) -> bytes:
    content_type = f"{DICOM}; transfer-syntax={one.transfer_syntax_uid}"
    return multipart.opening(content_type, size, url + path_of(one.stored))


def _pieces(archive: Archive, one: Planned) -> Iterator[Piece]:
    if one.is_original:
        return archive.checked.pieces(one.stored.instance)
    return given(archive, one.stored.instance, one.transfer_syntax_uid)


def _length(multipart: Multipart, url: str, planned: Sequence[Planned]) -> int:
    sizes = ((one, one.stored.instance.location.length) for one in planned)
    parts = sum(len(_opening(multipart, url, one, size)) + size for one, size in sizes)
    return parts + len(multipart.closing)


def _left_out(count: int, of: int) -> dict[str, str]:
    return warning(f"{count} of {of} instances cannot be given as asked, or not be read")


def _without_syntax(one: MediaRange) -> MediaRange:
    return MediaRange(one.type, one.inner, "", one.q)
