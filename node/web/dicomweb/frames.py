"""Give frames of an Instance: as they are compressed, or decoded (WADO-RS, PS3.18 10.4.1.1.6)."""

import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom import frames
from dicom.entity import Instance
from dicom.errors import CannotUnderstand, DoesNotMatch
from dicom.frames import Layout
from dicom.transcode import EXPLICIT_LITTLE, substitutes
from node.web.dicomweb.archive import Archive, not_acceptable
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.negotiate import COMPRESSED, OCTETS, MediaRange, Offer, pick
from node.web.dicomweb.service import PREFIX, accepted
from node.web.dicomweb.wado import wanted_part

MOST_FRAMES: Final = 10_000
"""In one list."""
_LIST: Final = re.compile(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*")


@dataclass(frozen=True, slots=True)
class Film:
    """One Instance whose frames are read."""

    instance: Instance
    layout: Layout

    @property
    def is_compressed(self) -> bool:
        """Whether a codec is needed to see them."""
        return self.layout.is_encapsulated

    def is_decoded_for(self, transfer_syntax_uid: str) -> bool:
        """Whether frames in a transfer syntax need the codec."""
        return self.is_compressed and transfer_syntax_uid != self.layout.transfer_syntax_uid


async def retrieve(archive: Archive, request: Request) -> Response:
    """Answer for a list of frames: 200; 400, 404, 406; 206 and 416 for a part of one."""
    numbers = listed(request.path_params["frames"])
    takes = accepted(request)
    film = await open_film(archive, request)
    if missing := [number for number in numbers if number > film.layout.frames]:
        words = f"there is no frame {missing[0]}: the instance has {film.layout.frames}"
        raise HTTPException(404, words)
    return await answer(archive, request, film, numbers, takes)


async def open_film(archive: Archive, request: Request) -> Film:
    """Find the Instance that the path names, and its frames. Raises HTTPException, Fault."""
    instance = (await archive.one(request)).instance
    return Film(instance, await layout_of(archive, instance, without=404))


async def layout_of(archive: Archive, instance: Instance, *, without: int = 406) -> Layout:
    """Find an Instance's frames.

    Raises HTTPException, 406 where nobody can tell them apart, `without` where there are none.
    """
    try:
        return await archive.turns.run(archive.checked.layout, instance)
    except CannotUnderstand as fault:
        raise HTTPException(406, f"its frames cannot be told apart: {fault}") from fault
    except DoesNotMatch as fault:
        raise HTTPException(without, str(fault)) from fault


def listed(text: str) -> list[int]:
    """Read a list of frame numbers. Raises CannotUnderstand."""
    if not _LIST.fullmatch(text):
        raise CannotUnderstand("frames are numbers from 1, split by commas")
    numbers = [int(one) for one in text.split(",")]
    if len(numbers) > MOST_FRAMES:
        raise CannotUnderstand(f"the list has more than {MOST_FRAMES} frames")
    return numbers


async def answer(
    archive: Archive,
    request: Request,
    film: Film,
    numbers: Sequence[int],
    takes: Sequence[MediaRange],
) -> Response:
    """Give frames in the best liked way that works. Raises HTTPException, 406."""
    ways = offers(film, is_one=len(numbers) == 1)
    words = ""
    while (offer := pick(takes, ways)) is not None:
        try:
            if offer.multipart:
                return await _several(archive, request, film, numbers, offer)
            return await _one(archive, request, film, numbers[0], offer)
        except CannotUnderstand as fault:  # its codec refuses it; as it is stored it may be taken
            words = str(fault)
            ways = [one for one in ways if one.syntax != offer.syntax]
    raise HTTPException(406, words) if words else not_acceptable(_told(film))


def offers(film: Film, *, is_one: bool) -> list[Offer]:
    """List the ways in which frames can be given, the default of PS3.18 8.7.3.3.2 first."""
    stored = film.layout.transfer_syntax_uid
    is_native = not film.is_compressed
    is_decoded = is_native or EXPLICIT_LITTLE in substitutes(stored)
    ways = [(OCTETS, EXPLICIT_LITTLE, False)] if is_decoded else []
    if not is_native:
        ways.append((OCTETS, stored, is_decoded or stored in COMPRESSED))
    if not is_native and stored in COMPRESSED:
        ways.append((COMPRESSED[stored], stored, False))
    shapes = (True, False) if is_one else (True,)
    found = []
    for media_type, syntax, only_if_named in ways:
        found += [Offer(media_type, shape, syntax, only_if_named) for shape in shapes]
    # Who takes any transfer syntax is given what needs no work.
    return sorted(found, key=lambda one: not one.only_if_named)


def read(archive: Archive, film: Film, number: int, transfer_syntax_uid: str) -> bytes:
    """Read one frame, decoded where it is not asked for as it is stored.

    Raises StorageFault, CannotUnderstand.
    """
    with archive.checked.open(film.instance) as stream:
        found = frames.frame(stream, film.layout, number)
        if not film.is_decoded_for(transfer_syntax_uid):
            return found
        head = frames.head(stream, film.layout)
    task = {"do": "decode", "syntax": film.layout.transfer_syntax_uid}
    return archive.darkroom.ask(task, head, found)


async def _one(
    archive: Archive, request: Request, film: Film, number: int, offer: Offer
) -> Response:
    run = archive.turns.develop if film.is_decoded_for(offer.syntax) else archive.turns.run
    body = await run(read, archive, film, number, offer.syntax)
    etag = f'"{film.instance.digest[:32]}-{number}-{offer.syntax}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": "private, no-cache",
               "Vary": "Accept", "Content-Type": _content_type(offer)}  # fmt: skip
    part = wanted_part(request, len(body), etag)
    if part is None:
        return Response(body, 200, headers)
    headers["Content-Range"] = part.content_range
    return Response(body[part.first : part.last + 1], 206, headers)


async def _several(
    archive: Archive, request: Request, film: Film, numbers: Sequence[int], offer: Offer
) -> Response:
    multipart = Multipart(secrets.token_hex(16))
    bodies = ((number, read(archive, film, number, offer.syntax)) for number in numbers)
    where = request.url.path.partition("/frames")[0].partition("/bulkdata")[0]
    base = archive.url(request).removesuffix(PREFIX) + where
    pieces = _parts(multipart, _content_type(offer), base, bodies)
    content_type = multipart.content_type(offer.media_type)
    pixels = film.is_decoded_for(offer.syntax)
    return await archive.stream(pieces, content_type, {"Vary": "Accept"}, 200, pixels=pixels)


def _content_type(offer: Offer) -> str:
    return f"{offer.media_type}; transfer-syntax={offer.syntax}"


def _parts(
    multipart: Multipart, content_type: str, url: str, bodies: Iterator[tuple[int, bytes]]
) -> Iterator[bytes]:
    for number, body in bodies:
        yield multipart.opening(content_type, len(body), f"{url}/frames/{number}")
        yield body
    yield multipart.closing


def _told(film: Film) -> str:
    ways = dict.fromkeys(
        f"{one.media_type}; transfer-syntax={one.syntax}" for one in offers(film, is_one=True)
    )
    return ", ".join(ways) + ", alone for one frame or as the type of multipart/related"
