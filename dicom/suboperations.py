"""The C-STOREs that a retrieval consists of: counted, judged, and summed up (PS3.4 C.4.2.1)."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from dicom import status
from dicom.store_answer import Meaning, row

_MOST: Final = 0xFFFF
"""The counts are of VR US; what is more is told as this."""


class Outcome(StrEnum):
    """What became of one sub-operation: a label of the metrics, so the set is fixed."""

    COMPLETED = "completed"
    WARNING = "warning"
    FAILED = "failed"


class Counts(NamedTuple):
    """Numbers of sub-operations as a response tells them (PS3.7 9.3.3.2, 9.3.4.2)."""

    remaining: int
    completed: int
    failed: int
    warning: int


_OUTCOMES: Final = {
    Meaning.STORED: Outcome.COMPLETED,
    Meaning.WARNED: Outcome.WARNING,
    # A failure by its number; but the receiver has the object.
    Meaning.THERE: Outcome.WARNING,
}


def judge(code: int) -> Outcome:
    """Say what a receiver's answer to C-STORE means for the sub-operation."""
    return _OUTCOMES.get(row(code).meaning, Outcome.FAILED)


@dataclass(slots=True)
class Tally:
    """The sub-operations of one retrieval."""

    total: int
    completed: int = 0
    warning: int = 0
    failed_uids: list[str] = field(default_factory=list)
    """SOP Instance UIDs of what failed, in order."""

    @property
    def remaining(self) -> int:
        """How many have not ended."""
        return self.total - self.completed - self.warning - len(self.failed_uids)

    def note(self, outcome: Outcome, sop_instance_uid: str) -> None:
        """Count one that has ended."""
        if outcome is Outcome.COMPLETED:
            self.completed += 1
        elif outcome is Outcome.WARNING:
            self.warning += 1
        else:
            self.failed_uids.append(sop_instance_uid)

    def counts(self) -> Counts:
        """Give the numbers as they are now."""
        failed = len(self.failed_uids)
        every = self.remaining, self.completed, failed, self.warning
        return Counts(*(min(each, _MOST) for each in every))

    def final(self) -> int:
        """Give the status of the last response, where nothing cut the retrieval short.

        Success where all were completed, or there was nothing to do; refused where none came
        through; otherwise the warning that not all went well (PS3.4 Table C.4-2, C.4-3).
        """
        if self.completed == self.total:
            return status.SUCCESS
        if len(self.failed_uids) == self.total:
            return status.UNABLE_TO_PERFORM
        return status.SOME_FAILED
