"""Which endpoint is asked next: the one with the fewest requests under way. Pure."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ai.breaker import Breaker, State, may_ask


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of an endpoint that has the wanted model."""

    address: str
    outstanding: int
    """Requests under way."""
    breaker: Breaker


def choose(
    standings: Sequence[Standing], tried: Collection[str], now: float, turn: int
) -> str | None:
    """Choose an endpoint that was not tried yet; None where there is none to be asked now.

    Those whose breaker is closed, or whose pause is over, come first, the least busy of them;
    among equals `turn` decides, so that several workers do not all begin with the first. Where
    all have a pause, the one whose pause ends first is asked nevertheless: nobody is better. Never
    one whose trial is under way.
    """
    left = [
        (place, one)
        for place, one in enumerate(standings)
        if one.address not in tried and one.breaker.state is not State.TRIAL
    ]
    if not left:
        return None
    count = len(standings)
    willing = [
        (one.outstanding, (place - turn) % count, one.address)
        for place, one in left
        if may_ask(one.breaker, now)
    ]
    if willing:
        return min(willing)[2]
    return min((one.breaker.due_at, place, one.address) for place, one in left)[2]


def is_worth_waiting(standings: Sequence[Standing], tried: Collection[str]) -> bool:
    """Say whether a trial is under way that may yet show an endpoint to be well."""
    return any(one.address not in tried and one.breaker.state is State.TRIAL for one in standings)
