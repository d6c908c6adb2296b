"""What the listener asks of a DIMSE service, so that a new one is one file and one row."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pynetdicom.events import InterventionEvent
from pynetdicom.presentation import PresentationContext

from config.model import Permission

Handler = tuple[InterventionEvent, Callable[..., Any]]


class Service(Protocol):
    """A DIMSE service that pynetdicom dispatches to: its presentation contexts and handlers."""

    permission: Permission | None
    """What a caller needs for its contexts to be accepted; None where anybody may."""

    def contexts(self) -> Sequence[PresentationContext]:
        """List the presentation contexts to accept."""

    def handlers(self) -> Sequence[Handler]:
        """List pynetdicom events with what answers them.

        A handler runs on its association's thread. It must answer a Fault by its status itself:
        what it raises reaches the peer as "unable to process".
        """
