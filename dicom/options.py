"""What a requester of C-FIND may negotiate beyond the baseline (PS3.4 C.5.1.1.1)."""

from dataclasses import dataclass
from typing import Final

LENGTH: Final = 4
"""Bytes that mean something here; what stands behind them is not granted."""


@dataclass(frozen=True, slots=True)
class Options:
    """What was agreed on for one SOP class."""

    relational: bool = False
    """Unique keys of upper levels are not needed (C.4.1.2.2, C.4.1.3.2)."""
    combined: bool = False
    """A range of a date and one of its time are one range (C.2.2.2.5.4)."""
    fuzzy: bool = False
    """Fuzzy semantic matching of person names (C.2.2.2.1.1)."""
    zone: bool = False
    """Dates and times of the key are in the zone of its TimezoneOffsetFromUTC."""

    @property
    def encoded(self) -> bytes:
        """Write the Service-class-application-information field (Table C.5-1)."""
        return bytes((self.relational, self.combined, self.fuzzy, self.zone))


NONE: Final = Options()
"""Nothing was negotiated."""
ALL: Final = Options(relational=True, combined=True, fuzzy=True, zone=True)
"""What the node grants to whoever asks for it."""


def agreed(asked: bytes) -> Options:
    """Agree to what a requester asks for; all that there is, is offered.

    A byte is 1 for what is wanted; what is missing is not wanted.
    """
    wanted = [bool(byte & 1) for byte in asked[:LENGTH]]
    return Options(*wanted)
