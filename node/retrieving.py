"""Do what a C-MOVE or C-GET asks: find, read ahead, send, count, and tell how far it is.

What the two have in common; they differ in the outlet, which is where the objects go. All of it
runs on the requester's own association thread (node/requester.py).
"""

import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import Final, Literal, Protocol

import structlog

from dicom import status
from dicom.context import MOST_CONTEXTS
from dicom.errors import (
    Busy,
    CannotCount,
    CannotPerform,
    Fault,
    Refused,
    StorageFault,
    Unreachable,
)
from dicom.identifier import BadIdentifier
from dicom.retrieve_message import Answer
from dicom.scu import Rejected
from dicom.selection import Selection, Stored
from dicom.store_answer import Meaning, describe, row
from dicom.suboperations import Counts, Outcome, Tally, judge
from dicom.transcode import substitutes
from dicom.wire import AssociationLost
from node.originals import Originals
from node.progress import TELL_S, Hearer, Progress, kept_told
from node.transcoding import Chunk, Transcoding
from node.transport import PeerGone

LOST_IN_A_ROW: Final = 3
BUSY_IN_A_ROW: Final = 5
"""Then the receiver is taken for gone or full, and what is left is not tried."""
_NOTHING: Final = Counts(0, 0, 0, 0)
_GONE: Final = "gone"

Kind = Literal["move", "get"]
log = structlog.get_logger()


class Outlet(Protocol):
    """Where the objects go: an association of the node's own, or the requester's."""

    def choose(self, sop_class_uid: str, syntaxes: Sequence[str]) -> str:
        """Give the first of these transfer syntaxes that is taken. Raises a DeliveryFault."""

    def ask(
        self,
        part10: Sequence[Chunk],
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
    ) -> int:
        """Send one object and give the status it was answered with. Raises a DeliveryFault."""

    def close(self) -> None:
        """Give back what was opened."""


@dataclass(slots=True)
class Retrieved:
    """The account of one retrieval, for the log and the metrics: UIDs are not among it."""

    kind: Kind
    calling_ae: str
    association: str
    model: str
    destination: str = ""
    level: str = ""
    instances: int = 0
    completed: int = 0
    warning: int = 0
    failed: int = 0
    size_bytes: int = 0
    status: int | None = None
    """None where the requester was gone before it could be told."""
    words: str = ""
    began_s: float = 0.0
    """On the monotonic clock."""
    seconds: float = 0.0
    first_s: float | None = None
    """Until the first object was on its way."""

    @property
    def outcome(self) -> str:
        """Give the last status as text."""
        return _GONE if self.status is None else f"0x{self.status:04X}"


class RetrievalWatcher(Protocol):
    """Whoever wants to know of retrievals; called on their threads, so it must be quick."""

    def on_retrieved(self, retrieved: Retrieved) -> None:
        """Note one that is over."""


