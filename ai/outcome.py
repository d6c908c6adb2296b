"""What came of asking a model about a Series: results, findings or a refusal, and how."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from ai.contract import Contract, Served
from ai.findings import Finding
from ai.header import Source
from ai.result import Result
from dicom.errors import BadAnswer, Unsuitable


@dataclass(frozen=True, slots=True)
class Shadow:
    """What another version said beside the one that counts; it is watched and never reported."""

    served: Served
    findings: tuple[Finding, ...]
    endpoint: str
    seconds: float
    words: str = ""
    """Why it said nothing: its refusal, or its fault."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One inference about one Series."""

    results: tuple[Result, ...]
    """The objects to keep and send, the SR first; none where nothing is to be reported."""
    findings: tuple[Finding, ...]
    served: Served
    contract: Contract
    endpoint: str
    """Which server answered; "" where the Series was refused before one was asked."""
    source: Source | None
    """What was measured; None for a Series of another Modality than is wanted."""
    refusal: str = ""
    """Why there are no findings: what the Series lacks, or what the model said against it."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """How long each step took: read, model, report."""
    input_digest: str = ""
    """SHA-256 (hex) of all that the model was given."""
    images: int = 0
    """Instances of the Series."""
    is_cached: bool = False
    """Whether the answer was kept from an earlier, equal question."""
    answers: int = 1
    """How often the model was asked: more than once where the contract asks for mirrored images."""
    spread: Mapping[str, float] = field(default_factory=dict)
    """Where it was asked more than once: standard deviation of each number, by output tensor."""
    shadows: tuple[Shadow, ...] = ()
    features: Mapping[str, float] = field(default_factory=dict)
    """Numbers that say what the model was given: ai/drift.py."""

    @property
    def model_digest(self) -> str:
        """SHA-256 (hex) of what the server says the model is."""
        return model_digest(self.served)


class Broken(BadAnswer):
    """A model that was asked broke its contract; `outcome` says who, and about what."""

    def __init__(self, words: str, outcome: Outcome) -> None:
        super().__init__(words)
        self.outcome = outcome


class Refused(Unsuitable):
    """A refusal that is to be held, as [models.NAME] refused says; `outcome` says of what."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.refusal)
        self.outcome = outcome


def model_digest(served: Served) -> str:
    """Give the digest that a model states (`penumbra.digest`), or one of all that it states.

    Two servers with the same model repository give the same one.
    """
    stated = served.parameters.get("penumbra.digest", "")
    if stated:
        return stated
    facts = {**asdict(served), "parameters": dict(served.parameters), "server": ""}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
