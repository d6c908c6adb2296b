"""Which endpoint is asked next: the one with the fewest requests under way. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from ai.breaker import Breaker, State, may_ask


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an endpoint that has the wanted model and was not tried yet."""

    outstanding: int
    """Requests under way."""
    breaker: Breaker


def choose(standings: Sequence[Standing], now: float, turn: int) -> int | None:
    """Choose an endpoint by its place; None where there is none to be asked now.

    Those whose breaker is closed, or whose pause is over, come first, the least busy of them;
    among equals `turn` decides, so that several workers do not all begin with the first. Where
    all have a pause, the one whose pause ends first is asked nevertheless: nobody is better. Never
    one whose trial is under way.
    """
    count = len(standings)
    willing = [
        (one.outstanding, (place - turn) % count, place)
        for place, one in enumerate(standings)
        if may_ask(one.breaker, now)
    ]
    if willing:
        return min(willing)[2]
    paused = [
        (one.breaker.due_at, place)
        for place, one in enumerate(standings)
        if one.breaker.state is State.OPEN
    ]
    return min(paused)[1] if paused else None