class Retrieving:
    """Serves retrievals, one on each association that asks. Safe to share between threads."""

    def __init__(
        self,
        originals: Originals,
        transcoding: Transcoding,
        *,
        at_once: int,
        watcher: RetrievalWatcher | None = None,
    ) -> None:
        self._originals = originals
        self._transcoding = transcoding
        self._at_once = at_once
        self._places = threading.BoundedSemaphore(at_once)
        self._watcher = watcher

    def serve(
        self,
        hearer: Hearer,
        account: Retrieved,
        select: Callable[[], Selection],
        outlet: Callable[[Sequence[Stored]], Outlet],
    ) -> None:
        """Do one retrieval and answer it to the end. Raises PeerGone where nobody hears.

        `select` reads the identifier, and `outlet` opens where objects go; what they raise is
        the answer.
        """
        account.began_s = time.monotonic()
        try:
            account.status = _final(hearer, self._perform(hearer, account, select, outlet), account)
        except PeerGone as gone:
            account.words = account.words or str(gone)
            raise
        except Fault as fault:
            account.status, account.words = fault.status, str(fault)
            _refuse(hearer, fault.status, str(fault), fault)
        except Exception as bug:
            account.status, account.words = status.CANNOT_UNDERSTAND, type(bug).__name__
            log.error("retrieval failed", fault=type(bug).__name__, exc_info=bug)
            _refuse(hearer, status.CANNOT_UNDERSTAND, "internal error, see the node's log", None)
        finally:
            account.seconds = time.monotonic() - account.began_s
            self._tell(account)

    def _perform(
        self,
        hearer: Hearer,
        account: Retrieved,
        select: Callable[[], Selection],
        outlet: Callable[[Sequence[Stored]], Outlet],
    ) -> Tally:
        which = select()
        account.level = str(which.level)
        if not self._places.acquire(blocking=False):
            words = f"{self._at_once} retrievals are under way, the most [retrieve] at_once allows"
            raise CannotPerform(words)
        try:
            found = self._find(which)
            account.instances = len(found)
            progress = Progress(hearer, Tally(len(found)))
            if found:
                progress.tell(0)
                self._originals.note_asked(found)
                with closing(outlet(found)) as opened, _told(progress, account.kind):
                    _Sending(self, progress, opened, account).run(found)
            return progress.tally
        finally:
            self._places.release()

    def _find(self, which: Selection) -> list[Stored]:
        try:
            return self._originals.find(which)
        except StorageFault as fault:
            raise CannotCount(f"the index does not answer: {fault.code}") from fault

    def ahead(
        self, found: Sequence[Stored], hearer: Hearer
    ) -> Generator[tuple[Stored, Sequence[Chunk] | StorageFault]]:
        """Give what is to be sent, in order, read ahead, until the hearer wants no more."""
        return self._originals.ahead(
            found, is_wanted=lambda: not (hearer.is_gone or hearer.is_cancelled)
        )

    def transcoded(self, chunks: Sequence[Chunk], one: Stored, syntax: str) -> Sequence[Chunk]:
        """Give an object in another transfer syntax. Raises Refused."""
        arrival = one.instance.arrival
        source = (arrival.sop_class_uid, arrival.sop_instance_uid, arrival.transfer_syntax_uid)
        return self._transcoding.transcode(chunks, source, syntax)

    def _tell(self, account: Retrieved) -> None:
        log.info(
            "retrieval",
            kind=account.kind,
            association=account.association,
            calling_ae=account.calling_ae,
            model=account.model,
            level=account.level,
            destination=account.destination,
            instances=account.instances,
            completed=account.completed,
            warning=account.warning,
            failed=account.failed,
            size_bytes=account.size_bytes,
            status=account.outcome,
            words=account.words,
            first_ms=None if account.first_s is None else round(account.first_s * 1000, 1),
            ms=round(account.seconds * 1000, 1),
        )
        if self._watcher is not None:
            self._watcher.on_retrieved(account)


class _GiveUp(Exception):  # noqa: N818  (no error of ours: the receiver takes nothing more)
    pass


