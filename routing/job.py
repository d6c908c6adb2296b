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
    INTAKE = "intake"
    """An object that arrived but could not be filed: held until a person decides."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be written: what is owed, to whom, about which revision of which Series."""

    kind: Kind
    series: SeriesKey
    revision: int
    rule: str
    target: str
    """A destination or a model by its name in the config; for an intake, the SOP Instance UID."""
    profile: str = ""
    """The de-identification profile under which it leaves, or is led back; "" for none."""
    digest: str = ""
    """For an intake: which object under that UID, by its SHA-256."""

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
        return "|".join((*parts, self.profile, self.digest))


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
