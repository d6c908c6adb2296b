"""What the letters of an account mean, in words and in the groups of a report."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Meaning:
    """One kind of action (PS3.15 Table E.1-1a, and some of our own)."""

    group: str
    """The heading under which a report lists it."""
    words: str


GROUPS: Final = ("removed", "emptied", "replaced", "shifted", "cleaned", "refused", "kept", "other")
"""The order in which a reader wants to know."""

MEANINGS: Final = {
    "X": Meaning("removed", "removed"),
    "Z": Meaning("emptied", "left without a value"),
    "D": Meaning("replaced", "replaced by a dummy value"),
    "U": Meaning("replaced", "replaced by a new UID"),
    "P": Meaning("replaced", "replaced by a pseudonym"),
    "S": Meaning("shifted", "date shifted by whole days"),
    "C": Meaning("cleaned", "identifying parts taken out"),
    "R": Meaning("refused", "refused: the object may not leave"),
    "K": Meaning("kept", "kept as it was"),
}

_UNKNOWN: Final = Meaning("other", "treated in a way that this version does not know")


def is_remark(action: str) -> bool:
    """Whether an entry of an account is a sentence rather than the letter of an action."""
    return len(action) > 2  # letters, and PS3.15's pairs of letters


def meaning(action: str) -> Meaning:
    """Explain the letter of an action."""
    return MEANINGS.get(action, _UNKNOWN)
