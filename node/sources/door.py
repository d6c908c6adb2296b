"""One source: look through its place again and again, take what is complete, reject what is bad.

An object counts as taken once its bytes and its fact are on disk, synced. Only then it is moved,
deleted, or remembered. Between the two the process may die: the object is then taken again, and
found to be there. Names of files are told to nobody: they tell who the patient is.
"""

import contextlib
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from itertools import islice
from typing import Final
from uuid import uuid4

import structlog

from dicom.entity import Arrival
from dicom.errors import (
    DeliveryFault,
    Fault,
    Refused,
    ServiceFault,
    SopClassNotSupported,
    SpoolFull,
    StorageFault,
)
from dicom.incoming import MEDIA_DIRECTORY, Incoming
from node.services.store import Receiver
from node.sources.examining import Examiner
from node.sources.memory import Memory
from node.sources.place import (
    REJECTED,
    TAKEN,
    Changed,
    Entry,
    Kind,
    Local,
    Place,
    Unreadable,
    images_of,
    kind_of,
    sidecar_of,
)
from node.sources.receiving import receive
from node.sources.terms import Brake, Tally, Tell, Terms
from storage.ledger.events import NewEvent
from storage.ledger.taken import Taken

BATCH: Final = 200
REJECTION: Final = "penumbra.source.rejected"
"""The type of the event about objects that a source gave and that cannot be taken."""
MEDIA: Final = "media-directory"
"""What is remembered of a DICOMDIR, which is left where it is."""
_AHEAD: Final = 16
_AHEAD_BYTES: Final = 32 << 20
"""Larger objects are fetched one at a time: what is fetched ahead takes room that objects need."""

log = structlog.get_logger()


class TooLarge(ServiceFault):
    """More bytes than [sources.NAME] largest_mb allows."""

    code = "too-large"


