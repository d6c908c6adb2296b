"""What was done to one object: an account without values, and the way back with them.

The account goes into logs, reports and evidence. The originals are patient data: they exist so
that a vault can seal them, and nothing prints them by accident.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from deid.bases import Action

PATIENT: Final = "patient"
ISSUER: Final = "issuer"
NAME: Final = "name"
BIRTH_DATE: Final = "birth-date"
STUDY: Final = "study"
SERIES: Final = "series"
INSTANCE: Final = "instance"
UID: Final = "uid"
ACCESSION: Final = "accession"
SHIFT: Final = "shift"


@dataclass(frozen=True, slots=True)
class Original:
    """One value that was replaced, and what stands in its place or leads to it."""

    kind: str
    """`patient`, `issuer`, `name`, `birth-date`, `shift` and their pseudonym is the patient's;
    `accession`, and its pseudonym is the new Study Instance UID; `study`, `series`, `instance`
    and `uid` (every other one), and their pseudonym is the new UID."""
    pseudonym: str
    value: str = field(repr=False)
    """The original; of `shift`, the days by which dates moved, such as "-154"."""


@dataclass(slots=True)
class Account:
    """Grows while an object is walked."""

    rows: dict[tuple[str, str], None] = field(default_factory=dict)
    """Element path and action, in order; a path in many items stands once."""
    applied: set[str] = field(default_factory=set)
    """Options that decided about an attribute of this object."""
    _originals: dict[Original, None] = field(default_factory=dict, repr=False)

    def note(self, path: str, action: Action, option: str = "") -> None:
        """Say what was done to an element, and the option that asked for it."""
        self.rows[path, action.value] = None
        if option:
            self.applied.add(option)

    def mark(self) -> tuple[int, frozenset[str]]:
        """Remember how far the account has grown, for `back_to`."""
        return len(self.rows), frozenset(self.applied)

    def back_to(self, marked: tuple[int, frozenset[str]]) -> None:
        """Forget what was noted about the inside of something that goes as a whole."""
        rows, applied = marked
        for row in list(self.rows)[rows:]:
            del self.rows[row]
        self.applied &= applied

    def replaced(self, kind: str, pseudonym: str, value: str) -> None:
        """Remember an original; empty ones are no way back."""
        if value and value != pseudonym:
            self._originals[Original(kind, pseudonym, value)] = None

    def originals(self, uids: Mapping[str, str], own: Mapping[str, str]) -> Iterator[Original]:
        """Yield every original, UIDs last; `own` maps the object's three UIDs to their kinds."""
        yield from self._originals
        for old, new in uids.items():
            if old and old != new:
                yield Original(own.get(old, UID), new, old)
