"""Modality Worklist: tell scanners what is scheduled for them (PS3.4 Annex K)."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission, Settings
from dicom import status, worklist_query
from dicom.errors import OutOfResources
from dicom.worklist import MODALITY_WORKLIST, STEPS, Entry, Item
from dicom.worklist_query import WorklistQuery
from node.questioner import Questioner
from node.services.answering import admitted, require, serve
from node.services.questioning import Question
from node.services.table import Handler
from storage.ledger.worklist import Narrowing

MAX_MATCHES: Final = 20_000
"""Of one query: no scanner has so much to do, and a list that long is of no use on it."""
_TOGETHER: Final = 25
"""Matches told in one call to the kernel, but for the first; C-CANCEL is heard in between."""

log = structlog.get_logger()


class Entries(Protocol):
    """Where entries are kept: the ledger."""

    def candidates(self, which: Narrowing) -> Iterator[Entry]:
        """Yield the entries that may be meant."""


@dataclass(slots=True)
class _Account:
    """What the log says of one query: names of keys, never their values."""

    caller: str
    keys: Sequence[str] = ()
    matches: int = 0
    status: int = status.SUCCESS
    words: str = ""

    def close(self, seconds: float) -> None:
        log.info(
            "worklist query",
            calling_ae=self.caller,
            keys=list(self.keys),
            matches=self.matches,
            status=f"0x{self.status:04X}",
            words=self.words,
            ms=round(seconds * 1000, 1),
        )


class WorklistService:
    """Answers C-FIND in the worklist's model. One object serves every association."""

    permission: Permission | None = "worklist"
    question_models: Collection[str] = frozenset({MODALITY_WORKLIST})

    def __init__(
        self, settings: Settings, entries: Entries, max_matches: int = MAX_MATCHES
    ) -> None:
        self._settings = settings
        self._entries = entries
        self._max_matches = max_matches

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept the SOP Class in both uncompressed little endian syntaxes."""
        return [build_context(MODALITY_WORKLIST, list(worklist_query.TRANSFER_SYNTAXES))]

    def handlers(self) -> Sequence[Handler]:
        """Bind nothing: questions come by `serve_question`."""
        return []

    def serve_question(self, question: Question) -> None:
        """Send a pending response per match, and the last response. Raises PeerGone."""
        account = _Account(question.caller)
        serve(question, account, lambda: self._answer(question, account))

    def _answer(self, question: Question, account: _Account) -> bytes:
        """Send the matches; returns what is left to be sent, the last response included."""
        keys = admitted(self._settings, question, "worklist")
        asked = worklist_query.parse(keys)
        account.keys = asked.names()
        code = status.PENDING_WITH_UNSUPPORTED_KEYS if asked.unsupported else status.PENDING
        asker = question.questioner
        unsent: list[bytes] = []
        for told in self._matches(asked, asker):
            if account.matches == self._max_matches:
                asker.send(b"".join(unsent))
                raise OutOfResources(f"more than {self._max_matches} matches; ask for less")
            account.matches += 1
            whole = worklist_query.answer(asked, told, question.transfer_syntax_uid)
            unsent.append(asker.responses.pending(code, whole))
            if account.matches == 1 or len(unsent) == _TOGETHER:
                asker.send(b"".join(unsent))
                unsent.clear()
        return b"".join(unsent) + asker.responses.last(status.SUCCESS)

    def _matches(self, asked: WorklistQuery, asker: Questioner) -> Iterator[Item]:
        """Yield what scanners are told of each entry that is meant. Raises Cancelled, PeerGone."""
        for number, entry in enumerate(self._entries.candidates(narrowing(asked))):
            if number % _TOGETHER == 0:
                require(asker)
            told = entry.told()
            if worklist_query.matches(asked, told):
                yield told


def narrowing(asked: WorklistQuery) -> Narrowing:
    """Say what the database can decide of a query: what is plain text or a day in an entry."""
    first, last = asked.days()
    return Narrowing(
        first,
        last,
        asked.single("PatientID"),
        asked.single("AccessionNumber"),
        asked.single("StudyInstanceUID"),
        asked.single(STEPS, "Modality"),
        asked.single(STEPS, "ScheduledStationAETitle"),
    )
