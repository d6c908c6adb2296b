"""What a report is made of: frozen facts about a study under one profile, without values."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Account:
    """What was done, applied and found in objects that agree in all of it."""

    actions: tuple[tuple[str, str], ...]
    """Element path, and the letter of the action or a remark."""
    options: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Delivery:
    """Where an object is, and how that was proven."""

    destination: str
    location: str
    sha256_sent: str
    sha256_read_back: str
    proof: str
    at: float


@dataclass(frozen=True, slots=True)
class Treated:
    """One object, clean or quarantined."""

    number: int
    """In the ledger; the only name that a quarantined object has in a report for outside."""
    original: Mapping[str, str]
    """Original UIDs and digest by name; left out of a report unless it is asked to hold them."""
    account: str
    """Which account in `Study.accounts`."""
    rule: str
    job: int
    software: str
    at: float
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    """New UIDs; empty where the object was quarantined."""
    patient_pseudonym: str = ""
    code: str = ""
    reason: str = ""
    deliveries: tuple[Delivery, ...] = ()

    @property
    def is_clean(self) -> bool:
        """Whether the object was proven clean, so that it may leave."""
        return bool(self.sop_instance_uid)


@dataclass(frozen=True, slots=True)
class Study:
    """Everything about one study under one profile."""

    study_instance_uid: str
    """The new one; empty where no object came through."""
    original_study_instance_uid: str
    profile: str
    """Digest of the profile."""
    description: Mapping[str, object]
    """What the digest stands for."""
    accounts: Mapping[str, Account]
    objects: tuple[Treated, ...]
    """The newest word about each object, oldest first."""
    overruled: tuple[Treated, ...] = field(default=())
    """Earlier words about the same objects: quarantined then clean, or the reverse."""
