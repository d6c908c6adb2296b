"""One source: look through its place again and again, take what is complete, reject what is bad.

An object counts as taken once its bytes and its fact are on disk, synced. Only then it is moved,
deleted, or remembered. Between the two the process may die: the object is then taken again, and
found to be there. Names of files are told to nobody: they tell who the patient is.
"""

import contextlib
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Protocol
from uuid import uuid4

import structlog

from config.sources import After
from dicom.entity import Arrival, Origin
from dicom.errors import Fault, ServiceFault, SopClassNotSupported, SpoolFull
from dicom.incoming import MEDIA_DIRECTORY
from node.services.store import Receiver
from node.sources.examining import Examined, Examiner
from node.sources.place import (
    REJECTED,
    TAKEN,
    Changed,
    Entry,
    Kind,
    Place,
    Unreadable,
    images_of,
    kind_of,
    sidecar_of,
)
from node.sources.receiving import receive
from storage.ledger.events import NewEvent
from storage.ledger.taken import Dealt, Taken

BATCH: Final = 200
REJECTION: Final = "penumbra.source.rejected"
"""The type of the event about objects that a source gave and that cannot be taken."""
MEDIA: Final = "media-directory"
"""What is remembered of a DICOMDIR, which is left where it is."""
_AHEAD: Final = 16

log = structlog.get_logger()


class TooLarge(ServiceFault):
    """More bytes than [sources.NAME] largest_mb allows."""

    code = "too-large"


class Alone(ServiceFault):
    """An image without its sidecar, or a sidecar without its image."""

    code = "alone"


class Brake(Protocol):
    """Knows the room on the spool's disk: node.watermarks.Watermarks is one."""

    @property
    def pause_s(self) -> float:
        """How long to wait after an object."""

    def trouble(self) -> str:
        """Say why nothing new should come in; "" when it may."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the config says of a source."""

    name: str
    origin: Origin
    ae_title: str
    called_ae: str
    after: After
    sidecar_wait_s: float
    largest_bytes: int
    classes: frozenset[str]
    """The SOP classes that the node stores."""
    scratch: Path
    """A folder of its own in data_dir."""


Tell = Callable[[list[NewEvent]], None]


@dataclass(slots=True)
class Tally:
    """What one look brought."""

    taken: int = 0
    waiting: int = 0
    unreadable: int = 0
    """Of those that wait: files that the node's user may not read."""
    rejected: Counter[str] = field(default_factory=Counter)


