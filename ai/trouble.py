"""What a failing inference server means for the pool: whether to wait, go elsewhere, or give up.

Pure: status words of gRPC and a server's message in, a decision out.
"""

import difflib
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from dicom.errors import ModelUnavailable


class Trouble(StrEnum):
    """Why an endpoint did not answer, as far as the pool treats it in another way."""

    BUSY = "busy"
    """Its queue is full: it lives, and wants patience."""
    AWAY = "away"
    """Nobody answers there, or the connection broke."""
    ABSENT = "absent"
    """It has no such model or version, or not any more."""
    FAILED = "failed"
    """The model fell over."""
    DEAD_PROCESS = "dead-process"
    """The model's process is gone; Triton starts it again only when the model is loaded anew."""
    SLOW = "slow"
    """It took longer than its share of the time."""
    LOST_MEMORY = "lost-memory"
    """It does not know a region of shared memory: it was started again."""
    LOST_SEQUENCE = "lost-sequence"
    """It does not know a sequence that was begun: it was started again, or forgot it."""


BLAMING: Final = frozenset({Trouble.AWAY, Trouble.FAILED, Trouble.DEAD_PROCESS, Trouble.SLOW})
"""What a breaker counts. A full queue is no fault, and a missing model is noted otherwise."""

_LONGEST: Final = 200
_WRONG: Final = frozenset({"INVALID_ARGUMENT", "UNIMPLEMENTED", "OUT_OF_RANGE"})
"""The server understood and says no; it will say no again, and so will others."""
_BY_STATUS: Final = {
    "NOT_FOUND": Trouble.ABSENT,
    "DEADLINE_EXCEEDED": Trouble.SLOW,
    "INTERNAL": Trouble.FAILED,
    "RESOURCE_EXHAUSTED": Trouble.BUSY,
    "ABORTED": Trouble.FAILED,
}
_SAID: Final = (
    ("exceeds maximum queue size", Trouble.BUSY),
    ("is not healthy", Trouble.DEAD_PROCESS),
    ("shared memory region", Trouble.LOST_MEMORY),
    ("must specify the start flag", Trouble.LOST_SEQUENCE),
)
"""What Triton says, in small letters, where the status alone tells too little."""


class Troubled(ModelUnavailable):
    """An endpoint that did not answer, and why."""

    def __init__(self, words: str, trouble: Trouble) -> None:
        self.trouble = trouble
        super().__init__(words)


def why_absent(model: str, there: Sequence[tuple[str, str, str]]) -> str:
    """Say why a model is not ready, in words to put behind that; "" where nobody knows.

    `there` lists the server's models as it has them: name, version, and what is wrong with it.
    """
    rows = [(version, reason) for name, version, reason in there if name == model]
    if not rows:
        names = sorted({name for name, _, _ in there})
        near = difflib.get_close_matches(model, names, n=1)
        return f"; it has no such model, did you mean {near[0]}?" if near else ""
    reasons = [f"version {version or '?'}: {reason}" for version, reason in rows if reason]
    return one_line(f"; {'; '.join(reasons)}") if reasons else ""


def one_line(said: str) -> str:
    """Give the first line of what a server says, short and printable: it goes into logs."""
    lines = said.strip().splitlines()
    return "".join(sign for sign in (lines[0] if lines else "") if sign.isprintable())[:_LONGEST]


def classify(status: str, message: str) -> Trouble | None:
    """Say what a gRPC status and its message mean; None where the request itself is wrong."""
    said = message.lower()
    for words, trouble in _SAID:
        if words in said:
            return trouble
    if status in _WRONG or (status == "RESOURCE_EXHAUSTED" and "larger than max" in said):
        return None
    return _BY_STATUS.get(status, Trouble.AWAY)
