"""What the vault asks of the place where its rows are kept (storage/vault offers it)."""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol

from dicom.sealed import AuditEntry, SealedOriginal, SealedStudy, WrappedKey


class Rows(Protocol):
    """Sealed rows on disk; what a method wrote is synced when it returns."""

    def claim_key(self, fresh: WrappedKey, known: Collection[str]) -> WrappedKey | None:
        """Keep a patient's first key, or give the one that is there; None for the forgotten.

        Raises StorageFault where the vault is under a key that is not among the `known` ids.
        """
        ...

    def key(self, project: str, patient: str) -> WrappedKey | None:
        """Give a patient's wrapped key."""
        ...

    def is_forgotten(self, project: str | None, patient: str) -> bool:
        """Whether a patient was forgotten, in one project or in any."""
        ...

    def patients(self, patient: str, project: str | None) -> list[tuple[str, str]]:
        """Give project and pseudonym of patients of this pseudonym, the forgotten included."""
        ...

    def add(self, originals: Sequence[SealedOriginal], studies: Sequence[SealedStudy]) -> int:
        """Add rows in one transaction, and say how many were new.

        Rows that are there stay as they are; those of forgotten patients are left out. Raises
        Corrupt where a patient's key is gone who was not forgotten.
        """
        ...

    def find(self, pseudonym: str, project: str | None) -> list[SealedOriginal]:
        """Give the rows of a pseudonym, in one project or in all."""
        ...

    def originals(
        self, project: str, patient: str, kind: str, pseudonyms: Sequence[str]
    ) -> list[SealedOriginal]:
        """Give those of a patient's rows that belong to these pseudonyms."""
        ...

    def study(self, project: str, patient: str, study_instance_uid: str) -> SealedStudy | None:
        """Give a study's snapshot."""
        ...

    def every(self, project: str | None, kind: str | None) -> Iterator[SealedOriginal]:
        """Give every row of a project and a kind (None: of all), patient by patient."""
        ...

    def forget(self, project: str, patient: str, at: float) -> bool:
        """Delete a patient's key and rows beyond recovery from the file; False for a stranger."""
        ...

    def keys_not_under(self, key_id: str, limit: int) -> list[WrappedKey]:
        """Give keys that are wrapped under another vault key than this."""
        ...

    def count_keys_not_under(self, key_id: str) -> int:
        """Count keys that are wrapped under another vault key than this."""
        ...

    def rewrap(self, keys: Sequence[WrappedKey]) -> None:
        """Replace wrapped keys in one transaction; those deleted meanwhile stay deleted."""
        ...

    def close(self) -> None:
        """Close what holds the rows."""
        ...


class Trail(Protocol):
    """The audit trail on disk: entries are added and never changed."""

    def append(self, make: Callable[[int, str], AuditEntry]) -> AuditEntry:
        """Add the entry that `make` gives for its number and the MAC of the entry before it."""
        ...

    def entries(self) -> Iterator[AuditEntry]:
        """Give every entry, oldest first."""
        ...
