"""What every retrieval needs: the Instances that a path names, their bytes, and threads."""

import time
from collections.abc import (
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from typing import Final, Protocol

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from dicom.errors import CannotUnderstand, Fault
from dicom.native import Piece
from dicom.selection import Selection, Stored
from dicom.uid import is_storable
from node.originals import Originals
from node.transcoding import Transcoding
from node.web.dicomweb.checked import PIECE_BYTES, Checked, Recent
from node.web.dicomweb.darkroom import Darkroom
from node.web.dicomweb.service import service_url
from node.web.dicomweb.turns import Turns
from node.web.straight import Long

NOTED_S: Final = 60.0
"""That somebody wants a Series is noted once in so long, however many frames he asks for."""
_SMALL_BYTES: Final = 64 << 10
AGENT: Final = "penumbra"
"""Who warns, in a Warning header (RFC 7234 5.5)."""
_KEYS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")

log = structlog.get_logger()


class Heads(Protocol):
    """Where heads of objects are found as DICOM JSON; the index."""

    def heads(self, which: Selection) -> Iterator[tuple[Stored, Mapping[str, object] | None]]:
        """Give Instances of a selection with their heads, None where it is not there yet."""


@dataclass(frozen=True, slots=True)
class Archive:
    """The node as those who retrieve see it."""

    originals: Originals
    heads: Heads | None
    turns: Turns
    checked: Checked
    darkroom: Darkroom
    transcoding: Transcoding
    behind_proxy: bool = False
    clock: Callable[[], float] = time.monotonic
    _asked: Recent[tuple[str, str], float] = field(default_factory=lambda: Recent(10_000))

    async def find(self, request: Request) -> list[Stored]:
        """List what the request's path names, and note that it is wanted.

        Raises HTTPException, 404 where there is nothing, and StorageFault.
        """
        return await self.select(selection(request.path_params))

    async def one(self, request: Request) -> Stored:
        """Give the one Instance that the path names. Raises as `find`."""
        return (await self.find(request))[0]

    async def select(self, which: Selection) -> list[Stored]:
        """List what a selection names. Raises as `find`."""
        found = await self.turns.run(self._found, which)
        if not found:
            raise HTTPException(404, "the node has nothing under these UIDs")
        return found

    async def stream(
        self,
        pieces: Iterator[Piece],
        content_type: str,
        headers: Mapping[str, str],
        status: int,
        *,
        pixels: bool = False,
    ) -> Response:
        """Answer with a body that is made while it goes out, of `pixels` by the darkroom.

        The first pieces are made before, so that what fails at once is answered by its fault.
        """
        batches = batched(pieces)
        run = self.turns.develop if pixels else self.turns.run
        first = await run(next, batches, None)

        async def body() -> AsyncIterator[Piece]:
            for piece in first or ():
                yield piece
            if first:
                async for batch in self.turns.ahead(batches, pixels=pixels):
                    for piece in batch:
                        yield piece

        told = {"Content-Type": content_type, **headers}
        ordinary = StreamingResponse(body(), status, told)
        if first and not pixels and int(headers.get("Content-Length", 0)) > PIECE_BYTES:
            return Long(ordinary, _all(first, batches), self.turns.write)
        return ordinary

    def url(self, request: Request) -> str:
        """Give the URL of the service as the client called it."""
        return service_url(request, behind_proxy=self.behind_proxy)

    def _found(self, which: Selection) -> list[Stored]:
        found = self.originals.find(which)
        self._note(found)
        return found

    def _note(self, found: Sequence[Stored]) -> None:
        now = self.clock()
        fresh: dict[tuple[str, str], Stored] = {}
        for one in found:
            key = one.study_instance_uid, one.series_instance_uid
            since = self._asked.get(key)
            if since is None or now - since > NOTED_S:
                fresh.setdefault(key, one)
        if not fresh:
            return
        try:
            self.originals.note_asked(fresh.values())
        except Fault as fault:  # on a full disk the ledger takes no note; the answer is no worse
            log.warning("retrieval not noted", fault=fault.code)
        for key in fresh:
            self._asked.put(key, now)


def _all(first: Sequence[Piece], others: Iterator[Sequence[Piece]]) -> Generator[Sequence[Piece]]:
    yield first
    yield from others


def batched(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Join what is small, and give what is large as it is, a megabyte or two at once.

    Each batch costs a turn of a thread, and each piece of it one of the event loop.
    """
    batch: list[Piece] = []
    small = bytearray()
    size = 0
    for piece in pieces:
        size += len(piece)
        if len(piece) < _SMALL_BYTES:
            small += piece
        else:
            batch += [bytes(small), piece] if small else [piece]
            small.clear()
        if size >= PIECE_BYTES:
            batch += [bytes(small)] if small else []
            small.clear()
            yield batch
            batch, size = [], 0
    if small:
        batch.append(bytes(small))
    if batch:
        yield batch


def selection(named: Mapping[str, str]) -> Selection:
    """Read the UIDs of a path or a query. Raises CannotUnderstand where one is none."""
    for key in _KEYS:
        if key in named and not is_storable(named[key]):
            raise CannotUnderstand(f"the {key} is no UID")
    study, series, instance = ((named[key],) if key in named else () for key in _KEYS)
    return Selection(
        study_instance_uids=study, series_instance_uids=series, sop_instance_uids=instance
    )


def not_acceptable(there_is: str) -> HTTPException:
    """Say that nothing fits what the client takes, and what there would be."""
    return HTTPException(406, f"nothing here fits the Accept header; there is {there_is}")


def path_of(stored: Stored) -> str:
    """Give the path of an Instance below the service's URL."""
    return (
        f"/studies/{stored.study_instance_uid}/series/{stored.series_instance_uid}"
        f"/instances/{stored.instance.arrival.sop_instance_uid}"
    )


def warning(words: str) -> dict[str, str]:
    """Make a Warning header; words are ours, in ASCII."""
    return {"Warning": f'299 {AGENT} "{words}"'}
