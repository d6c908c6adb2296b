"""Give pictures of images, in a browser's formats (WADO-RS rendered and thumbnail resources)."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom import frames
from dicom.entity import Instance
from dicom.errors import CannotUnderstand, DoesNotMatch
from dicom.frames import Layout
from dicom.selection import Stored
from node.web.dicomweb.archive import Archive, not_acceptable, path_of
from node.web.dicomweb.frames import layout_of, listed
from node.web.dicomweb.multipart import Multipart
from node.web.dicomweb.service import accepted
from node.web.dicomweb.viewing import media_type, wish
from node.web.dicomweb.wish import FORMATS, Wish

_TRIES = 8
"""So many Instances of a Series or Study are looked at for one with an image."""
_NO_IMAGE = "it holds nothing that can be shown: no image, or one that nothing here decodes"


async def retrieve(archive: Archive, request: Request, *, thumbnail: bool = False) -> Response:
    """Answer for a rendered resource of any level: 200; 400, 404, 406.

    One picture for an Instance or a frame; for a Series or Study the picture of an Instance in
    its middle, or in multipart/related a picture of each.
    """
    takes = accepted(request)
    alone, parts = media_type(takes), media_type(takes, multipart=True)
    chosen = alone or parts
    if chosen is None:
        raise not_acceptable(", ".join(FORMATS))
    asked = wish(request.query_params, chosen, thumbnail=thumbnail)
    found = await archive.find(request)
    numbers = listed(request.path_params["frames"]) if "frames" in request.path_params else []
    if len(numbers) > 1 or (alone is None and not thumbnail):
        if parts is None:
            raise not_acceptable("multipart/related for several frames")
        return await _several(archive, request, found, numbers, asked)
    picture = await archive.turns.develop(_first_of, archive, found, numbers, (asked, thumbnail))
    return Response(picture, 200, {"Content-Type": asked.media_type, "Vary": "Accept",
                                   "Cache-Control": "private, max-age=60"})  # fmt: skip


def shown(archive: Archive, instance: Instance, layout: Layout, number: int, asked: Wish) -> bytes:
    """Make the picture of one frame. Raises StorageFault, DoesNotMatch, CannotUnderstand."""
    with archive.checked.open(instance) as stream:
        frame = frames.frame(stream, layout, number)
        head = frames.head(stream, layout)
    task = {"do": "render", "syntax": layout.transfer_syntax_uid, "number": number,
            "native": not layout.is_encapsulated, "wish": asdict(asked)}  # fmt: skip
    return archive.darkroom.ask(task, head, frame)


def _first_of(
    archive: Archive,
    found: Sequence[Stored],
    numbers: Sequence[int],
    how: tuple[Wish, bool],
) -> bytes:
    """Show the middle one, or the next to it that has an image."""
    asked, is_thumbnail = how
    middle = len(found) // 2
    order = sorted(range(len(found)), key=lambda at: abs(at - middle))
    words = _NO_IMAGE
    for at in order[:_TRIES]:
        instance = found[at].instance
        try:
            layout = archive.checked.layout(instance)
            if numbers and numbers[0] > layout.frames:
                frames_there = f"there is no frame {numbers[0]}: the instance has {layout.frames}"
                raise HTTPException(404, frames_there)
            number = numbers[0] if numbers else layout.frames // 2 + 1 if is_thumbnail else 1
            return shown(archive, instance, layout, number, asked)
        except (CannotUnderstand, DoesNotMatch) as fault:
            words = str(fault) if len(found) == 1 else _NO_IMAGE
    raise HTTPException(406, words)


async def _several(
    archive: Archive,
    request: Request,
    found: Sequence[Stored],
    numbers: Sequence[int],
    asked: Wish,
) -> Response:
    url = archive.url(request)
    multipart = Multipart(secrets.token_hex(16))
    pictures: Iterator[tuple[str, bytes]]
    if numbers:
        layout = await layout_of(archive, found[0].instance)
        if max(numbers) > layout.frames:
            words = f"there is no frame {max(numbers)}: the instance has {layout.frames}"
            raise HTTPException(404, words)
        make = partial(shown, archive, found[0].instance, layout)
        base = url + path_of(found[0])
        pictures = ((f"{base}/frames/{one}", make(one, asked)) for one in numbers)
    else:
        pictures = _each(archive, url, found, asked)
    pieces = _parts(multipart, asked.media_type, pictures)
    try:
        first = await archive.turns.develop(next, pieces, None)
    except CannotUnderstand as fault:
        raise HTTPException(406, str(fault)) from fault
    if first is None:
        raise HTTPException(406, _NO_IMAGE)
    whole = _chain(first, pieces, multipart.closing)
    content_type = multipart.content_type(asked.media_type)
    return await archive.stream(whole, content_type, {"Vary": "Accept"}, 200, pixels=True)


def _each(
    archive: Archive, url: str, found: Sequence[Stored], asked: Wish
) -> Iterator[tuple[str, bytes]]:
    for one in found:
        try:
            layout = archive.checked.layout(one.instance)
            picture = shown(archive, one.instance, layout, 1, asked)
        except (CannotUnderstand, DoesNotMatch):
            continue  # no image: its part is left out, as PS3.18 10.4.1.1.3 has it
        yield url + path_of(one), picture


def _parts(
    multipart: Multipart, content_type: str, pictures: Iterator[tuple[str, bytes]]
) -> Iterator[bytes]:
    for location, picture in pictures:
        yield multipart.opening(content_type, len(picture), location) + picture


def _chain(first: bytes, pieces: Iterator[bytes], closing: bytes) -> Iterator[bytes]:
    yield first
    yield from pieces
    yield closing
