"""Take objects from the parts of one request into the spool, while they come (PS3.18 10.5).

As at the DICOM door an object is stored byte for byte behind a file meta of our own, and counts
as stored once it is on disk, synced (P1). What came whole stays, whatever becomes of the rest.
"""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, Protocol

from dicom import identity, incoming, part10, uid
from dicom.entity import Arrival, Origin
from dicom.errors import (
    CannotUnderstand,
    DoesNotMatch,
    Fault,
    InvalidSopInstance,
    ServiceFault,
    SopClassNotSupported,
    StorageFault,
)
from dicom.meta import FileMeta
from dicom.walk import Cut
from node.services.store import Brake, Receiver, Recording
from node.web.dicomweb.outcome import Outcome, Result, failed

HEAD_BYTES: Final = incoming.META_BYTES
"""So many bytes are waited for before an object is looked at; most say who they are in fewer."""
AT_ONCE: Final = 4
"""Objects of one request that are synced at a time: a disk waits for several as for one."""
MOST_HEAD_BYTES: Final = 4 << 20
"""An object that has not said by then who it is is refused."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms the objects of one request are taken."""

    ae_title: str
    """What rules see as the caller."""
    called_ae: str
    address: str
    association: str
    """The node's own id of the request."""
    classes: frozenset[str]
    """The SOP classes that are stored here."""
    study_instance_uid: str = ""
    """The Study that the URL names; "" where it names none."""
    clock: Callable[[], float] = time.time


class PartIntake(Protocol):
    """Takes the content of one part."""

    def write(self, chunk: memoryview) -> None:
        """Take its next bytes."""

    def finish(self) -> None:
        """Take note that it is whole."""

    def abandon(self, fault: Fault | None = None) -> None:
        """Take note that its rest will never come, for whatever reason."""


class Commits:
    """Has the objects of one request synced while the next ones come. One thread at a time asks."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._under_way: deque[Future[None]] = deque()

    def add(self, work: Callable[[], None]) -> None:
        """Have one more synced, once fewer than AT_ONCE are."""
        while len(self._under_way) >= AT_ONCE:
            self._under_way.popleft().result()
        self._under_way.append(self._pool.submit(work))

    def wait(self) -> None:
        """Return when all are on disk, or have failed."""
        while self._under_way:
            self._under_way.popleft().result()


class ObjectIntake:
    """One Part 10 file on its way. Never raises a Fault: what goes wrong is in the outcome."""

    def __init__(
        self,
        terms: Terms,
        receiver: Receiver,
        brake: Brake,
        outcome: Outcome,
        commits: Commits,
    ) -> None:
        self._commits = commits
        self._terms = terms
        self._receiver = receiver
        self._brake = brake
        self._outcome = outcome
        self._head: bytearray | None = bytearray()
        """What has come, until it is known what it is."""
        self._wanted = HEAD_BYTES
        self._recording: Recording | None = None
        self._known = Result()
        self._size_bytes = 0
        self._is_over = False

    def write(self, chunk: memoryview) -> None:
        """Take the next bytes."""
        if self._is_over:
            return
        try:
            if self._recording is not None:
                self._recording.write(chunk)
                self._size_bytes += len(chunk)
                return
            assert self._head is not None
            self._head += chunk
            if len(self._head) >= self._wanted:
                self._begin(is_whole=False)
        except (ServiceFault, StorageFault) as fault:
            self._fail(fault)

    def finish(self) -> None:
        """Have it committed; that it is stored, or why not, is in the outcome after that."""
        if self._is_over:
            return
        try:
            if self._recording is None:
                self._begin(is_whole=True)
        except (ServiceFault, StorageFault) as fault:
            self._fail(fault)
            return
        assert self._recording is not None
        self._is_over = True
        work = partial(self._commit, self._recording, self._outcome.reserve())
        self._commits.add(work)

    def _commit(self, recording: Recording, place: int) -> None:
        """Sync it, in a thread of its own."""
        one = self._known
        try:
            recording.commit()
        except (ServiceFault, StorageFault) as fault:
            recording.abandon()
            self._outcome.fill(place, failed(fault, one))
            return
        self._outcome.fill(place, replace(one, size_bytes=self._size_bytes))
        if pause_s := self._brake.pause_s:
            time.sleep(pause_s)

    def abandon(self, fault: Fault | None = None) -> None:
        """Forget it, and say so."""
        if not self._is_over:
            self._fail(fault or CannotUnderstand("the object breaks off"))

    def _fail(self, fault: Fault) -> None:
        self._is_over, self._head = True, None
        if self._recording is not None:
            self._recording.abandon()
        self._outcome.add(failed(fault, self._known))

    def _begin(self, *, is_whole: bool) -> None:
        """Look at what has come: what it is, and whether it is taken."""
        head = bytes(self._head or b"")
        meta = incoming.begin(head[:HEAD_BYTES])
        if not uid.is_valid(meta.transfer_syntax_uid):
            raise CannotUnderstand("the file meta's transfer syntax is no UID")
        is_enough = is_whole or len(head) >= MOST_HEAD_BYTES
        dataset = memoryview(head)[meta.dataset_offset :]
        try:
            found = identity.read(bytes(dataset), meta.transfer_syntax_uid, is_whole=is_enough)
        except Cut:
            if is_enough:
                raise
            self._wanted = min(4 * len(head), MOST_HEAD_BYTES)
            return
        self._judge(found, meta)
        self._recording = recording = self._receiver.begin(self._arrival(meta))
        recording.write(part10.file_meta(self._arrival(meta)))
        recording.write(dataset)
        self._head, self._size_bytes = None, len(dataset)

    def _judge(self, found: identity.Identity, meta: FileMeta) -> None:
        # The dataset has the word: tools that change UIDs often leave the file meta as it was.
        sop_class = found.sop_class_uid or meta.sop_class_uid
        self._known = Result(
            _usable(sop_class),
            _usable(found.sop_instance_uid),
            _usable(found.study_instance_uid),
            _usable(found.series_instance_uid),
        )
        if sop_class not in self._terms.classes:
            raise SopClassNotSupported("SOP Class UID is no storage class")
        if not self._known.sop_instance_uid:
            raise InvalidSopInstance("SOP Instance UID is missing or no UID")
        if not (self._known.study_instance_uid and self._known.series_instance_uid):
            raise CannotUnderstand("Study or Series Instance UID is missing or no UID")
        if self._terms.study_instance_uid not in {"", found.study_instance_uid}:
            raise DoesNotMatch("Study Instance UID differs between URL and dataset")

    def _arrival(self, meta: FileMeta) -> Arrival:
        terms = self._terms
        return Arrival(
            self._known.sop_class_uid, self._known.sop_instance_uid, meta.transfer_syntax_uid,
            terms.ae_title, terms.called_ae, terms.association, terms.address, terms.clock(),
            Origin.WEB,
        )  # fmt: skip


def _usable(text: str) -> str:
    return text if uid.is_storable(text) else ""
