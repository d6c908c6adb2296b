"""What a result is about: the Series, the model that answered, and what it found or refused."""

from dataclasses import dataclass

from ai.contract import Contract, Served
from ai.findings import Finding
from ai.header import Source


@dataclass(frozen=True, slots=True)
class Subject:
    """Everything that the objects about one inference are made of."""

    source: Source
    contract: Contract
    served: Served
    findings: tuple[Finding, ...]
    refusal: str = ""
    """Why there are none: what the Series lacks, or what the model said against it."""