class Door:
    """Takes objects from one place. One thread uses it; anybody may read `tally`."""

    def __init__(
        self,
        terms: Terms,
        place: Place,
        receiver: Receiver,
        memory: Taken,
        *,
        brake: Brake,
        tell: Tell,
        examiner: Examiner | None = None,
        is_stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._terms = terms
        self._place = place
        self._receiver = receiver
        self._memory = memory
        self._brake = brake
        self._tell = tell
        self._is_stopping = is_stopping
        self._clock = clock
        self._monotonic = monotonic
        self._examiner = examiner or Examiner()
        self._association = f"{terms.origin}-{uuid4().hex[:12]}"
        """One for each start: what it sent is complete after the quiet time, never before."""
        self._alone: dict[str, float] = {}
        """Images and sidecars that wait for each other, and since when."""
        self._dealt: dict[str, Dealt] = {}
        self.tally = Tally()

    def look(self, keys: Iterable[str] | None = None) -> Tally:
        """Go through the place once, or through some keys of it; returns what that brought.

        Raises StorageFault (SpoolFull among it) and DeliveryFault: then try again later.
        """
        tally = self.tally = Tally()
        still: dict[str, float] = {}
        found = self._place.entries() if keys is None else filter(None, map(self._place.find, keys))
        try:
            while batch := list(islice(found, BATCH)):
                self._batch(batch, still)
                if self._is_stopping():
                    return tally
        finally:
            self._alone = still if keys is None else {**self._alone, **still}
            self._remember()
            self._told(tally)
        return tally

    def close(self) -> None:
        """End the process that looks into files, and what the place holds open."""
        self._examiner.close()
        self._place.close()

    def _batch(self, batch: list[Entry], still: dict[str, float]) -> None:
        batch = [each for each in batch if kind_of(each.key) is not Kind.NOTHING]
        known = self._memory.known(self._terms.name, [self._digest(each.key) for each in batch])
        ready: list[Entry] = []
        for each in batch:
            dealt = known.get(self._digest(each.key))
            if dealt and dealt.mark == each.mark:
                self._again(each, dealt)
            elif each.is_complete:
                ready.append(each)
            else:
                self._place.wait_for(each)
                self.tally.waiting += 1
        for number, entry in enumerate(ready):
            if self._is_stopping():
                return
            if number % _AHEAD == 0:
                self._place.ahead(self._objects(ready[number : number + _AHEAD]))
            self._one(entry, still)
        self._remember()

    def _again(self, entry: Entry, dealt: Dealt) -> None:
        """Finish with what was taken while the config still said that it is to be kept."""
        if self._terms.after != "keep" and not dealt.fault:
            with contextlib.suppress(Changed):
                self._done([entry])

    def _objects(self, entries: list[Entry]) -> list[Entry]:
        largest = self._terms.largest_bytes
        return [
            each
            for each in entries
            if kind_of(each.key) is Kind.OBJECT and 0 < each.size_bytes <= largest
        ]

    def _one(self, entry: Entry, still: dict[str, float]) -> None:
        """Take one object, reject it, or let it wait."""
        if words := self._brake.trouble():
            raise SpoolFull(words)
        dealt = self._dealt.get(self._digest(entry.key))
        if dealt is not None and dealt.mark == entry.mark:
            return  # with its image or sidecar, a moment ago
        try:
            match kind_of(entry.key):
                case Kind.OBJECT:
                    self._object(entry)
                case Kind.IMAGE:
                    self._image(entry, self._place.find(sidecar_of(entry.key)), still)
                case _:
                    self._sidecar(entry, still)
        except Changed as why:
            self.tally.waiting += 1
            self.tally.unreadable += isinstance(why, Unreadable)
        if self._brake.pause_s:
            time.sleep(self._brake.pause_s)

    def _object(self, entry: Entry) -> None:
        try:
            self._require_size(entry)
            with self._place.fetch(entry) as file:
                stored = self._store(file, entry.size_bytes)
        except ServiceFault as fault:
            self._reject([entry], fault)
            return
        if stored:
            self._done([entry])
        else:
            self._note(entry, MEDIA)

    def _image(self, image: Entry, sidecar: Entry | None, still: dict[str, float]) -> None:
        if sidecar is None:
            if self._place.find(image.key) is None:
                return  # moved or deleted with its sidecar, a moment ago
            self._wait(image, "it has no sidecar: put a .json of the same name beside it", still)
            return
        if not sidecar.is_complete:
            self._place.wait_for(sidecar)
            self._place.wait_for(image)
            self.tally.waiting += 1
            return
        self._terms.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        out = self._terms.scratch / "converted.dcm"
        try:
            self._require_size(image)
            with ExitStack() as stack:
                picture = stack.enter_context(self._place.fetch(image))
                words = stack.enter_context(self._place.fetch(sidecar))
                self._examiner.convert(picture, words, out, self._terms.name, image.size_bytes)
                stack.callback(out.unlink, missing_ok=True)
                self._store(out, out.stat().st_size)
        except ServiceFault as fault:
            self._reject([image, sidecar], fault)
            return
        self._done([image, sidecar])

    def _sidecar(self, sidecar: Entry, still: dict[str, float]) -> None:
        if self._place.find(sidecar.key) is None:
            return  # moved or deleted with its image, a moment ago
        for key in images_of(sidecar.key):
            if image := self._place.find(key):
                # Its image may be dealt with already: then this is a sidecar that was mended.
                if image.is_complete or self._is_known(image):
                    self._image(image, sidecar, still)
                return
        self._wait(sidecar, "there is no image beside it", still)

    def _is_known(self, entry: Entry) -> bool:
        digest = self._digest(entry.key)
        dealt = self._memory.known(self._terms.name, [digest]).get(digest)
        return dealt is not None and dealt.mark == entry.mark

    def _wait(self, entry: Entry, words: str, still: dict[str, float]) -> None:
        since = self._alone.get(entry.key, self._monotonic())
        if self._monotonic() - since >= self._terms.sidecar_wait_s:
            self._reject([entry], Alone(words))
            return
        still[entry.key] = since
        self._place.wait_for(entry)
        self.tally.waiting += 1

    def _require_size(self, entry: Entry) -> None:
        if entry.size_bytes > self._terms.largest_bytes:
            megabytes = self._terms.largest_bytes >> 20
            words = f"it is larger than [sources.{self._terms.name}] largest_mb, which is"
            raise TooLarge(f"{words} {megabytes}")

    def _store(self, file: Path, size_bytes: int) -> bool:
        """Put a file into the spool; False for a media directory, which is no object."""
        examined = self._examiner.examine(file, size_bytes)
        incoming = examined.incoming
        if incoming.sop_class_uid == MEDIA_DIRECTORY:
            return False
        if incoming.sop_class_uid not in self._terms.classes:
            raise SopClassNotSupported(
                f"{incoming.sop_class_uid} is no storage class; add it to [node]"
                " private_sop_classes if it shall be taken"
            )
        receive(file, examined, self._arrival(examined), self._receiver)
        self.tally.taken += 1
        return True

    def _arrival(self, examined: Examined) -> Arrival:
        terms, incoming = self._terms, examined.incoming
        return Arrival(
            sop_class_uid=incoming.sop_class_uid,
            sop_instance_uid=incoming.sop_instance_uid,
            transfer_syntax_uid=incoming.transfer_syntax_uid,
            calling_ae=terms.ae_title,
            called_ae=terms.called_ae,
            association=self._association,
            address=f"{terms.origin}:{terms.name}",
            received_at=self._clock(),
            origin=terms.origin,
        )

    def _done(self, entries: list[Entry]) -> None:
        for entry in entries:
            match self._terms.after:
                case "keep":
                    self._note(entry, "")
                case "move":
                    self._place.put_aside(entry, TAKEN)
                case "delete":
                    self._place.remove(entry)

    def _reject(self, entries: list[Entry], fault: Fault) -> None:
        """Put objects out of the way for a person, with the reason; the name goes into no log."""
        number = self._digest(entries[0].key)[:16]
        words = f"{fault.code}: {fault}"
        now = self._place.find(entries[0].key)
        if now is None or now.state != entries[0].state:
            raise Changed  # it was still being written, or its writer took it back
        if self._terms.after == "keep":
            folder = self._terms.scratch / REJECTED
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            names = "\n".join(ascii(each.key) for each in entries)
            (folder / f"{number}.reason.txt").write_text(f"{words}\n{names}\n", "utf-8")
        for entry in entries:
            if self._terms.after == "keep":
                self._note(entry, fault.code)
            else:
                self._place.put_aside(entry, REJECTED, words)
        self.tally.rejected[fault.code] += 1
        log.warning(
            "object rejected", source=self._terms.name, fault=fault.code, reason_file=number
        )

    def _note(self, entry: Entry, fault: str) -> None:
        digest = self._digest(entry.key)
        self._dealt[digest] = Dealt(digest, entry.mark, fault)

    def _remember(self) -> None:
        dealt, self._dealt = self._dealt, {}
        self._memory.note(self._terms.name, list(dealt.values()), self._clock())

    def _told(self, tally: Tally) -> None:
        happened = [
            NewEvent(REJECTION, self._terms.name, {"fault": code, "objects": count})
            for code, count in sorted(tally.rejected.items())
        ]
        if happened:
            self._tell(happened)

    def _digest(self, key: str) -> str:
        whole = f"{self._place.where}\n{key}".encode("utf-8", "surrogateescape")
        return hashlib.sha256(whole).hexdigest()
