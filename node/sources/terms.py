"""What a door is told at its start, what it needs from the node, and what it tells of a look."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from config.sources import After
from dicom.entity import Origin
from storage.ledger.events import NewEvent


class Brake(Protocol):
    """Knows the room on the spool's disk: node.watermarks.Watermarks is one."""

    @property
    def pause_s(self) -> float:
        """How long to wait after an object."""

    def trouble(self) -> str:
        """Say why nothing new should come in; "" when it may."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the config says of a source."""

    name: str
    origin: Origin
    ae_title: str
    called_ae: str
    after: After
    sidecar_wait_s: float
    largest_bytes: int
    classes: frozenset[str]
    """The SOP classes that the node stores."""
    scratch: Path
    """A folder of its own in data_dir."""
    machine: str = ""
    """Whose folder it is, where nodes on several machines share one ledger."""


Tell = Callable[[list[NewEvent]], None]


@dataclass(slots=True)
class Tally:
    """What one look brought."""

    taken: int = 0
    waiting: int = 0
    unreadable: int = 0
    """Of those that wait: files that the node's user may not read."""
    rejected: Counter[str] = field(default_factory=Counter)
    trouble: str = ""
    """Why what was taken or rejected could not be put away."""
