"""What went wrong with single objects of a delivery, told after the last of them."""

from dataclasses import dataclass, field
from typing import Final

from dicom.errors import Busy, Refused, Unreachable
from dicom.scu import Rejected
from dicom.wire import AssociationLost

IN_A_ROW: Final = 3
"""So many objects not taken for now, with no other between them, and the rest can wait."""


@dataclass(slots=True)
class Tally:
    """The faults of one delivery so far."""

    owed: list[Unreachable | Busy] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    in_a_row: int = 0

    def took(self) -> None:
        """Note that an object was taken."""
        self.in_a_row = 0

    def note(self, fault: BaseException) -> None:
        """Keep the fault of one object; raise the one after which no other would fare better."""
        if not is_of_one_object(fault):
            raise fault
        if isinstance(fault, Refused):
            self.refused.append(fault)
            return
        assert isinstance(fault, (AssociationLost, Busy))  # there are no others of one object
        self.owed.append(fault)
        self.in_a_row += 1
        if self.in_a_row >= IN_A_ROW:
            raise fault

    def settle(self) -> None:
        """Raise what is left to tell; what is still owed before what was refused."""
        if self.owed:  # what was refused is refused again then
            first = self.owed[0]
            if len(self.owed) == 1:
                raise first
            raise type(first)(f"{len(self.owed)} objects have to wait, first: {first}")
        if self.refused:
            raise Refused(f"{len(self.refused)} refused, first: {self.refused[0]}")


def is_of_one_object(fault: BaseException) -> bool:
    """Whether another object may fare better at once."""
    return isinstance(fault, (Refused, AssociationLost, Busy)) and not isinstance(fault, Rejected)
