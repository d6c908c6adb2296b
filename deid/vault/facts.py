"""What the vault takes from an object that leaves, and what it answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from deid import account

_UIDS: Final = frozenset({account.STUDY, account.SERIES, account.INSTANCE, account.UID})
"""Kinds that are kept as one: the same UID is an object's own here and a reference there."""


class Original(Protocol):
    """A value that was replaced, as the engine tells it."""

    @property
    def kind(self) -> str:
        """What it is: "patient", "issuer", "uid" and so on."""
        ...

    @property
    def pseudonym(self) -> str:
        """What stands in its place."""
        ...

    @property
    def value(self) -> str:
        """What it was."""
        ...


class Reversible(Protocol):
    """A de-identified object, as far as the way back is concerned (deid.apply.Deidentified)."""

    @property
    def patient_pseudonym(self) -> str:
        """Whose object it is."""
        ...

    @property
    def study_instance_uid(self) -> str:
        """The Study Instance UID that it leaves with."""
        ...

    @property
    def sop_instance_uid(self) -> str:
        """The SOP Instance UID that it leaves with."""
        ...

    @property
    def originals(self) -> tuple[Original, ...]:
        """What was replaced in it."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """What keeping the way back of some objects added."""

    rows: int
    forgotten: frozenset[str]
    """Pseudonyms of patients who were forgotten: their objects have no way back."""


@dataclass(frozen=True, slots=True)
class Found:
    """An original. Holds patient data: never log it."""

    project: str
    patient: str
    kind: str
    pseudonym: str
    value: str = field(repr=False)


def facts_of(clean: Reversible) -> Iterator[tuple[str, str, str]]:
    """Yield kind, pseudonym and original of what an object needs for its way back."""
    sop = clean.sop_instance_uid
    for each in clean.originals:
        yield account.UID if each.kind in _UIDS else each.kind, each.pseudonym, each.value
    if not any(each.pseudonym == sop for each in clean.originals):
        # UIDs were retained: it must be known all the same that this one is taken.
        yield account.UID, sop, sop
