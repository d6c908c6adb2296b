"""C-STORE SCU: objects one after another to one peer, over an association that is kept open."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from dicom import scu, wire
from dicom.context import MOST_CONTEXTS, accepted, proposals
from dicom.encoding import DEFLATED
from dicom.errors import CannotUnderstand, Refused, Unreachable
from dicom.message import NOBODY, Behalf
from dicom.meta import dataset_offset
from dicom.store_answer import judge

Chunk = bytes | memoryview
_LONGEST_META: Final = 1 << 16
_PAD: Final = memoryview(b"\0")
"""Ends a deflated dataset of odd length, which some files lack and no peer takes (PS3.5 A.5)."""


@dataclass(frozen=True, slots=True)
class RemoteAe:
    """Whom to call, as whom, and how long to wait for every answer."""

    host: str
    port: int
    called_ae: str
    calling_ae: str
    timeout_s: float = 30.0
    tls: scu.Encryption | None = None

    def __str__(self) -> str:
        return f"{self.called_ae}@{self.host}:{self.port}"

    def associate(
        self, contexts: Sequence[PresentationContext]
    ) -> contextlib.AbstractContextManager[Association]:
        """Open an association with it for a block; raises what scu.associate does."""
        return scu.associate(
            self.host, self.port, called_ae=self.called_ae, calling_ae=self.calling_ae,
            contexts=contexts, timeout_s=self.timeout_s, tls=self.tls,
        )  # fmt: skip


class NotTaken(Refused):
    """The peer does not take objects of this kind: SOP class and transfer syntax."""


class StoreScu:
    """One association at a time; opened when needed, opened again when more must be proposed.

    Not shared between threads.
    """

    def __init__(self, peer: RemoteAe, behalf: Behalf = NOBODY) -> None:
        """`behalf` names who asked for it, where that was by C-MOVE."""
        self.peer = peer
        self._behalf = behalf
        self._open: contextlib.ExitStack | None = None
        self._wire: wire.Wire
        self._context_ids: dict[tuple[str, str], int | None] = {}
        self._pairs: dict[tuple[str, str], None] = {}
        self._refused: set[tuple[str, str]] = set()
        self._message_id = 0

    def propose(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Name (SOP class, transfer syntax) pairs that will come, to open one association for all.

        Without it, a pair is proposed when its first object comes.
        """
        self._pairs.update(dict.fromkeys(pairs))

    def choose(self, sop_class_uid: str, syntaxes: Sequence[str]) -> str:
        """Give the first of these transfer syntaxes that the peer takes for a SOP class.

        All of them are proposed together. Raises NotTaken, which names the first, where it takes
        none, and what `store` raises where there is no association.
        """
        pairs = [(sop_class_uid, syntax) for syntax in syntaxes]
        self._leave_ended()  # an association that the peer ended says nothing of the next
        if self._open is not None and self._context_ids.get(pairs[0]) is not None:
            return pairs[0][1]  # as for all but the first
        self.propose(pairs)
        for pair in pairs:
            with contextlib.suppress(NotTaken):
                self._context(pair)
                return pair[1]
        raise _not_taken(self.peer, pairs[0])

    def store(
        self,
        part10: Sequence[Chunk],
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
    ) -> int:
        """Send one Part 10 file, its dataset byte for byte; returns the status that says stored.

        Raises Rejected when the peer takes no association, Refused when it does not take this
        object, Busy when it asks for patience, AssociationLost when it ends the association over
        this object, Unreachable when it is gone or silent. The next call opens a new association
        where this one ended.
        """
        code = self.ask(
            part10,
            sop_class_uid=sop_class_uid,
            sop_instance_uid=sop_instance_uid,
            transfer_syntax_uid=transfer_syntax_uid,
        )
        return judge(code, sop_instance_uid)

    def ask(
        self,
        part10: Sequence[Chunk],
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        transfer_syntax_uid: str,
    ) -> int:
        """Send as `store` does, and return the peer's status whatever it means."""
        dataset = sendable(part10, sop_class_uid, sop_instance_uid, transfer_syntax_uid)
        context_id = self._context((sop_class_uid, transfer_syntax_uid))
        self._message_id = self._message_id % 65_535 + 1
        try:
            return self._wire.store(
                context_id,
                dataset,
                message_id=self._message_id,
                sop_class_uid=sop_class_uid,
                sop_instance_uid=sop_instance_uid,
                behalf=self._behalf,
            )
        except BaseException as fault:
            self._abort(fault)
            raise

    def close(self) -> None:
        """Release the association. May be called twice."""
        if self._open is not None:
            stack, self._open = self._open, None
            stack.close()

    def _context(self, pair: tuple[str, str]) -> int:
        """Find the context for a pair, with an association that has it."""
        self._leave_ended()
        if pair not in self._refused and (self._open is None or pair not in self._context_ids):
            self.close()
            self._associate(pair)
        context_id = None if pair in self._refused else self._context_ids[pair]
        if context_id is None:
            raise _not_taken(self.peer, pair)
        return context_id

    def _leave_ended(self) -> None:
        """Drop an association that the peer ended between two objects, as some do after a while."""
        if self._open is not None and not self._wire.is_quiet():
            self._abort(Unreachable("the association ended between two objects"))

    def _associate(self, pair: tuple[str, str]) -> None:
        """Open an association that proposes this pair, and those that came or were named before."""
        self._pairs[pair] = None
        wanted = [one for one in self._pairs if one not in self._refused]
        first = wanted.index(pair)  # those named after it are likely to come next
        wanted = (wanted[first:] + wanted[:first])[:MOST_CONTEXTS]
        peer = self.peer
        with contextlib.ExitStack() as stack:
            try:
                association = stack.enter_context(peer.associate(proposals(wanted)[0]))
            except scu.NothingAccepted:
                self._refused.update(wanted)
                return
            self._wire = stack.enter_context(
                wire.taken(association, max_bytes=scu.MAX_PDU_BYTES, timeout_s=peer.timeout_s)
            )
            contexts = association.accepted_contexts
            self._context_ids = {one: accepted(contexts, *one) for one in wanted}
            self._refused |= {one for one, taken in self._context_ids.items() if taken is None}
            self._open = stack.pop_all()

    def _abort(self, fault: BaseException) -> None:
        assert self._open is not None  # something was being sent on it
        stack, self._open = self._open, None
        self._wire.cut()
        with contextlib.suppress(Unreachable):
            stack.__exit__(type(fault), fault, fault.__traceback__)


