"""Presentation contexts: which SOP classes in which transfer syntaxes (PS3.4 B.5, PS3.8 7.1.1)."""

from collections.abc import Iterable, Sequence
from typing import Final

from pydicom._uid_dict import UID_dictionary
from pynetdicom import AllStoragePresentationContexts
from pynetdicom._globals import ALL_TRANSFER_SYNTAXES
from pynetdicom.presentation import PresentationContext, build_context

MOST_CONTEXTS: Final = 128
"""An association proposes at most so many: their ids are the odd numbers below 256."""

_NO_OBJECTS: Final = ("1.2.840.10008.1.", "1.2.840.10008.5.1.1.27")
"""Storage commitment, the media directory, stored prints: no composite objects."""

_NO_ENCODINGS: Final = frozenset(
    {"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20"}
)
"""MIME, XML, Papyrus: registered as transfer syntaxes, but no dataset is encoded so."""

TRANSFER_SYNTAXES: Final[tuple[str, ...]] = tuple(
    dict.fromkeys(
        (
            *ALL_TRANSFER_SYNTAXES,
            *(
                uid
                for uid, (_, kind, *_) in UID_dictionary.items()
                if kind == "Transfer Syntax" and uid not in _NO_ENCODINGS
            ),
        )
    )
)
"""Every transfer syntax of PS3.6 Table A-1, retired ones too: what is not decoded
needs no codec."""


def storage_contexts(private_sop_classes: Iterable[str] = ()) -> list[PresentationContext]:
    """List what the node accepts: every storage SOP class, and private ones, in every syntax.

    Retired classes are among them: old scanners and archives still send them.
    """
    known = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    wanted = dict.fromkeys((*known, *_composite_classes(), *private_sop_classes))
    return [build_context(uid, list(TRANSFER_SYNTAXES)) for uid in wanted]


def _composite_classes() -> list[str]:
    """List the storage SOP classes that the standard ever registered (PS3.6 Annex A)."""
    return [
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" in name and not uid.startswith(_NO_OBJECTS)
    ]


def proposals(needed: Iterable[tuple[str, str]]) -> list[list[PresentationContext]]:
    """List what an SCU proposes for objects of these (SOP class, transfer syntax) pairs.

    One context per pair, so that the peer says of each whether it takes it; in groups that fit
    an association.
    """
    contexts = [build_context(sop_class, syntax) for sop_class, syntax in dict.fromkeys(needed)]
    return [
        contexts[first : first + MOST_CONTEXTS] for first in range(0, len(contexts), MOST_CONTEXTS)
    ]


def accepted(
    contexts: Sequence[PresentationContext], sop_class_uid: str, transfer_syntax_uid: str
) -> int | None:
    """Find the id of the accepted context for an object; None when the peer refused it."""
    for context in contexts:
        if (
            context.abstract_syntax == sop_class_uid
            and context.transfer_syntax[0] == transfer_syntax_uid
        ):
            return context.context_id
    return None
