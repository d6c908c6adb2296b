"""The body of a STOW-RS request: which parts it has, and who takes each (PS3.18 10.5.1.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Final, Protocol

from starlette.exceptions import HTTPException

from dicom.errors import CannotUnderstand, Fault
from node.services.store import Brake, Receiver
from node.web.dicomweb.intake import Commits, ObjectIntake, PartIntake, Terms
from node.web.dicomweb.json_body import Gathered
from node.web.dicomweb.outcome import Outcome, failed
from node.web.dicomweb.parts import BadMultipart, Begin, Data, PartReader

DICOM: Final = "application/dicom"
MOST_PARTS: Final = 100_000
"""Of one body: what became of each is remembered until the answer."""
_MULTIPART: Final = "multipart/related"
JSON: Final = "application/dicom+json"
_WORDS: Final = (
    'send application/dicom, or multipart/related; type="application/dicom"; boundary=...;'
    " or application/dicom+json in its place"
)


class Disk(Brake, Protocol):
    """What is known of the room on the disk: node.watermarks.Watermarks is one."""

    def trouble(self) -> str:
        """Say why nothing should be sent here now; "" when it may be."""


@dataclass(frozen=True, slots=True)
class Reader:
    """How a body is read."""

    root: str
    """The media type of its only or first part."""
    parts: PartReader | None
    """None where the body is one object."""


def reader_of(content_type: Message) -> Reader:
    """Say how a body of this type is read. Raises HTTPException (415), BadMultipart."""
    kind = content_type.get_content_type()
    if kind in {DICOM, JSON}:
        return Reader(kind, None)
    if kind != _MULTIPART:
        raise HTTPException(415, _WORDS)
    root = str(content_type.get_param("type", DICOM)).lower()
    if root not in {DICOM, JSON}:
        raise HTTPException(415, _WORDS)
    boundary = content_type.get_param("boundary")
    if not isinstance(boundary, str):
        raise BadMultipart("the Content-Type names no boundary")
    return Reader(root, PartReader(boundary))


class _Ignored:
    """Takes a part of another type, and says that it was not stored."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def write(self, chunk: memoryview) -> None:
        """Drop it."""

    def finish(self) -> None:
        """Say so."""
        self._outcome.add(failed(CannotUnderstand("a part is not application/dicom")))

    def abandon(self, fault: Fault | None = None) -> None:
        """Say so."""
        del fault
        self.finish()


class Body:
    """One body. One thread at a time uses it."""

    def __init__(
        self,
        reader: Reader,
        terms: Terms,
        receiver: Receiver,
        disk: Disk,
        outcome: Outcome,
        *,
        scratch: Path,
        commits: Commits,
    ) -> None:
        """`scratch` is where bulk data waits for the end of the body."""
        self._commits = commits
        self._reader = reader
        self._terms = terms
        self._receiver = receiver
        self._disk = disk
        self._outcome = outcome
        self._gathered = Gathered(scratch, outcome, disk.trouble) if reader.root == JSON else None
        self._parts = 0
        self._part: PartIntake | None = None
        if reader.parts is None:
            self._part = self._intake({"content-type": reader.root})

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes; once the body has proven broken they are dropped."""
        if self._is_broken():
            return
        if self._reader.parts is None:
            assert self._part is not None
            self._part.write(memoryview(chunk))
            return
        try:
            for event in self._reader.parts.feed(chunk):
                if self._is_broken():  # by what the part before held
                    break
                if isinstance(event, Begin):
                    self._part = self._intake(event.headers)
                elif isinstance(event, Data):
                    assert self._part is not None
                    self._part.write(event.chunk)
                elif self._part is not None:
                    part, self._part = self._part, None
                    part.finish()
        except BadMultipart as fault:
            self._outcome.broken = str(fault)
            self.abandon()

    def close(self) -> None:
        """Take note that the whole body has come."""
        if self._outcome.broken:
            return
        if self._reader.parts is None:
            assert self._part is not None
            part, self._part = self._part, None
            part.finish()
        else:
            try:
                self._reader.parts.close()
            except BadMultipart as fault:
                self._outcome.broken = str(fault)
                self.abandon()
        if self._gathered is not None and not self._outcome.broken:
            self._gathered.store(self._object)
        self._commits.wait()

    def abandon(self) -> None:
        """Forget what is not whole; nothing where there is nothing. May be called again."""
        if self._part is not None:
            part, self._part = self._part, None
            part.abandon()
        if self._gathered is not None:
            self._gathered.close()
        self._commits.wait()

    def _is_broken(self) -> bool:
        return bool(self._outcome.broken)

    def _object(self) -> PartIntake:
        return ObjectIntake(self._terms, self._receiver, self._disk, self._outcome, self._commits)

    def _intake(self, headers: Mapping[str, str]) -> PartIntake:
        self._parts += 1
        if self._parts > MOST_PARTS:
            raise BadMultipart(f"the body has more than {MOST_PARTS} parts")
        if self._gathered is not None:
            return self._gathered.part(headers, is_first=self._parts == 1)
        kind = Message()
        kind["Content-Type"] = headers.get("content-type", DICOM)
        return self._object() if kind.get_content_type() == DICOM else _Ignored(self._outcome)
