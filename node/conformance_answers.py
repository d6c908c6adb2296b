"""Tables of the conformance statement: what a peer hears, and when; pure.

Numbers come from the faults, from admission and from the SCU's own judgement; only the words about
when they are sent stand here.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from config.model import Settings
from dicom import errors, status
from dicom.store_answer import TABLE, Meaning, Row
from node.admission import AssociationRequest, Reject, decide
from node.conformance_markdown import table
from node.negotiation import NO_SUCH_CLASS, NO_SUCH_SYNTAX, USER_REJECTION, Refusal
from node.watermarks import DiskState


@dataclass(frozen=True, slots=True)
class Answered:
    """A status that is sent: what it is called, and when."""

    code: int
    meaning: str
    when: str


_BEHIND_NEGOTIATION: Final = (
    "the caller lacks the permission. Its contexts are refused before, so no caller hears this"
)

STORE: Final = (
    Answered(
        status.SUCCESS,
        "Success",
        "the object is on disk and synced, never before; for a duplicate and for a conflict too",
    ),
    Answered(
        errors.OutOfResources.status,
        "Refused: out of resources",
        "less space is free than `[node] reserve_mb`, or the disk failed. The sender is to keep"
        " the object and try again",
    ),
    Answered(
        errors.DoesNotMatch.status,
        "Error: data set does not match SOP Class",
        "SOP Class UID or SOP Instance UID differ between command and dataset, as far as the"
        " first 4 KiB of the dataset tell",
    ),
    Answered(
        errors.CannotUnderstand.status,
        "Error: cannot understand",
        "the request has no dataset, or an empty one",
    ),
    Answered(
        errors.InvalidSopInstance.status,
        "Invalid SOP Instance",
        "the SOP Instance UID of the command is empty, longer than 64 characters, or holds other"
        " characters than letters, digits, dot, hyphen and underscore",
    ),
    Answered(
        errors.SopClassNotSupported.status,
        "SOP Class not supported",
        "the SOP Class UID of the command is not the presentation context's, or no storage class",
    ),
    Answered(errors.NotAuthorised.status, "Not authorised", _BEHIND_NEGOTIATION),
    Answered(
        errors.Fault.status,
        "Processing failure",
        "the node itself is at fault; its log says where",
    ),
)
"""C-STORE (PS3.4 B.2.3, PS3.7 9.1.1.1.9)."""

FIND: Final = (
    Answered(status.SUCCESS, "Success", "all matches were sent, or there is none"),
    Answered(status.PENDING, "Pending", "one match; every key is supported"),
    Answered(
        status.PENDING_WITH_UNSUPPORTED_KEYS,
        "Pending, with unsupported keys",
        "one match; keys that 4.2.1.4.3.3 does not list for the level were ignored: neither matched"
        " nor returned",
    ),
    Answered(status.CANCELLED, "Cancel", "the requestor sent C-CANCEL before the last match"),
    Answered(
        errors.OutOfResources.status,
        "Refused: out of resources",
        "there are more matches than `[query] max_matches` (that many were sent before), the answer"
        " took longer than `[query] timeout_s`, the identifier is too long, or the index cannot"
        " answer now. ErrorComment (0000,0902) says which",
    ),
    Answered(
        errors.DoesNotMatch.status,
        "Error: identifier does not match SOP Class",
        "QueryRetrieveLevel is missing or none of the model's, a unique key of an upper level has"
        " not one single value, a key cannot be read, stands twice or nests too deep, or a sequence"
        " key has several items. OffendingElement (0000,0901) names it",
    ),
    Answered(
        errors.CannotUnderstand.status,
        "Error: unable to process",
        "the identifier cannot be parsed",
    ),
    Answered(errors.NotAuthorised.status, "Not authorised", _BEHIND_NEGOTIATION),
    Answered(
        errors.Fault.status,
        "Processing failure",
        "the node itself is at fault, or the index is damaged; its log says where",
    ),
)
"""C-FIND (PS3.4 C.4.1.1.4)."""

_DONE_ABOUT: Final = {
    Meaning.STORED: "delivered: a receipt is written, with the status",
    Meaning.WARNED: "delivered: a receipt is written, with the status and what it means",
    Meaning.THERE: "delivered before: a receipt is written that says so",
    Meaning.BUSY: (
        "sent again later, after the job's other objects; three in a row, and they wait as well"
    ),
    Meaning.REFUSED: (
        "not sent again; the other objects of the job are. The job is held for a person"
    ),
}

_RESULTS: Final = {1: "rejected-permanent", 2: "rejected-transient"}
_REASONS: Final = {
    (1, 3): ("service-user", "calling-AE-title-not-recognized"),
    (1, 7): ("service-user", "called-AE-title-not-recognized"),
    (3, 1): ("service-provider (presentation)", "temporary-congestion"),
    (3, 2): ("service-provider (presentation)", "local-limit-exceeded"),
}
"""PS3.8 Table 9-21, as far as the node uses it."""

_EXAMPLE: Final = Settings.model_validate(
    {"peers": {"CT1": {"may": ["store"], "addresses": ["10.1.2.3"], "tls_name": "ct1.example",
                       "max_associations": 1}}}
)  # fmt: skip
_WELCOME: Final = AssociationRequest(
    "CT1", _EXAMPLE.node.ae_title, "10.1.2.3", 0, tls_name="ct1.example",
    proposes=frozenset({"store"}),
)  # fmt: skip


def store_statuses() -> str:
    """Write what a C-STORE is answered."""
    return _statuses(STORE)


def find_statuses() -> str:
    """Write what a C-FIND is answered."""
    return _statuses(FIND)


def heard_statuses() -> str:
    """Write what the node does about each status that it hears as a Storage SCU."""
    rows = [(_range(one), one.words, _DONE_ABOUT[one.meaning]) for one in TABLE]
    rows.append(("any other", "", _DONE_ABOUT[Meaning.REFUSED]))
    return table(("Status heard", "Meaning", "What is done"), rows)


def _range(one: Row) -> str:
    if one.first == one.last:
        return f"{one.first:04X}"
    return f"{one.first:04X} to {one.last:04X}"


def rejections() -> str:
    """Write who is turned away, and with what A-ASSOCIATE-RJ, as admission decides it."""
    rows = []
    for each in turned_away():
        source, reason = _REASONS[each.source, each.reason]
        rows.append(
            (
                str(each.cause),
                f"{each.result} {_RESULTS[each.result]}",
                f"{each.source} {source}",
                f"{each.reason} {reason}",
            )
        )
    return table(("Why", "Result", "Source", "Reason"), rows)


def turned_away() -> Iterator[Reject]:
    """Have admission judge one caller for each cause, each wrong in one thing."""
    calls = (
        replace(_WELCOME, calling_ae="STRANGER"),
        replace(_WELCOME, address="10.9.9.9"),
        replace(_WELCOME, tls_name=None),
        replace(_WELCOME, called_ae="OTHER"),
        replace(_WELCOME, open_of_caller=1),
        replace(_WELCOME, open_associations=_EXAMPLE.node.max_associations),
        replace(_WELCOME, disk=DiskState.REFUSING),
    )
    for call in calls:
        verdict = decide(call, _EXAMPLE)
        assert isinstance(verdict, Reject), call
        yield verdict


def refusals() -> str:
    """Write why a presentation context is refused."""
    rows = (
        (USER_REJECTION, "user-rejection", Refusal.NOT_PERMITTED, "the caller's `may`"),
        (NO_SUCH_CLASS, "abstract-syntax-not-supported", Refusal.UNKNOWN_CLASS, "4.2.1.1"),
        (NO_SUCH_SYNTAX, "transfer-syntaxes-not-supported", Refusal.UNKNOWN_SYNTAX, "8.8"),
    )
    return table(("Result", "", "Why", "See"), [(str(code), *words) for code, *words in rows])


def _statuses(answers: tuple[Answered, ...]) -> str:
    rows = [(f"{each.code:04X}", each.meaning, each.when) for each in answers]
    return table(("Status", "Meaning", "When it is sent"), rows)
