"""Fuzz the lane in process: damaged recordings in, and every result held against the reference.

Case N of a seed is always the same, whatever the time it is given.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import structlog

from tests.fuzz import desk, golden
from tests.fuzz.judge import faults
from tests.fuzz.mutate import mutated

ENDS = ("eof", "eof", "silence", "reset")
MAX_PDUS = (4096, 16384)
PIECES = (*[1 << 20] * 6, 4096, 1000, 500, 61)
LONG, LONG_SHARE = 200, 0.005
"""Some streams begin with so many honest messages that the lane's buffer comes to its end."""
EXPECTED_EVENTS = {"object refused"}
"""What the lane may log over damaged input; anything else is a finding."""


@dataclass(frozen=True)
class Case:
    """One stream, and how to make it again."""

    seed: int
    number: int
    recording: golden.Golden
    said: bytes
    end: str
    max_pdu: int
    piece: int


@dataclass(frozen=True)
class Finding:
    """Something that must not be."""

    words: list[str]
    seed: int
    number: int
    said: bytes = b""

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, case {self.number}:", *self.words]
        return "\n".join([*lines, *([self.said.hex()] if self.said else []), ""])


def case(seed: int, number: int, recordings: list[golden.Golden]) -> Case:
    """Make a case of its seed and number."""
    chance = Random(f"{seed}/{number}")
    one = chance.choice(recordings)
    is_long = chance.random() < LONG_SHARE
    said = mutated(chance, one.pdus[1:], recordings)
    return Case(
        seed,
        number,
        one,
        one.messages * LONG + said if is_long else said,
        chance.choice(ENDS),
        chance.choice(MAX_PDUS),
        1 << 20 if is_long else chance.choice(PIECES),
    )


def judge(one: Case) -> Finding | None:
    """Let the lane read it; returns what is wrong, if anything."""
    with structlog.testing.capture_logs() as lines:
        try:
            result = desk.run(one.said, one.end, one.recording.contexts, one.max_pdu, one.piece)
        except Exception as fault:  # noqa: BLE001  (whatever gets out is what is looked for)
            words = [f"{type(fault).__name__} got out of the lane: {fault}"]
            return Finding(words, one.seed, one.number, one.said)
    words = faults(result, one.said, one.recording.contexts, one.max_pdu)
    words += [f"logged: {line}" for line in lines if line["event"] not in EXPECTED_EVENTS]
    return Finding(words, one.seed, one.number, one.said) if words else None


def run(seed: int, seconds: float) -> Iterator[Finding | int]:
    """Yield findings as they come, and at the end how many cases were tried."""
    recordings = golden.load_all()
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        finding = judge(case(seed, number, recordings))
        if finding is not None:
            yield finding
        number += 1
    yield number
