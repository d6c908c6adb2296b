"""Facts about what de-identification did to one object: names of attributes, never values."""

from collections.abc import Mapping
from dataclasses import dataclass

from dicom.entity import SeriesKey


@dataclass(frozen=True, slots=True)
class Source:
    """The object as it was received."""

    series: SeriesKey
    sop_instance_uid: str
    digest: str
    """SHA-256 (hex) of its Part 10 bytes."""


@dataclass(frozen=True, slots=True)
class Account:
    """What was done, found and applied; the objects of a Series mostly agree, and share one."""

    actions: tuple[tuple[str, str], ...] = ()
    """Element path, and the letter of the action or a remark."""
    options: tuple[str, ...] = ()
    """Options of the profile that were really applied."""
    findings: tuple[str, ...] = ()
    """What validation found before."""


@dataclass(frozen=True, slots=True)
class Clean:
    """The object that may leave: its new UIDs, and the pseudonym of its patient."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_pseudonym: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One object under one profile: clean, or quarantined with a reason."""

    source: Source
    profile: str
    """Digest of the profile."""
    rule: str
    job: int
    software: str
    """The version that did it."""
    at: float
    clean: Clean | None
    """None where the object was quarantined."""
    account: Account = Account()
    code: str = ""
    """Of the fault, where the object was quarantined."""
    reason: str = ""
    """In words without values."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry as it stands in the ledger, with the time of the first that said this."""

    number: int
    entry: Entry
    account: str
    """Digest of the account, under which `Evidence.accounts` gives it; the entry's own is empty."""
    last_at: float
    """When it was said again for the last time; the newest word about an object counts."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where one clean object was delivered."""

    source_uid: str
    source_digest: str
    profile: str
    destination: str
    location: str
    sop_instance_uid: str
    digest_sent: str
    digest_read_back: str
    proof: str
    delivered_at: float


Description = Mapping[str, object]
"""What a profile's digest stands for, as JSON holds it."""
