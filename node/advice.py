"""Say what was wrong with an association that was accepted, and what mends it; pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from dicom import status
from node.conversation import Ending, Outcome
from node.negotiation import Negotiated, told

IDLE: Final = "idle for"
"""How the words begin when our own timer ended an association."""
PEER_ABORTED: Final = "the peer aborted"
STOPPED: Final = "the node stopped"

_ABORTED: Final[tuple[tuple[str, str], ...]] = (
    (IDLE, "look into the sender's log why it fell silent, or raise [node] idle_timeout_s"),
    (PEER_ABORTED, "the sender's own log says why it aborted"),
    (STOPPED, "none is needed: the sender tries again"),
)
_BROKEN: Final = "the sender breaks the upper layer protocol (PS3.8): show its vendor these words"
_LOST: Final = "look at the network between, and into the sender's log at that moment"
_NAMED_IN_LOG: Final = 'the log line "object refused" names the first: show its sender'

_STATUSES: Final[Mapping[int, str]] = {
    status.OUT_OF_RESOURCES: "make room on the disk of [node] data_dir; the sender tries again",
    status.NOT_AUTHORISED: 'add "store" to what the caller may',
    status.PROCESSING_FAILURE: "this is a fault of the node: send its log to who maintains it",
}


def is_bad(ending: Ending, negotiated: Negotiated) -> bool:
    """Whether somebody may want to know why: broken off, an object refused, or nothing agreed."""
    return (
        ending.outcome is not Outcome.RELEASED
        or not all(map(status.is_success, ending.statuses))
        or (not negotiated.accepted and bool(negotiated.refused))
    )


def advise(ending: Ending, negotiated: Negotiated) -> tuple[str, str]:
    """Give words for what went wrong, and the fix; "" and "" where all went well."""
    found = [_of_end(ending), *_of_statuses(ending), told(negotiated)]
    words = (said for said, _ in found if said)
    fixes = dict.fromkeys(fix for _, fix in found if fix)
    return "; ".join(words), "; ".join(fixes)


def _of_end(ending: Ending) -> tuple[str, str]:
    if ending.outcome is Outcome.RELEASED:
        return "", ""
    if ending.outcome is Outcome.LOST:
        return ending.words, _LOST
    known = (fix for begin, fix in _ABORTED if ending.words.startswith(begin))
    return ending.words, next(known, _BROKEN)


def _of_statuses(ending: Ending) -> Iterator[tuple[str, str]]:
    for code, count in sorted(ending.statuses.items()):
        if not status.is_success(code):
            objects = "object" if count == 1 else "objects"
            yield f"{count} {objects} refused with 0x{code:04X}", _STATUSES.get(code, _NAMED_IN_LOG)
