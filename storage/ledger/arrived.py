"""What the node learns of a stored object by reading it once: its digest, its place, its texts."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from dicom.entity import Instance, SeriesKey
from dicom.errors import Fault

if TYPE_CHECKING:  # the ledger is looked into by many who read no object
    from dicom.head import Texts
    from storage.index.heads import HeadRow
    from storage.spool.record import Record

NOWHERE = SeriesKey("", "")
UNREAD = ""
"""The digest of an object whose bytes could not be read; the ledger marks it by its place."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """An object from the log with what its head says, or why its head says nothing."""

    instance: Instance
    key: SeriesKey = NOWHERE
    texts: "Texts" = field(default_factory=dict)
    fault: Fault | None = None


class Readings(Protocol):
    """Reads batches of records, first in, first out. What is wrong with one is that one's fault."""

    def submit(self, records: "Sequence[Record]") -> None:
        """Have a batch read."""

    def collect(self) -> list[Arrived]:
        """Give the oldest batch that was submitted, in its order."""

    def heads(self, records: "Sequence[Record]") -> "list[HeadRow | None]":
        """Make heads for the index, while nothing else is submitted; see `Heading`."""

    def forget(self) -> None:
        """Drop what was submitted and not collected, and what later heads would refer to."""