class _Sending:
    """The sub-operations of one retrieval, one after another."""

    def __init__(
        self, retrieving: Retrieving, progress: Progress, outlet: Outlet, account: Retrieved
    ) -> None:
        self._retrieving = retrieving
        self._progress = progress
        self._outlet = outlet
        self._account = account
        self._lost = self._busy = 0

    def run(self, found: Sequence[Stored]) -> None:
        """Send until all is done, or nobody wants more. Raises PeerGone."""
        ordered, place = in_order(found), 0
        try:
            hearer = self._progress.hearer
            with closing(self._retrieving.ahead(ordered, hearer)) as ahead:
                for one, got in ahead:
                    hearer.require()
                    if hearer.is_cancelled:
                        return
                    self._count(one, self._send(one, got))
                    place += 1
                    self._progress.tell(TELL_S)
        except _GiveUp:
            for left in ordered[place:]:
                self._count(left, Outcome.FAILED)
        finally:
            tally, account = self._progress.tally, self._account
            account.completed, account.warning = tally.completed, tally.warning
            account.failed = len(tally.failed_uids)

    def _count(self, one: Stored, outcome: Outcome) -> None:
        self._progress.note(outcome, one.instance.arrival.sop_instance_uid)

    def _send(self, one: Stored, got: Sequence[Chunk] | StorageFault) -> Outcome:
        """Send one object, and judge what came of it. Raises _GiveUp, PeerGone."""
        if isinstance(got, StorageFault):
            return self._failed(str(got))
        try:
            code = self._ask(one, got)
        except AssociationLost as fault:
            self._lost += 1
            return self._failed(str(fault), give_up=self._lost >= LOST_IN_A_ROW)
        except (Rejected, Busy, Unreachable) as fault:  # nobody there for any object
            return self._failed(str(fault), give_up=True)
        except Refused as fault:
            return self._failed(str(fault))
        self._lost = 0
        outcome = judge(code)
        self._busy = self._busy + 1 if row(code).meaning is Meaning.BUSY else 0
        if outcome is Outcome.FAILED:
            words = f"the receiver answered {describe(code)}"
            return self._failed(words, give_up=self._busy >= BUSY_IN_A_ROW)
        self._account.size_bytes += one.instance.location.length
        return outcome

    def _ask(self, one: Stored, chunks: Sequence[Chunk]) -> int:
        arrival = one.instance.arrival
        own = arrival.transfer_syntax_uid
        syntax = self._outlet.choose(arrival.sop_class_uid, (own, *substitutes(own)))
        if syntax != own:
            chunks = self._retrieving.transcoded(chunks, one, syntax)
        if self._account.first_s is None:
            self._account.first_s = time.monotonic() - self._account.began_s
        return self._outlet.ask(
            chunks,
            sop_class_uid=arrival.sop_class_uid,
            sop_instance_uid=arrival.sop_instance_uid,
            transfer_syntax_uid=syntax,
        )

    def _failed(self, words: str, *, give_up: bool = False) -> Outcome:
        self._account.words = self._account.words or words  # the first tells most
        if give_up:
            raise _GiveUp
        return Outcome.FAILED


def in_order(found: Sequence[Stored]) -> Sequence[Stored]:
    """Order what is sent: as it was found, unless it needs more contexts than an association has.

    Then what shares contexts stays together, so that one association after another is enough.
    """
    if len(pairs(found)) <= MOST_CONTEXTS:
        return found
    return sorted(found, key=_pair)


def pairs(found: Sequence[Stored]) -> list[tuple[str, str]]:
    """List the contexts that objects may be sent in: as they are, and as what they can become."""
    own = dict.fromkeys(map(_pair, found))
    every = dict.fromkeys(
        (sop_class, each) for sop_class, syntax in own for each in (syntax, *substitutes(syntax))
    )
    return list(every)


def _pair(one: Stored) -> tuple[str, str]:
    arrival = one.instance.arrival
    return arrival.sop_class_uid, arrival.transfer_syntax_uid


def _told(progress: Progress, kind: Kind) -> AbstractContextManager[None]:
    """Keep the requester of a C-MOVE told; that of a C-GET is busy itself."""
    return kept_told(progress) if kind == "move" else nullcontext()


def _final(hearer: Hearer, tally: Tally, account: Retrieved) -> int:
    """Send the last response; returns its status. Raises PeerGone."""
    cancelled = hearer.is_cancelled and tally.remaining > 0
    code = status.CANCELLED if cancelled else tally.final()
    comment = account.words if tally.failed_uids else ""
    hearer.respond(
        Answer(
            code,
            tally.counts(),
            comment=comment,
            failed_uids=tally.failed_uids,
            with_remaining=cancelled,
        )
    )
    return code


def _refuse(hearer: Hearer, code: int, words: str, fault: Fault | None) -> None:
    tag = fault.tag if isinstance(fault, BadIdentifier) else None
    hearer.respond(Answer(code, _NOTHING, comment=words, offending=tag, with_remaining=False))