class Alone(ServiceFault):
    """An image without its sidecar, or a sidecar without its image."""

    code = "alone"


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
        where = f"{terms.machine}{place.where}"
        self._memory = Memory(memory, terms.name, where, clock)
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
        self._converted = terms.scratch / "converted.dcm"
        self._converted.unlink(missing_ok=True)  # of a process that was killed
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
            self._memory.write()
            self._told(tally)
        if keys is None:
            tally.unreadable += self._place.unseen()
            self._memory.prune()
        return tally

    def close(self) -> None:
        """End the process that looks into files, and what the place holds open."""
        self._examiner.close()
        self._place.close()

    def _batch(self, batch: list[Entry], still: dict[str, float]) -> None:
        batch = [each for each in batch if kind_of(each.key) is not Kind.NOTHING]
        known = self._memory.known(batch)
        ready: list[Entry] = []
        for each in batch:
            if dealt := known.get(each.key):
                if not dealt.fault:
                    self._again(each)
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
        self._memory.write()

    def _again(self, entry: Entry) -> None:
        """Put away what was kept when it was taken, or could not be put away then."""
        if self._terms.after != "keep":
            with contextlib.suppress(Changed):
                self._done([entry])

    def _objects(self, entries: list[Entry]) -> list[Entry]:
        largest = min(self._terms.largest_bytes, _AHEAD_BYTES)
        return [
            each
            for each in entries
            if kind_of(each.key) is Kind.OBJECT and 0 < each.size_bytes <= largest
        ]

    def _one(self, entry: Entry, still: dict[str, float]) -> None:
        """Take one object, reject it, or let it wait."""
        if words := self._brake.trouble():
            raise SpoolFull(words)
        if not self._memory.is_new(entry):
            return  # dealt with together with its image or sidecar, a moment ago
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
        except Refused as fault:  # this one: an archived object, a key that is not ours to use
            self.tally.waiting += 1
            self.tally.trouble = f"{fault.code}: {fault}"
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
            self._memory.note(entry, MEDIA)

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
        # One of a pair that was taken belongs to another: half of it may be of another patient.
        if self._is_taken(sidecar):
            self._wait(image, "its sidecar was taken with another image: write it anew", still)
            return
        if self._is_taken(image):
            words = "its image was taken with another sidecar: write the image anew too"
            self._wait(sidecar, words, still)
            return
        try:
            self._require_size(image)
            self._convert(image, sidecar)
        except ServiceFault as fault:
            self._reject([image, sidecar], fault)
            return
        self._done([image, sidecar])

    def _convert(self, image: Entry, sidecar: Entry) -> None:
        out = self._converted
        out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ExitStack() as stack:
            picture = stack.enter_context(self._place.fetch(image))
            words = stack.enter_context(self._place.fetch(sidecar))
            stack.callback(out.unlink, missing_ok=True)
            self._examiner.convert(picture, words, out, self._terms.name, image.size_bytes)
            made = Local.of(out)
            self._store(made, out.stat().st_size)

    def _sidecar(self, sidecar: Entry, still: dict[str, float]) -> None:
        if self._place.find(sidecar.key) is None:
            return  # moved or deleted with its image, a moment ago
        for key in images_of(sidecar.key):
            if image := self._place.find(key):
                # Its image may be rejected already: then this is a sidecar that was mended.
                if image.is_complete or self._memory.known([image]):
                    self._image(image, sidecar, still)
                return
        self._wait(sidecar, "there is no image beside it", still)

    def _is_taken(self, entry: Entry) -> bool:
        dealt = self._memory.known([entry]).get(entry.key)
        return dealt is not None and not dealt.fault

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

    def _store(self, file: Local, size_bytes: int) -> bool:
        """Put a file into the spool; False for a media directory, which is no object."""
        incoming = self._examiner.examine(file, size_bytes)
        if incoming.sop_class_uid == MEDIA_DIRECTORY:
            return False
        if incoming.sop_class_uid not in self._terms.classes:
            raise SopClassNotSupported(
                f"{incoming.sop_class_uid} is no storage class; add it to [node]"
                " private_sop_classes if it shall be taken"
            )
        receive(file, incoming, self._arrival(incoming), self._receiver)
        self.tally.taken += 1
        return True

    def _arrival(self, incoming: Incoming) -> Arrival:
        terms = self._terms
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
        """Move or delete what is on disk now, or remember it."""
        for entry in entries:
            if self._terms.after == "keep":
                self._memory.note(entry, "")
                continue
            try:
                if self._terms.after == "move":
                    self._place.put_aside(entry, TAKEN)
                else:
                    self._place.remove(entry)
            except (StorageFault, DeliveryFault) as fault:
                # Remembered, or it would be taken at each look, and nothing behind it ever.
                self._memory.note(entry, "")
                self.tally.trouble = f"what was taken stays where it is: {fault.code}: {fault}"

    def _reject(self, entries: list[Entry], fault: Fault) -> None:
        """Put objects out of the way for a person, with the reason; the name goes into no log."""
        number = self._memory.digest(entries[0].key)[:16]
        words = f"{fault.code}: {fault}"
        now = self._place.find(entries[0].key)
        if now is None or now.state != entries[0].state:
            raise Changed  # it was still being written, or its writer took it back
        if stay := self._staying(entries, words):
            names = "\n".join(ascii(each.key) for each in stay)
            self._write_reason(f"{number}.reason.txt", f"{words}\n{names}\n")
            for entry in stay:
                self._memory.note(entry, fault.code)
        self.tally.rejected[fault.code] += 1
        log.warning(
            "object rejected", source=self._terms.name, fault=fault.code, reason_file=number
        )

    def _write_reason(self, name: str, text: str) -> None:
        folder = self._terms.scratch / REJECTED
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        except OSError as fault:
            raise StorageFault(f"{folder} cannot be written: {fault.strerror}") from fault

    def _staying(self, entries: list[Entry], words: str) -> list[Entry]:
        """Move what is rejected away, where that is wanted and can be; returns what stays."""
        if self._terms.after == "keep":
            return entries
        stay: list[Entry] = []
        for entry in entries:
            try:
                self._place.put_aside(entry, REJECTED, words)
            except (StorageFault, DeliveryFault) as fault:
                stay.append(entry)
                self.tally.trouble = f"what was rejected stays where it is: {fault.code}: {fault}"
        return stay

    def _told(self, tally: Tally) -> None:
        happened = [
            NewEvent(REJECTION, self._terms.name, {"fault": code, "objects": count})
            for code, count in sorted(tally.rejected.items())
        ]
        if happened:
            self._tell(happened)
