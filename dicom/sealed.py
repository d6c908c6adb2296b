"""What the vault keeps, as its two sides hand it over: deid/ seals and opens, storage/ keeps.

Everything here may be written to disk as it is: pseudonyms, names of keys, and sealed bytes.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WrappedKey:
    """A patient's data key, wrapped under a vault key; without it the patient's rows stay shut."""

    project: str
    patient: str
    """The patient's pseudonym; "" stands for the key of the audit trail."""
    key_id: str
    """Which vault key it is wrapped under."""
    wrapped: bytes


@dataclass(frozen=True, slots=True)
class SealedOriginal:
    """One original value behind a pseudonym, sealed under the data key of its patient."""

    project: str
    patient: str
    kind: str
    """What the pseudonym stands for: "patient", "uid" and so on."""
    pseudonym: str
    sealed: bytes


@dataclass(frozen=True, slots=True)
class SealedStudy:
    """The Patient and Study modules of a study, sealed under the data key of its patient."""

    project: str
    patient: str
    study_instance_uid: str
    """The study's UID as it left, a pseudonym where UIDs are replaced."""
    sealed: bytes


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who asked what of the vault, and why; `mac` binds it to every entry before it."""

    number: int
    at: float
    """Seconds since the epoch, UTC."""
    who: str
    action: str
    project: str
    subject: str
    """A pseudonym or a UID, never an original."""
    purpose: str
    mac: str