def _not_taken(peer: RemoteAe, pair: tuple[str, str]) -> NotTaken:
    sop_class, syntax = pair
    return NotTaken(f"{peer} does not accept SOP class {sop_class} in transfer syntax {syntax}")


def sendable(
    part10: Sequence[Chunk], sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str
) -> list[memoryview]:
    """Give views of the dataset of a C-STORE.

    Raises Refused where it, or one of the UIDs, cannot be sent.
    """
    dataset = encoded_dataset(part10)
    if transfer_syntax_uid in DEFLATED and sum(map(len, dataset)) % 2:
        dataset.append(_PAD)
    if not (sop_instance_uid.isascii() and sop_class_uid.isascii() and sop_class_uid):
        raise Refused("a UID cannot be sent: it is empty or not ASCII")
    return dataset


def encoded_dataset(part10: Sequence[Chunk]) -> list[memoryview]:
    """Give views of the dataset in a Part 10 file, without preamble and file meta.

    Raises Refused when there is no file meta, or no dataset behind it.
    """
    try:
        skip = dataset_offset(_head(part10))
    except CannotUnderstand as fault:
        raise Refused(f"an object cannot be sent: {fault}") from fault
    views: list[memoryview] = []
    for chunk in part10:
        view = memoryview(chunk)[skip:]
        skip = max(0, skip - len(chunk))
        if len(view):
            views.append(view)
    if not views:
        raise Refused("an object cannot be sent: it has no dataset")
    return views


def _head(part10: Sequence[Chunk]) -> Chunk:
    """Give the beginning of a file; without a copy where it lies in one piece."""
    if len(part10) == 1 or (part10 and len(part10[0]) >= _LONGEST_META):
        return part10[0]
    head = b""
    for chunk in part10:
        head += bytes(chunk[: _LONGEST_META - len(head)])
        if len(head) == _LONGEST_META:
            break
    return head
