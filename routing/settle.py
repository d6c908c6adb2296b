"""When a Series counts as complete, and why."""

from dataclasses import dataclass
from enum import StrEnum

from dicom.entity import Origin, SeriesKey


class Reason(StrEnum):
    """Why a Series was taken as complete; recorded, shown, sent as an event."""

    RELEASED = "released"
    """Every association that sent it was released, and a short quiet time passed."""
    QUIET = "quiet"
    """Nothing new came for the quiet time."""
    RESULT = "result"
    """A model's result is complete when it is written."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The two quiet times, in seconds."""

    quiet_s: float
    release_s: float


@dataclass(frozen=True, slots=True)
class Pending:
    """A Series with news that no revision covers yet."""

    key: SeriesKey
    origin: Origin
    last_at: float
    """When its newest Instance arrived, seconds since the epoch."""
    all_released: bool
    """Whether every association that contributed to this revision was released in order."""


def judge(series: Pending, timing: Timing, now: float) -> Reason | None:
    """Say why a Series is complete now, or None while it is not.

    An aborted or still open association is no sign of completeness: then only quiet counts.
    """
    if series.origin is Origin.AI:
        return Reason.RESULT
    quiet_s = now - series.last_at
    if series.all_released and quiet_s >= timing.release_s:
        return Reason.RELEASED
    if quiet_s >= timing.quiet_s:
        return Reason.QUIET
    return None
