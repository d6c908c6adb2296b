"""Answer WADO-URI: one object or a picture of it, named in a query (PS3.18 Chapter 9)."""

import re
from collections.abc import Mapping
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from dicom.errors import CannotUnderstand, DoesNotMatch
from dicom.selection import Stored
from node.web.dicomweb.archive import Archive, not_acceptable, selection, warning
from node.web.dicomweb.frames import layout_of
from node.web.dicomweb.negotiate import DICOM, MediaRange, parse, syntax_for
from node.web.dicomweb.rendered import shown
from node.web.dicomweb.viewing import media_type, uri_wish
from node.web.dicomweb.wado import Planned, single
from node.web.dicomweb.wish import FORMATS

_UIDS: Final = {
    "studyUID": "StudyInstanceUID",
    "seriesUID": "SeriesInstanceUID",
    "objectUID": "SOPInstanceUID",
}
_REFUSED: Final = {
    "anonymize": "the node gives no object anonymised here: name a profile in a rule instead",
    "presentationUID": "presentation states are not applied",
}
_FRAME: Final = re.compile(r"[1-9][0-9]{0,8}")


async def retrieve(archive: Archive, request: Request) -> Response:
    """Answer one request: 200; 400 for what is wrong or not served, 404, 406."""
    query = request.query_params
    if query.get("requestType") != "WADO":
        raise CannotUnderstand("requestType is WADO")
    for name, words in _REFUSED.items():
        if query.get(name):
            raise HTTPException(400, f"{name}: {words}")
    if missing := [name for name in _UIDS if not query.get(name)]:
        raise CannotUnderstand(f"{', '.join(missing)} must be there")
    stored = (await archive.select(selection({_UIDS[name]: query[name] for name in _UIDS})))[0]
    takes = await _takes(archive, query, stored)
    if any(one.takes(DICOM, multipart=False) for one in takes):
        return await _object(archive, request, stored)
    format_ = media_type(takes)
    if format_ is None:
        raise not_acceptable(", ".join([DICOM, *FORMATS]))
    return await _picture(archive, query, stored, format_)


async def _takes(
    archive: Archive, query: Mapping[str, str], stored: Stored
) -> tuple[MediaRange, ...]:
    """Read `contentType`; without it, one frame is a JPEG and all else DICOM (PS3.18 9.1.2)."""
    if asked := query.get("contentType", ""):
        return parse(asked.replace(" xml", "+xml"))
    try:
        layout = await archive.turns.run(archive.checked.layout, stored.instance)
    except (CannotUnderstand, DoesNotMatch):
        return (MediaRange(DICOM),)
    return (MediaRange("image/jpeg" if layout.frames == 1 or "frameNumber" in query else DICOM),)


async def _object(archive: Archive, request: Request, stored: Stored) -> Response:
    asked = request.query_params.get("transferSyntax", "")
    if asked and not re.fullmatch(r"[0-9.]{1,64}", asked):
        raise CannotUnderstand("transferSyntax is a UID")
    syntax = syntax_for(stored.instance.arrival.transfer_syntax_uid, ((asked,), ("*",)))
    assert syntax is not None  # as it is stored, where nothing else can be made
    answer = await single(archive, request, Planned(stored, syntax))
    if asked and syntax != asked:
        answer.headers.update(warning("given in another transfer syntax than was asked for"))
    return answer


async def _picture(
    archive: Archive, query: Mapping[str, str], stored: Stored, format_: str
) -> Response:
    text = query.get("frameNumber", "1")
    if not _FRAME.fullmatch(text):
        raise CannotUnderstand("frameNumber is a number from 1")
    layout = await layout_of(archive, stored.instance)
    if int(text) > layout.frames:
        words = f"there is no frame {text}: the instance has {layout.frames}"
        raise HTTPException(404, words)
    asked = uri_wish(query, format_, (layout.rows, layout.columns))
    try:
        picture = await archive.turns.develop(
            shown, archive, stored.instance, layout, int(text), asked
        )
    except CannotUnderstand as fault:
        raise HTTPException(406, str(fault)) from fault
    return Response(picture, 200, {"Content-Type": format_, "Cache-Control": "private, max-age=60"})
