"""Instance, Series and Study as frozen facts, shared by every layer."""

from dataclasses import dataclass
from enum import StrEnum


class Origin(StrEnum):
    """Where an Instance came from; decides which rules may touch it."""

    DIMSE = "dimse"
    FOLDER = "folder"
    BUCKET = "bucket"
    WEB = "web"
    AI = "ai"


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known when an object's first byte arrives; written to the log beside its bytes."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae: str
    called_ae: str
    association: str
    """The node's own id of the association, or of the job that made a result."""
    address: str
    received_at: float
    """Seconds since the epoch, UTC."""
    origin: Origin = Origin.DIMSE
    rule: str = ""
    """For a result: the rule that asked for it. Empty for what came from outside."""


@dataclass(frozen=True, slots=True)
class Location:
    """Where an Instance's Part 10 bytes lie in the spool."""

    segment: str
    offset: int
    length: int
    node: str = ""
    """Whose spool, where several nodes share a ledger; "" for the spool at hand."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One stored object: its arrival, its place in the spool, the SHA-256 (hex) of its bytes."""

    arrival: Arrival
    location: Location
    digest: str


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """A Series within its Study."""

    study_instance_uid: str
    series_instance_uid: str
