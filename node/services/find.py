"""C-FIND: answer the three information models of queries out of the index (PS3.4 C.4.1)."""

import threading
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final, Protocol

import structlog
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission, Settings
from dicom import options, query, status
from dicom.attributes import CATALOGUE, UNIQUE_KEYS, Level
from dicom.encoding import BIG_ENDIAN
from dicom.errors import OutOfResources, StorageFault
from dicom.find_answer import Identifiers
from dicom.query import NEARLINE, ONLINE, Query, Root
from dicom.uid import PATIENT_ROOT_FIND, PATIENT_STUDY_ONLY_FIND, STUDY_ROOT_FIND
from node.questioner import Questioner
from node.services.answering import admitted, require, serve
from node.services.questioning import Question
from node.services.table import Handler

MODELS: Final[Mapping[str, Root]] = {
    PATIENT_ROOT_FIND: Root.PATIENT,
    STUDY_ROOT_FIND: Root.STUDY,
    PATIENT_STUDY_ONLY_FIND: Root.PATIENT_STUDY,
}
"""The information models by their SOP Class UID (PS3.4 C.6)."""
TRANSFER_SYNTAXES: Final = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    BIG_ENDIAN,
)
Released = Callable[[Level, Sequence[str]], Collection[str]]
_FIRST_PAGE: Final = 16
"""So few matches are waited for before the first is told."""
_PAGE: Final = 200
"""Matches told in one call to the kernel; C-CANCEL is heard between two pages."""
_SEAT_S: Final = 0.02
"""A seat is waited for in such steps, so that a C-CANCEL is heard meanwhile."""

log = structlog.get_logger()


class Page(Protocol):
    """A question that is being answered: storage.index.finding.Finding is one."""

    def page(self, size: int) -> list[tuple[str, ...]]:
        """Give the next matches, at most `size`; none where all were given."""

    def interrupt(self) -> None:
        """Have a page that is being read end with an error."""

    def let_go(self) -> None:
        """End for good: hold nothing, and give no more pages."""


class Searchable(Protocol):
    """Where entities are found; the index."""

    def finding(self, query: Query, limit: int) -> AbstractContextManager[Page]:
        """Begin to answer a query: texts of its returned attributes, page by page."""


@dataclass(slots=True)
class _Account:
    """What the log says of one query: names of keys, never their values."""

    caller: str
    root: Root
    query: Query | None = None
    matches: int = 0
    status: int = status.SUCCESS
    words: str = ""

    def close(self, seconds: float) -> None:
        asked = self.query
        log.info(
            "query",
            calling_ae=self.caller,
            root=str(self.root),
            level=str(asked.level) if asked else "",
            keys=list(asked.keywords) if asked else [],
            matches=self.matches,
            status=f"0x{self.status:04X}",
            words=self.words,
            ms=round(seconds * 1000, 1),
        )


class FindService:
    """Answers C-FIND. One object serves every association."""

    permission: Permission | None = "find"
    question_models: Collection[str] = MODELS

    def __init__(
        self, settings: Settings, index: Searchable, released: Released = lambda _level, _uids: ()
    ) -> None:
        """`released` names those of some entities of which bytes have left the spool."""
        self._settings = settings
        self._released = released
        self._index = index
        self._max_matches = settings.query.max_matches
        self._timeout_s = settings.query.timeout_s
        self._seats = threading.BoundedSemaphore(settings.query.at_once)

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept the information models in the transfer syntaxes that compress no pixels."""
        return [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in MODELS]

    def handlers(self) -> Sequence[Handler]:
        """Bind nothing: questions come by `serve_question`."""
        return []

    def serve_question(self, question: Question) -> None:
        """Send a pending response per match, and the last response. Raises PeerGone."""
        account = _Account(question.caller, MODELS[question.sop_class_uid])
        serve(question, account, lambda: self._answer(question, account))

    def _answer(self, question: Question, account: _Account) -> bytes:
        """Send the matches; returns what is left to be sent, the last response included."""
        keys = admitted(self._settings, question, "find")
        asked = query.parse(keys, account.root, options.agreed(question.extended))
        account.query = asked
        code = status.PENDING_WITH_UNSUPPORTED_KEYS if asked.unsupported else status.PENDING
        own_title = self._settings.node.ae_title
        writer = Identifiers(asked, own_title, question.transfer_syntax_uid)
        asker = question.questioner
        pending = asker.responses.pending
        unsent = b""
        with closing(self._pages(_with_uid(asked), asker)) as pages:
            for page in pages:
                if unsent:
                    asker.send(unsent)
                left = self._max_matches - account.matches
                told = [
                    pending(code, writer.identifier(row, where))
                    for row, where in self._available(asked, page[:left])
                ]
                unsent = b"".join(told)
                account.matches += len(told)
                if len(page) > left:
                    asker.send(unsent)
                    raise OutOfResources(f"more than {self._max_matches} matches; ask for less")
        return unsent + asker.responses.last(status.SUCCESS)

    def _available(
        self, asked: Query, page: Sequence[tuple[str, ...]]
    ) -> Iterator[tuple[tuple[str, ...], str]]:
        """Give each match as it was asked for, and whether it can be had at once."""
        if not asked.with_availability or asked.level is Level.PATIENT:
            return zip(page, repeat(""), strict=False)
        gone = self._released(asked.level, [row[-1] for row in page])
        return ((row[:-1], NEARLINE if row[-1] in gone else ONLINE) for row in page)

    def _pages(
        self, asked: Query, asker: Questioner
    ) -> Generator[list[tuple[str, ...]], None, None]:
        """Search, and yield the matches page by page.

        A seat is held while the index works, not while somebody reads; a state of the index is
        held all the while. Raises Cancelled, PeerGone, OutOfResources after the time-out,
        StorageFault.
        """
        is_late = threading.Event()
        try:
            with (
                self._index.finding(asked, self._max_matches + 1) as finding,
                _ended_after(self._timeout_s, finding.let_go, is_late),
            ):
                size = _FIRST_PAGE
                while page := self._page(finding, size, asker):
                    yield page
                    if len(page) < size:
                        return
                    size = _PAGE
        except StorageFault:
            require(asker)  # it was interrupted
            if is_late.is_set():
                words = f"the answer took longer than {self._timeout_s:g} s; ask for less"
                raise OutOfResources(words) from None
            raise

    def _page(self, finding: Page, size: int, asker: Questioner) -> list[tuple[str, ...]]:
        require(asker)
        while not self._seats.acquire(timeout=_SEAT_S):
            require(asker)
        try:
            with asker.interrupting(finding.interrupt):
                page = finding.page(size)
        finally:
            self._seats.release()
        require(asker)
        return page


def _with_uid(asked: Query) -> Query:
    """Have the unique key told at the end of each row, where availability is asked for."""
    if not asked.with_availability or asked.level is Level.PATIENT:
        return asked
    unique = CATALOGUE[UNIQUE_KEYS[asked.level]]
    return replace(asked, returning=(*asked.returning, unique))


@contextmanager
def _ended_after(
    seconds: float, end: Callable[[], object], is_late: threading.Event
) -> Iterator[None]:
    """Call something when the block takes longer, and note that it does."""

    def act() -> None:
        is_late.set()
        end()

    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
