"""How far a shadow agrees with the live version it was asked beside. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Numbers = Mapping[str, float]
"""What a version said, by output."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of one output: the differences, shadow less live (Bland and Altman)."""

    output: str
    pairs: int
    bias: float
    """Their mean."""
    low: float
    """95 % of them are expected above this,"""
    high: float
    """and below this."""
    largest: float
    """The largest of them, without its sign."""


def agreement(pairs: Sequence[tuple[Numbers, Numbers]]) -> list[Agreement]:
    """Compare what live and shadow said of the same Series, by output that both said."""
    found = []
    for output in sorted({name for live, shadow in pairs for name in live.keys() & shadow.keys()}):
        apart = [
            shadow[output] - live[output]
            for live, shadow in pairs
            if output in live and output in shadow
        ]
        found.append(_of(output, [one for one in apart if math.isfinite(one)]))
    return [one for one in found if one.pairs]


def _of(output: str, apart: Sequence[float]) -> Agreement:
    if not apart:
        return Agreement(output, 0, 0.0, 0.0, 0.0, 0.0)
    bias = math.fsum(apart) / len(apart)
    squares = math.fsum((one - bias) ** 2 for one in apart)
    spread = math.sqrt(squares / (len(apart) - 1)) if len(apart) > 1 else 0.0
    return Agreement(
        output, len(apart), bias, bias - 1.96 * spread, bias + 1.96 * spread, max(map(abs, apart))
    )
