"""When a Series or a Study counts as complete, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from dicom.entity import Origin, SeriesKey

Range = tuple[int, int]
"""Numbers from the first to the last, both included."""
_RANGES_TOLD = 5


class Reason(StrEnum):
    """Why a Series or a Study was taken as complete; recorded, shown, sent as an event."""

    EXPECTED = "expected"
    """All that was announced is there."""
    RELEASED = "released"
    """Every association that sent it was released, and a short quiet time passed."""
    QUIET = "quiet"
    """Nothing new came for the quiet time."""
    RESULT = "result"
    """A model's result is complete when it is written."""


@dataclass(frozen=True, slots=True)
class Timing:
    """The quiet times, in seconds."""

    quiet_s: float
    release_s: float
    incomplete_s: float = 300
    """How long something may be waited for that is known or looks to be missing."""
    study_quiet_s: float = 120

    @property
    def soonest_s(self) -> float:
        """Before so long no quiet time can be over."""
        return min(self.quiet_s, self.release_s)

    @property
    def longest_s(self) -> float:
        """After so long every one is."""
        return max(self.quiet_s, self.release_s, self.incomplete_s, self.study_quiet_s)


@dataclass(frozen=True, slots=True)
class Announced:
    """What somebody said would be there, held against what is."""

    source: str
    count: int
    missing: int


@dataclass(frozen=True, slots=True)
class Pending:
    """A Series with news that no revision covers yet."""

    key: SeriesKey
    origin: Origin
    last_at: float
    """When its newest Instance arrived, seconds since the epoch."""
    all_released: bool
    """Whether every association that contributed to this revision was released in order."""
    instances: int = 0
    announced: tuple[Announced, ...] = ()
    gaps: tuple[Range, ...] = ()
    """Values of InstanceNumber that look to be missing."""
    study_is_there: bool = False
    """Whether exactly what was announced of the whole Study is there."""


@dataclass(frozen=True, slots=True)
class PendingStudy:
    """A Study with a settled Series that no revision of the Study covers yet."""

    study_instance_uid: str
    open_series: int
    """Series from outside that are not complete."""
    series: int
    instances: int
    """Those from outside: results of models do not count."""
    last_at: float
    announced: tuple[Announced, ...] = ()


@dataclass(frozen=True, slots=True)
class Completion:
    """From when on a Series or a Study counts as complete if nothing more comes, and why."""

    at: float
    """Seconds since the epoch."""
    reason: Reason
    words: str
    """The reason, and what is missing."""
    expected: int | None = None
    """The greatest number that was announced."""
    missing: int = 0
    """So many of those announced are not there."""


def gaps(numbers: Sequence[int | None]) -> tuple[Range, ...]:
    """Find the holes in the InstanceNumbers of a Series (PS3.3 C.7.6.1).

    A hint and no proof: nothing obliges a sender to number from 1, or without holes. So nothing is
    said where a number is absent or there twice, where all stand equally far apart, where more
    would be missing than is there, and about what may be missing before the first or after the
    last.
    """
    known = sorted(number for number in numbers if number is not None)
    steps = {after - before for before, after in pairwise(known)}
    if len(known) != len(numbers) or 0 in steps or len(steps) < 2:
        return ()
    if known[-1] - known[0] + 1 - len(known) >= len(known):
        return ()
    return tuple((before + 1, after - 1) for before, after in pairwise(known) if after - before > 1)


def is_there(announced: Sequence[Announced], instances: int) -> bool:
    """Whether exactly what was announced is there.

    Where there is more, the announcement spoke of a part, and says nothing of the whole.
    """
    missing = any(one.missing for one in announced)
    return not missing and max((one.count for one in announced), default=-1) == instances


def due(series: Pending, timing: Timing) -> Completion:
    """Say from when on a Series counts as complete, if nothing more comes.

    An aborted or still open association is no sign of completeness: then only quiet counts. What
    was announced settles it at once when it is there, and is waited for while it is not.
    """
    if series.origin is Origin.AI:
        return Completion(series.last_at, Reason.RESULT, str(Reason.RESULT))
    if series.study_is_there or is_there(series.announced, series.instances):
        return _there(series.last_at, series.announced)
    is_short = any(one.missing for one in series.announced)
    reason = Reason.RELEASED if series.all_released else Reason.QUIET
    quiet_s = timing.release_s if series.all_released else timing.quiet_s
    return _after(
        series.last_at,
        max(quiet_s, timing.incomplete_s) if is_short or series.gaps else quiet_s,
        reason,
        series.announced,
        series.gaps,
    )


def due_study(study: PendingStudy, timing: Timing) -> Completion | None:
    """Say from when on a Study counts as complete, if nothing more comes.

    None while a Series of it is not complete.
    """
    if study.open_series:
        return None
    if is_there(study.announced, study.instances):
        return _there(study.last_at, study.announced)
    is_short = any(one.missing for one in study.announced)
    quiet_s = timing.study_quiet_s
    wait_s = max(quiet_s, timing.incomplete_s) if is_short else quiet_s
    return _after(study.last_at, wait_s, Reason.QUIET, study.announced, ())


def _there(at: float, announced: Sequence[Announced]) -> Completion:
    expected = max((one.count for one in announced), default=None)
    what = "all announced of the Study is there"
    if announced:
        by = ", ".join(sorted(one.source for one in announced))
        what = f"all {expected} announced are there ({by})"
    return Completion(at, Reason.EXPECTED, f"{Reason.EXPECTED}, {what}", expected)


def _after(
    last_at: float,
    wait_s: float,
    reason: Reason,
    announced: Sequence[Announced],
    holes: Sequence[Range],
) -> Completion:
    words = [str(reason)]
    worst = max(announced, key=lambda one: one.missing, default=None)
    missing = worst.missing if worst else 0
    if worst and missing:
        words.append(f"{missing} of {worst.count} announced missing ({worst.source})")
    if holes:
        told = ", ".join(_range(one) for one in holes[:_RANGES_TOLD])
        more = f" and {len(holes) - _RANGES_TOLD} more gaps" if len(holes) > _RANGES_TOLD else ""
        words.append(f"InstanceNumber {told}{more} missing")
    expected = max((one.count for one in announced), default=None)
    return Completion(last_at + wait_s, reason, ", ".join(words), expected, missing)


def _range(one: Range) -> str:
    first, last = one
    return str(first) if first == last else f"{first}-{last}"
