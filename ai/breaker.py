"""Whether an endpoint is asked about a model: one that failed again and again gets a pause.

Pure. After the pause one request is the trial; others go elsewhere until it has ended. The node's
jobs have a breaker of their own (routing/breaker.py): that one is about a model on all its
servers, this one about one server of several.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

FAILURES: Final = 3
"""So many failures in a row open it."""
FIRST_WAIT_S: Final = 0.5
LONGEST_WAIT_S: Final = 4.0
"""Pauses double up to here, give or take a quarter."""


class State(StrEnum):
    """Where an endpoint stands with a model."""

    CLOSED = "closed"
    """It is asked."""
    OPEN = "open"
    """It has a pause."""
    TRIAL = "trial"
    """One request finds out whether it is well again."""


@dataclass(frozen=True, slots=True)
class Breaker:
    """What is known of one model on one endpoint."""

    state: State = State.CLOSED
    failures: int = 0
    """In a row."""
    due_at: float = 0.0
    """When its pause is over, on the caller's clock."""


WELL: Final = Breaker()
"""Nothing is known against it."""


def may_ask(breaker: Breaker, now: float) -> bool:
    """Say whether a request may go there."""
    if breaker.state is State.OPEN:
        return now >= breaker.due_at
    return breaker.state is State.CLOSED


def begun(breaker: Breaker) -> Breaker:
    """Note that a request goes there; to an open one it is the trial, due or not."""
    if breaker.state is State.OPEN:
        return Breaker(State.TRIAL, breaker.failures, breaker.due_at)
    return breaker


def done(breaker: Breaker) -> Breaker:
    """Note an answer: whatever was thought of the endpoint is over."""
    del breaker
    return WELL


def failed(breaker: Breaker, now: float, chance: float) -> Breaker:
    """Note a failure; `chance` is uniform in [0, 1).

    What comes late, while the pause is on, changes nothing: it was asked before.
    """
    if breaker.state is State.OPEN:
        return breaker
    failures = breaker.failures + 1
    if breaker.state is State.CLOSED and failures < FAILURES:
        return Breaker(State.CLOSED, failures)
    return Breaker(State.OPEN, failures, now + _wait_s(failures - FAILURES, chance))


def dropped(breaker: Breaker) -> Breaker:
    """Note that a request ended without a word about the endpoint: another may be the trial."""
    if breaker.state is State.TRIAL:
        return Breaker(State.OPEN, breaker.failures, breaker.due_at)
    return breaker


def _wait_s(trials: int, chance: float) -> float:
    # Bounded before it is raised: an endpoint may be away for weeks.
    wait_s = min(FIRST_WAIT_S * 2.0 ** min(max(trials, 0), 10), LONGEST_WAIT_S)
    return wait_s * (0.75 + 0.5 * chance)
