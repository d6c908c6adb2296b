"""Keep the latest associations in memory, those turned away too, for `penumbra explain`.

Nothing of it survives a restart; the log does. AE titles and addresses are no patient data, yet
whoever can reach the port chooses them: they are cut, and what cannot be printed is not kept.
"""

import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from node.admission import AssociationFacts, AssociationRequest, Reject
from node.advice import advise, is_bad
from node.conversation import Ending
from node.negotiation import Negotiated, RefusedContext

KEPT: Final = 1000
"""So many that were accepted, so many that did not go well, so many that came to no TLS: probes
of a port shall not push out what a scanner did."""
CONTEXTS_KEPT: Final = 16
LONGEST_TITLE: Final = 16
LONGEST_WORDS: Final = 500
OPEN: Final = "open"
ACCEPTED: Final = "accepted"
REJECTED: Final = "rejected"
NO_TLS: Final = "no TLS"

_SEE_TLS: Final = 'the log line "connection rejected" says what mends it; compare [tls]'
_NOTHING: Final = Negotiated(0, ())


@dataclass(frozen=True, slots=True)
class Entry:
    """One association, or one attempt at it."""

    id: str
    at: float
    """When it began; seconds since the epoch, UTC."""
    calling_ae: str
    called_ae: str
    address: str
    verdict: str
    """ACCEPTED, REJECTED or NO_TLS."""
    tls_name: str | None = None
    cause: str = ""
    """Of a rejection: the label that counts it in the metrics."""
    outcome: str = ""
    """Of an accepted one: OPEN, or how it ended."""
    words: str = ""
    fix: str = ""
    accepted_contexts: int = 0
    refused_contexts: int = 0
    refused: tuple[RefusedContext, ...] = ()
    """The first of the refused contexts."""
    statuses: Mapping[str, int] = field(default_factory=dict)
    """C-STORE requests answered, counted by status: 0x0000."""
    size_bytes: int = 0
    seconds: float = 0.0
    is_bad: bool = False
    """Whether it was turned away, or did not go well."""


class History:
    """The latest associations. Watches them (AssociationWatcher, DoorWatcher), on any thread."""

    def __init__(
        self, clock: Callable[[], float], new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    ) -> None:
        self.tell: Callable[[Entry], object] = lambda _entry: None
        """Who else keeps what is over; called on an association's thread, so it must be quick."""
        self._clock = clock
        self._new_id = new_id
        self._open: dict[str, Entry] = {}
        self._negotiated: dict[str, Negotiated] = {}
        self._accepted: deque[Entry] = deque(maxlen=KEPT)
        self._bad: deque[Entry] = deque(maxlen=KEPT)
        self._without_tls: deque[Entry] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def latest(self, limit: int, *, caller: str = "", only_bad: bool = False) -> list[Entry]:
        """Give the latest entries, oldest first; of one calling AE title where one is named."""
        found = [
            one
            for one in self._all()
            if (not caller or one.calling_ae == caller) and (one.is_bad or not only_bad)
        ]
        return found[max(0, len(found) - limit) :]

    def find(self, prefix: str) -> list[Entry]:
        """Give the entries whose id begins so."""
        return [one for one in self._all() if one.id.startswith(prefix)]

    def recall(
        self, *, limit: int, caller: str, only_bad: bool, prefix: str
    ) -> list[dict[str, object]]:
        """Give plain facts: of the latest, or of those whose id begins with a prefix."""
        if prefix:
            return [asdict(one) for one in self.find(prefix)]
        return [asdict(one) for one in self.latest(limit, caller=caller, only_bad=only_bad)]

    def on_opened(self, association: AssociationFacts) -> None:
        """Note an accepted association."""
        entry = Entry(
            association.id,
            association.opened_at,
            _title(association.calling_ae),
            _title(association.called_ae),
            association.address,
            ACCEPTED,
            _cut(association.tls_name),
            outcome=OPEN,
        )
        with self._lock:
            self._open[association.id] = entry

    def on_negotiated(self, association: AssociationFacts, negotiated: Negotiated) -> None:
        """Note its contexts."""
        with self._lock:
            entry = self._open.get(association.id)
            if entry is None:
                return
            self._negotiated[association.id] = negotiated
            self._open[association.id] = replace(
                entry,
                accepted_contexts=negotiated.accepted,
                refused_contexts=len(negotiated.refused),
                refused=negotiated.refused[:CONTEXTS_KEPT],
            )

    def on_stored(self, association: AssociationFacts, status: int, size_bytes: int) -> None:
        """Need nothing of it: the end has the sum."""

    def on_closed(self, association: AssociationFacts, ending: Ending) -> None:
        """Note how it ended, and what would mend it."""
        with self._lock:
            entry = self._open.pop(association.id, None)
            negotiated = self._negotiated.pop(association.id, _NOTHING)
            if entry is None:
                return
            words, fix = advise(ending, negotiated)
            entry = replace(
                entry,
                outcome=str(ending.outcome),
                words=words[:LONGEST_WORDS],
                fix=fix[:LONGEST_WORDS],
                statuses={f"0x{code:04X}": n for code, n in sorted(ending.statuses.items())},
                size_bytes=ending.size_bytes,
                seconds=round(ending.seconds, 3),
                is_bad=is_bad(ending, negotiated),
            )
            self._accepted.append(entry)
            if entry.is_bad:
                self._bad.append(entry)
        self.tell(entry)

    def on_rejected(self, request: AssociationRequest, verdict: Reject) -> None:
        """Note a caller that was turned away."""
        entry = Entry(
            request.id or self._new_id(),
            self._clock(),
            _title(request.calling_ae),
            _title(request.called_ae),
            request.address,
            REJECTED,
            _cut(request.tls_name),
            cause=str(verdict.cause),
            words=verdict.words[:LONGEST_WORDS],
            fix=verdict.fix[:LONGEST_WORDS],
            is_bad=True,
        )
        with self._lock:
            self._bad.append(entry)
        self.tell(entry)

    def on_failed_handshake(self, address: str, words: str) -> None:
        """Note a caller with whom no TLS came about: it never got to say its title."""
        entry = Entry(
            self._new_id(),
            self._clock(),
            "",
            "",
            address,
            NO_TLS,
            cause=NO_TLS,
            words=words[:LONGEST_WORDS],
            fix=_SEE_TLS,
            is_bad=True,
        )
        with self._lock:
            self._without_tls.append(entry)
        self.tell(entry)

    def _all(self) -> list[Entry]:
        with self._lock:
            ended = (*self._accepted, *self._bad, *self._without_tls)
            every = (*ended, *self._open.values())
        once = {one.id: one for one in every}
        return sorted(once.values(), key=lambda one: one.at)


def _title(text: str) -> str:
    return _printable(text.strip())[:LONGEST_TITLE]


def _cut(text: str | None) -> str | None:
    return None if text is None else _printable(text)[:LONGEST_WORDS]


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)
