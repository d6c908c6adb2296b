"""Whether jobs of a target are given out: a dead destination or model costs nobody an attempt.

A target that does not answer is open: its jobs wait, and one worker at a time asks it whether it is
there again. Where it answers questions and yet takes nothing, one job at a time is the question.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dicom.errors import Busy, Fault, ModelUnavailable, Unreachable

FAILURES: Final = 3
"""So many jobs in a row that a target fails stop its jobs, though it answers when it is asked."""
FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 16.0
"""Waits between two questions double up to here, give or take a quarter: a target that comes back
is noticed within 20 s."""
LONGEST_WAIT_OF_MODEL_S: Final = 2.0
"""The same for models: asking one is a look at whether it is ready, and a reader waits for what it
finds. One that comes back is noticed within 3 s."""
LONGEST_QUESTION_S: Final = 600.0
"""So long at most nobody else asks beside one who asks, however long leases are."""
BLAMING: Final = (Unreachable, Busy, ModelUnavailable)
"""Faults of a job that speak of its target as a whole, and not of what was sent."""


class State(StrEnum):
    """Where a target stands."""

    CLOSED = "closed"
    """Its jobs are given out."""
    OPEN = "open"
    """None is."""
    PROBING = "probing"
    """None is, and a worker is asking it."""
    TRIAL = "trial"
    """It answers; one job at a time is given out until one comes through."""


class Sign(StrEnum):
    """What is learned of a target."""

    DONE = "done"
    """A job came through."""
    FAILED = "failed"
    """A job failed by the target's fault, and yet it answers when it is asked."""
    TRIPPED = "tripped"
    """So did as many jobs in a row as are too many."""
    DEAD = "dead"
    """A job failed, and the target does not answer when it is asked."""
    ASKED = "asked"
    """A worker begins to ask."""
    SILENT = "silent"
    """It was asked in vain."""
    THERE = "there"
    """It answered, and that is enough."""
    TRY = "try"
    """It answered, and a job has to show whether that means anything."""


TRANSITIONS: Final[Mapping[tuple[State, Sign], State]] = {
    (State.CLOSED, Sign.DONE): State.CLOSED,
    (State.CLOSED, Sign.FAILED): State.CLOSED,
    (State.CLOSED, Sign.TRIPPED): State.OPEN,
    (State.CLOSED, Sign.DEAD): State.OPEN,
    (State.OPEN, Sign.DONE): State.CLOSED,
    (State.OPEN, Sign.ASKED): State.PROBING,
    (State.PROBING, Sign.DONE): State.CLOSED,
    (State.PROBING, Sign.ASKED): State.PROBING,
    (State.PROBING, Sign.SILENT): State.OPEN,
    (State.PROBING, Sign.THERE): State.CLOSED,
    (State.PROBING, Sign.TRY): State.TRIAL,
    (State.TRIAL, Sign.DONE): State.CLOSED,
    (State.TRIAL, Sign.FAILED): State.OPEN,
    (State.TRIAL, Sign.DEAD): State.OPEN,
}
"""Every pair that is not here changes nothing: what comes late says nothing new."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of one target."""

    target: str
    state: State = State.CLOSED
    failures: int = 0
    """Jobs in a row that failed by its fault; one job that fails again and again counts once."""
    last_job: int = 0
    """The last of them."""
    tries: int = 0
    """How often it was asked in vain since it does not answer."""
    since: float = 0.0
    """Since when it does not answer, seconds since the epoch."""
    next_at: float = 0.0
    """When it is asked again; while it is asked, when another may ask instead."""
    needs_job: bool = False
    """Whether its answers are worth nothing: only a job that comes through is."""
    fault: str = ""
    words: str = ""
    """What is wrong with it."""


def blames_target(fault: Fault) -> bool:
    """Say whether a job's fault speaks of its target as a whole."""
    return isinstance(fault, BLAMING)


def failed(
    breaker: Breaker, job: int, fault: Fault, now: float, chance: float, *, is_there: bool
) -> Breaker:
    """Note that a job failed by its target's fault; `is_there`: whether it answers when asked."""
    failures = breaker.failures + (breaker.last_job != job or not breaker.failures)
    sign = Sign.DEAD
    if is_there:
        trips = breaker.state is State.CLOSED and failures >= FAILURES
        sign = Sign.TRIPPED if trips else Sign.FAILED
    after = TRANSITIONS.get((breaker.state, sign))
    if after is None:
        return breaker
    noted = replace(
        breaker, state=after, failures=failures, last_job=job, fault=fault.code, words=str(fault)
    )
    if after is State.CLOSED:
        return noted
    tries = breaker.tries + 1
    return replace(
        noted,
        tries=tries,
        since=breaker.since if breaker.state is State.TRIAL else now,
        next_at=now + _wait_s(tries, chance, fault),
        needs_job=is_there,
    )


def done(breaker: Breaker) -> Breaker:
    """Note that a job came through: whatever was thought of the target is over."""
    assert TRANSITIONS[breaker.state, Sign.DONE] is State.CLOSED
    return Breaker(breaker.target)


def is_due(breaker: Breaker, now: float) -> bool:
    """Say whether somebody should ask the target now.

    A time further off than any wait was written by a clock that has been set back since.
    """
    if (breaker.state, Sign.ASKED) not in TRANSITIONS:
        return False
    longest_s = 2 * LONGEST_WAIT_S if breaker.state is State.OPEN else LONGEST_QUESTION_S
    return not now < breaker.next_at <= now + longest_s


def asked(breaker: Breaker, now: float, lease_s: float) -> Breaker:
    """Begin to ask; another may ask instead when no answer is noted within the lease."""
    until = now + min(lease_s, LONGEST_QUESTION_S)
    return replace(breaker, state=TRANSITIONS[breaker.state, Sign.ASKED], next_at=until)


def answered(breaker: Breaker, fault: Fault | None, now: float, chance: float) -> Breaker:
    """Note what came of asking: nothing wrong, or why not. What comes late changes nothing.

    A fault that does not blame the target as a whole is an answer too: a target that says no is
    there, and its jobs shall hear it.
    """
    if breaker.state is not State.PROBING:
        return breaker
    if fault is not None and blames_target(fault):
        tries = breaker.tries + 1
        return replace(
            breaker,
            state=TRANSITIONS[breaker.state, Sign.SILENT],
            tries=tries,
            next_at=now + _wait_s(tries, chance, fault),
            needs_job=False,
            fault=fault.code,
            words=str(fault),
        )
    if breaker.needs_job:
        return replace(breaker, state=TRANSITIONS[breaker.state, Sign.TRY])
    assert TRANSITIONS[breaker.state, Sign.THERE] is State.CLOSED
    return Breaker(breaker.target)


def may_run(breaker: Breaker, running: int) -> bool:
    """Say whether one more job of the target may be given out beside those that run."""
    return breaker.state is State.CLOSED or (breaker.state is State.TRIAL and running == 0)


def _wait_s(tries: int, chance: float, fault: Fault) -> float:
    """Give the wait after the n-th question in vain; `chance` is uniform in [0, 1)."""
    is_model = isinstance(fault, ModelUnavailable)
    longest_s = LONGEST_WAIT_OF_MODEL_S if is_model else LONGEST_WAIT_S
    # Bounded before it is raised: a target may be away for weeks.
    wait_s = min(FIRST_WAIT_S * 2.0 ** min(tries, 10), longest_s)
    return wait_s * (0.75 + 0.5 * chance)
