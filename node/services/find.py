"""C-FIND: answer Patient Root and Study Root queries out of the index (PS3.4 C.4.1)."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.presentation import PresentationContext, build_context

from config.model import Permission, Settings
from dicom import query, status
from dicom.errors import CannotUnderstand, Fault, NotAuthorised, OutOfResources
from dicom.query import BadIdentifier, Query, Root
from dicom.uid import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from node.admission import may
from node.services.table import Handler

Response = tuple[int | Dataset, Dataset | None]
"""A status, by itself or with its error comment, and the identifier of a pending one."""

MODELS: Final[Mapping[str, Root]] = {
    PATIENT_ROOT_FIND: Root.PATIENT,
    STUDY_ROOT_FIND: Root.STUDY,
}
"""The information models by their SOP Class UID (PS3.4 C.6)."""
MAX_MATCHES: Final = 100_000
_COMMENT_LENGTH: Final = 64  # ErrorComment is LO (PS3.7 E.1)

log = structlog.get_logger()


class Searchable(Protocol):
    """Where entities are found; the index."""

    def find(self, query: Query, limit: int) -> Iterator[Mapping[str, str]]:
        """Find the entities that match, as DICOM text by keyword."""


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
            keys=[key.attribute.keyword for key in asked.matching] if asked else [],
            matches=self.matches,
            status=f"0x{self.status:04X}",
            words=self.words,
            ms=round(seconds * 1000, 1),
        )


class FindService:
    """Answers C-FIND. One object serves every association."""

    permission: Permission | None = "find"

    def __init__(
        self, settings: Settings, index: Searchable, max_matches: int = MAX_MATCHES
    ) -> None:
        self._settings = settings
        self._index = index
        self._max_matches = max_matches

    def contexts(self) -> Sequence[PresentationContext]:
        """Accept both information models in the uncompressed transfer syntaxes."""
        return [build_context(uid) for uid in MODELS]

    def handlers(self) -> Sequence[Handler]:
        """Bind C-FIND."""
        return [(evt.EVT_C_FIND, self._on_find)]

    def _on_find(self, event: evt.Event) -> Iterator[Response]:
        caller = str(event.assoc.requestor.ae_title).strip()
        root = MODELS[str(event.request.AffectedSOPClassUID)]
        yield from self.handle(lambda: _identifier(event), root, caller, lambda: event.is_cancelled)

    def handle(
        self,
        identifier: Callable[[], Dataset],
        root: Root,
        caller: str,
        is_cancelled: Callable[[], bool],
    ) -> Iterator[Response]:
        """Yield a pending response per match; then, unless all went well, the last status.

        0xFF01 says that keys were ignored, 0xFE00 that the requester cancelled. A Fault is
        answered by its status with a comment, and an offending element where there is one.
        """
        account = _Account(caller, root)
        started = time.monotonic()
        try:
            yield from self._matches(identifier, account, is_cancelled)
        except Fault as fault:
            account.status, account.words = fault.status, str(fault)
            yield _refusal(fault), None
        except Exception as fault:  # noqa: BLE001  (a bug's own words could hold a patient's data)
            account.status, account.words = status.PROCESSING_FAILURE, type(fault).__name__
            yield status.PROCESSING_FAILURE, None
        finally:
            account.close(time.monotonic() - started)

    def _matches(
        self, identifier: Callable[[], Dataset], account: _Account, is_cancelled: Callable[[], bool]
    ) -> Iterator[Response]:
        if not may(self._settings, account.caller, "find"):
            raise NotAuthorised(f'[peers.{account.caller}] lacks may = ["find"]')
        asked = account.query = query.parse(identifier(), account.root)
        pending = status.PENDING_WITH_UNSUPPORTED_KEYS if asked.unsupported else status.PENDING
        own_title = self._settings.node.ae_title
        for match in self._index.find(asked, self._max_matches + 1):
            if is_cancelled():
                account.status = status.CANCELLED
                yield status.CANCELLED, None
                return
            if account.matches == self._max_matches:
                raise OutOfResources(f"more than {self._max_matches} matches; ask for less")
            account.matches += 1
            yield pending, query.answer(asked, match, own_title)


def _identifier(event: evt.Event) -> Dataset:
    try:
        found: Dataset = event.identifier
    except Exception as fault:  # pydicom raises many kinds on hostile bytes
        raise CannotUnderstand("the identifier cannot be parsed") from fault
    return found


def _refusal(fault: Fault) -> Dataset:
    answer = Dataset()
    answer.Status = fault.status
    answer.ErrorComment = str(fault).encode("ascii", "replace").decode()[:_COMMENT_LENGTH]
    if isinstance(fault, BadIdentifier):
        answer.OffendingElement = [fault.tag]
    return answer
