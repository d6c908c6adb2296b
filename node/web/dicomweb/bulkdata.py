"""Give the values that metadata leaves out, by their BulkDataURI (WADO-RS, PS3.18 10.4.1.1.5)."""

import re
import secrets
from collections.abc import Iterator
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom.encoding import BIG_ENDIAN, DEFLATED, UNDEFINED_LENGTH
from dicom.entity import Instance
from dicom.errors import CannotUnderstand
from dicom.frames import PIXEL_DATA
from dicom.places import Finder, Place, dataset_of
from dicom.transcode import EXPLICIT_LITTLE
from node.web.dicomweb import frames, ranges
from node.web.dicomweb.archive import Archive, not_acceptable
from node.web.dicomweb.checked import PIECE_BYTES
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.negotiate import OCTETS, Offer, pick
from node.web.dicomweb.service import PREFIX, accepted
from node.web.dicomweb.wado import wanted_part

_PATH: Final = re.compile(r"[0-9A-Fa-f]{8}(/[0-9]{1,6}/[0-9A-Fa-f]{8}){0,16}")
_UNITS: Final = {b"OW": 2, b"US": 2, b"SS": 2, b"AT": 2, b"OF": 4, b"OL": 4, b"UL": 4, b"SL": 4,
                 b"FL": 4, b"OD": 8, b"FD": 8, b"OV": 8, b"SV": 8, b"UV": 8}  # fmt: skip
_SWAPPED_BYTES: Final = 64 << 20
"""A longer value in big endian is given as frames, or not at all."""


async def retrieve(archive: Archive, request: Request) -> Response:
    """Answer for one value: 200, 206 for a part of it, 304; 400, 404, 406, 416."""
    path = parsed(request.path_params["path"])
    takes = accepted(request)
    instance = (await archive.one(request)).instance
    try:
        place, start = await archive.turns.run(_find, archive, instance, path)
    except CannotUnderstand as fault:  # as where a path leads into what is no sequence
        raise HTTPException(404, f"no such element can be found: {fault}") from fault
    if place is None:
        raise HTTPException(404, "the instance has no such element")
    if place.length == UNDEFINED_LENGTH:
        return await _fragments(archive, request, instance, place)
    offer = pick(
        takes, [Offer(OCTETS, True, EXPLICIT_LITTLE), Offer(OCTETS, False, EXPLICIT_LITTLE)]
    )
    if offer is None:
        raise not_acceptable(f"{OCTETS}, alone or as the type of multipart/related")
    etag = f'"{instance.digest[:32]}-{"-".join(f"{one:X}" for one in path)}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache",
               "Vary": "Accept"}  # fmt: skip
    if ranges.is_known(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    part = wanted_part(request, place.length, etag)
    if part is None:
        part, status = ranges.Part(0, place.length - 1, place.length), 200
    else:
        headers["Content-Range"], status = part.content_range, 206
    value = _value(archive, instance, (place, start), part)
    if not offer.multipart:
        headers["Content-Length"] = str(len(part))
        return await archive.stream(value, OCTETS, headers, status)
    multipart = Multipart(secrets.token_hex(16))
    location = archive.url(request).removesuffix(PREFIX) + request.url.path
    opening = multipart.opening(OCTETS, len(part), location)
    pieces = _wrapped(multipart, opening, value)
    headers["Content-Length"] = str(len(opening) + len(part) + len(multipart.closing))
    return await archive.stream(pieces, multipart.content_type(OCTETS), headers, status)


def parsed(path: str) -> list[int]:
    """Read the path of an element: its tag, or tags and item numbers in turn.

    Raises CannotUnderstand.
    """
    if not _PATH.fullmatch(path):
        raise CannotUnderstand("bulk data is named by a tag of eight hexadecimal digits")
    parts = path.split("/")
    return [int(one, 10 if at % 2 else 16) for at, one in enumerate(parts)]


async def _fragments(
    archive: Archive, request: Request, instance: Instance, place: Place
) -> Response:
    """Give compressed pixel data as its frames; nothing else is in fragments or a sequence."""
    if place.tag != PIXEL_DATA:
        raise HTTPException(404, "the element is a sequence, or in fragments: it has no one value")
    film = frames.Film(instance, await frames.layout_of(archive, instance))
    every = range(1, film.layout.frames + 1)
    return await frames.answer(archive, request, film, every, accepted(request))


def _find(archive: Archive, instance: Instance, path: list[int]) -> tuple[Place | None, int]:
    syntax = instance.arrival.transfer_syntax_uid
    with archive.checked.open(instance) as stream:
        dataset, start = dataset_of(stream, syntax)
        place = Finder(dataset, start, syntax).find(path)
        if place is not None and place.length != UNDEFINED_LENGTH:
            size = dataset.seek(0, 2) - start
            if place.start + place.length > size:
                raise CannotUnderstand("the element breaks off")
    return place, start


def _value(
    archive: Archive, instance: Instance, found: tuple[Place, int], part: ranges.Part
) -> Iterator[bytes]:
    place, start = found
    syntax = instance.arrival.transfer_syntax_uid
    if syntax not in DEFLATED | {BIG_ENDIAN}:
        yield from archive.checked.extent(instance, start + place.start + part.first, len(part))
        return
    with archive.checked.open(instance) as stream:
        dataset, _ = dataset_of(stream, syntax)
        dataset.seek(start + place.start)
        if place.length > _SWAPPED_BYTES and syntax == BIG_ENDIAN:
            raise CannotUnderstand("the value is in big endian and too long to be turned round")
        value = dataset.read(place.length)
    if syntax == BIG_ENDIAN:
        value = _swapped(value, _UNITS.get(place.vr, 1))
    for at in range(part.first, part.last + 1, PIECE_BYTES):
        yield value[at : min(at + PIECE_BYTES, part.last + 1)]


def _swapped(value: bytes, unit: int) -> bytes:
    whole = len(value) // unit * unit
    swapped = bytearray(value)
    for i in range(unit):
        swapped[i:whole:unit] = value[unit - 1 - i : whole : unit]
    return bytes(swapped)


def _wrapped(multipart: Multipart, opening: bytes, value: Iterator[bytes]) -> Iterator[bytes]:
    yield opening
    yield from value
    yield multipart.closing
