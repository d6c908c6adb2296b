"""Tables of the conformance statement: what DICOMweb searches and stores, and answers; pure."""

from typing import Final

from dicom import web_query
from dicom.errors import (
    CannotUnderstand,
    DoesNotMatch,
    Fault,
    InvalidSopInstance,
    OutOfResources,
    SopClassNotSupported,
)
from node.conformance_markdown import table
from node.web.dicomweb import stow
from node.web.dicomweb.routes import SEARCHES

_REASONS: Final[tuple[tuple[type[Fault], str], ...]] = (
    (OutOfResources, "no room on the disk"),
    (DoesNotMatch, "the Study is not the one of the URL"),
    (CannotUnderstand,
     "no whole DICOM object; no Study or Series Instance UID; unusable metadata or bulk data"),
    (InvalidSopInstance, "the SOP Instance UID is missing or no UID"),
    (SopClassNotSupported, "the SOP class is not stored here"),
)  # fmt: skip
_ANSWERS: Final = (
    ("200", "every object is stored"),
    ("202", "some are; the body says which are not, a Warning header whether the body broke off"),
    ("400", "no object, or a body that broke off before one was whole"),
    ("408", f"the body came too slowly: nothing for {stow.CHUNK_S:g} s, or under 1 KiB a second"),
    ("409", "none is stored; the body says why for each"),
    ("415", "a type of body that is not read, or a Content-Encoding"),
    ("503", f"no room on the disk, or {stow.AT_ONCE} requests store at this moment; Retry-After"),
)  # fmt: skip


def searches() -> str:
    """Write the table of resources that are searched."""
    return table(
        ("Resource (GET)", "Results", "Attributes that are always told"),
        [(f"`{path}`", str(level), web_query.always_told(level)) for path, level in SEARCHES],
    )


def store_answers() -> str:
    """Write the table of HTTP statuses of the store transaction."""
    return table(("Status", "Meaning"), _ANSWERS)


def store_reasons() -> str:
    """Write the table of Failure Reasons."""
    rows = [(f"0x{fault.status:04X}", words) for fault, words in _REASONS]
    return table(("Failure Reason (0008,1197)", "Meaning"), rows)
