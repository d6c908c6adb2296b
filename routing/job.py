"""What a job is, the states it can be in, and the one table of what moves it."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from dicom.entity import SeriesKey


class State(StrEnum):
    """Where a job stands. Every job ends done, held or dropped."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    HELD = "held"
    DROPPED = "dropped"


class Move(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"
    FINISH = "finish"
    POSTPONE = "postpone"
    HOLD = "hold"
    EXPIRE = "expire"
    RELEASE = "release"
    RETRY = "retry"
    DROP = "drop"


TRANSITIONS: Final[Mapping[tuple[State, Move], State]] = {
    (State.WAITING, Move.CLAIM): State.RUNNING,
    (State.RUNNING, Move.FINISH): State.DONE,
    (State.RUNNING, Move.POSTPONE): State.WAITING,
    (State.RUNNING, Move.HOLD): State.HELD,
    (State.RUNNING, Move.EXPIRE): State.WAITING,
    (State.RUNNING, Move.RELEASE): State.WAITING,
    (State.HELD, Move.RETRY): State.WAITING,
    (State.HELD, Move.DROP): State.DROPPED,
    (State.WAITING, Move.DROP): State.DROPPED,
}
"""Every pair that is not here is refused."""


def sources(move: Move) -> frozenset[State]:
    """Name the states that a move may start from."""
    return frozenset(state for state, by in TRANSITIONS if by is move)


def target(move: Move) -> State:
    """Name the state that a move leads to; every move has exactly one."""
    (end,) = {end for (_, by), end in TRANSITIONS.items() if by is move}
    return end


class Kind(StrEnum):
    """What a job does; each kind has one handler in node/workers."""

    FORWARD = "forward"
    REIDENTIFY = "reidentify"
    """Forward a result on de-identified objects with the patient's identity put back."""
    INFER = "infer"
    COMMIT = "commit"
    """Ask a PACS to commit itself to what it was sent."""
    REPORT = "report"
    """Report to a peer what came of its request for storage commitment."""
    MANIFEST = "manifest"
    """Write the list of what a destination holds of a Study, which has then no Series."""
    STAGE = "stage"
    """Put a Series where the workers of other machines can read it."""
    EXPORT = "export"
    """Write what is new for a lake; the rule is the lake's name, and there is no Study."""
    FHIR = "fhir"
    """Tell a FHIR server of a Study, which has then no Series."""
    INTAKE = "intake"
    """An object that arrived but could not be filed: held until a person decides."""


TARGETLESS: Final = frozenset({Kind.INTAKE})
"""Kinds whose target is no destination and no model: nothing there can be dead, or in order."""
OUT_OF_ORDER: Final = frozenset({Kind.COMMIT, Kind.REPORT})
"""Kinds that wait for somebody's answer: at an ordered destination they keep no place for it."""
CLOSED_WINDOW: Final = "closed-window"
"""Stands where a waiting job's fault would, while its rule's hours have not begun."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be written: what is owed, to whom, about which revision of which Series."""

    kind: Kind
    series: SeriesKey
    revision: int
    rule: str
    target: str
    """A destination or a model by its name in the config; for an intake, the SOP Instance UID; for
    a report, the peer's AE title."""
    profile: str = ""
    """The de-identification profile under which it leaves, or is led back; "" for none."""
    digest: str = ""
    """For an intake: which object under that UID, by SHA-256; for a report: of which request."""
    priority: int = 0
    """Jobs with more of it are given out first: see `priority_of`."""
    not_before: float = 0.0
    """When its rule's hours begin, seconds since the epoch; 0 where it may be done at once."""

    @property
    def dedup_key(self) -> str:
        """The same debt is written once, however often it is planned."""
        key = self.series
        parts = (self.kind, key.study_instance_uid, key.series_instance_uid, str(self.revision))
        return "|".join((*parts, self.rule, self.target, self.digest))

    @property
    def lane(self) -> str:
        """Jobs of one lane never run side by side: one Series to one target."""
        key = self.series
        parts = (self.kind, self.target, key.study_instance_uid, key.series_instance_uid)
        # Two exports of one lake would take each other's steps.
        last = self.rule if self.kind is Kind.EXPORT else self.digest
        return "|".join((*parts, self.profile, last))


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands in the ledger."""

    id: int
    spec: NewJob
    state: State
    attempts: int
    fence: int
    """Grows with every claim; an outcome with an older fence is refused."""
    not_before: float
    owner: str = ""
    fault: str = ""
    """The code of the last fault; "" while there was none."""
    words: str = ""
    created_at: float = 0.0
    updated_at: float = 0.0
    failing_since: float | None = None
    """When it first failed by itself; None while it has not."""
    losses: int = 0
    """How many workers died over it."""


def priority_of(rule_priority: int, *, is_result: bool) -> int:
    """Rank a job by its rule; of two of one priority, what a model made goes first."""
    return 2 * rule_priority + is_result
