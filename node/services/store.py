"""C-STORE: judge a request, record the object as received, and never say Success too early.

PS3.4 Annex B, PS3.7 9.1.1. The lane brings a command and its dataset in fragments; what the
peer hears is the status of the Fault raised here, or Success once commit has returned (P1).
"""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from pynetdicom.presentation import PresentationContext

from config.model import Settings
from dicom import part10, uid
from dicom.entity import Arrival
from dicom.errors import (
    CannotUnderstand,
    DoesNotMatch,
    InvalidSopInstance,
    NotAuthorised,
    SopClassNotSupported,
)
from dicom.message import Command
from dicom.peek import HEAD_BYTES, SopUids, names, sop_uids
from node.admission import AssociationFacts, may


class Recording(Protocol):
    """One object on its way to disk."""

    def write(self, chunk: bytes | memoryview) -> None:
        """Append bytes, which may change after the call. Raises SpoolFull."""

    def room(self, wanted: int) -> memoryview:
        """Give a place for the next bytes, at most as many as wanted. Raises SpoolFull."""

    def advance(self, count: int) -> None:
        """Count bytes that now stand at the beginning of the last `room`."""

    def commit(self) -> object:
        """Return once the object is on disk, synced. Raises SpoolFull."""

    def abandon(self) -> None:
        """Forget the object; may be called more than once, and after a fault."""


class Receiver(Protocol):
    """Where objects go: the spool."""

    def begin(self, arrival: Arrival) -> Recording:
        """Make room for one object. Raises SpoolFull."""


class Brake(Protocol):
    """Slows senders down while room is short: node.watermarks.Watermarks is one."""

    @property
    def pause_s(self) -> float:
        """How long an answer waits at this moment."""


class NoBrake:
    """Never slows anybody down."""

    pause_s = 0.0


class Storing:
    """One C-STORE in progress."""

    def __init__(self, recording: Recording, arrival: Arrival, brake: Brake) -> None:
        self._recording = recording
        self._arrival = arrival
        self._brake = brake
        self._head = bytearray()
        self._room = memoryview(b"")
        self._recording.write(part10.file_meta(arrival))

    def write(self, fragment: memoryview) -> None:
        """Append dataset bytes, unread and unchanged. Raises SpoolFull."""
        missing = HEAD_BYTES - len(self._head)
        if missing > 0:
            self._head += fragment[:missing]
        self._recording.write(fragment)

    def room(self, wanted: int) -> memoryview:
        """Give a place for the next dataset bytes, which are then not copied. Raises SpoolFull."""
        self._room = self._recording.room(wanted)
        return self._room

    def advance(self, count: int) -> None:
        """Count dataset bytes that now stand at the beginning of the last `room`."""
        missing = HEAD_BYTES - len(self._head)
        if missing > 0:
            self._head += self._room[: min(missing, count)]
        self._recording.advance(count)

    def finish(self) -> None:
        """Commit the object. Raises DoesNotMatch or SpoolFull, and then nothing is stored.

        While room on the disk is short, returns a moment later: nothing else of the node waits.
        """
        if not self._head:
            raise CannotUnderstand("the dataset is empty")
        self._check_head()
        self._recording.commit()
        if pause_s := self._brake.pause_s:
            time.sleep(pause_s)

    def abandon(self) -> None:
        """Forget the object."""
        self._recording.abandon()

    def _check_head(self) -> None:
        arrival = self._arrival
        expected = SopUids(arrival.sop_class_uid, arrival.sop_instance_uid)
        head = bytes(self._head)
        if names(head, arrival.transfer_syntax_uid, expected):
            return
        found = sop_uids(head, arrival.transfer_syntax_uid)
        for name, in_command, in_dataset in (
            ("SOP Class UID", arrival.sop_class_uid, found.sop_class_uid),
            ("SOP Instance UID", arrival.sop_instance_uid, found.sop_instance_uid),
        ):
            if in_dataset and in_dataset != in_command:
                raise DoesNotMatch(f"{name} differs between command and dataset")


class StoreService:
    """Takes C-STORE requests on behalf of a Receiver."""

    def __init__(
        self,
        receiver: Receiver,
        settings: Settings,
        contexts: Sequence[PresentationContext],
        clock: Callable[[], float],
        brake: Brake | None = None,
    ) -> None:
        self._receiver = receiver
        self._settings = settings
        self._contexts = tuple(contexts)
        self._classes = frozenset(str(one.abstract_syntax) for one in contexts)
        self._clock = clock
        self._brake = brake or NoBrake()

    def contexts(self) -> Sequence[PresentationContext]:
        """List the storage contexts to accept."""
        return self._contexts

    def begin(
        self, association: AssociationFacts, command: Command, context: PresentationContext
    ) -> Storing:
        """Begin to store one object that comes in an accepted presentation context.

        Raises NotAuthorised, SopClassNotSupported, InvalidSopInstance, CannotUnderstand (no
        dataset) or SpoolFull; the dataset is then read and dropped.
        """
        if not may(self._settings, association.calling_ae, "store"):
            raise NotAuthorised(f'[peers.{association.calling_ae}] lacks may = ["store"]')
        if command.sop_class_uid != context.abstract_syntax:
            raise SopClassNotSupported("SOP Class UID is not the presentation context's")
        if command.sop_class_uid not in self._classes:
            raise SopClassNotSupported("SOP Class UID is no storage class")
        if not uid.is_storable(command.sop_instance_uid):
            raise InvalidSopInstance("SOP Instance UID is empty or no UID")
        if not command.has_dataset:
            raise CannotUnderstand("the request has no dataset")
        arrival = Arrival(
            sop_class_uid=command.sop_class_uid,
            sop_instance_uid=command.sop_instance_uid,
            transfer_syntax_uid=str(context.transfer_syntax[0]),
            calling_ae=association.calling_ae,
            called_ae=association.called_ae,
            association=association.id,
            address=association.address,
            received_at=self._clock(),
        )
        recording = self._receiver.begin(arrival)
        try:
            return Storing(recording, arrival, self._brake)
        except BaseException:
            recording.abandon()
            raise
