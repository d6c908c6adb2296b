"""What the listener asks of a DIMSE service, so that a new one is one file and one row."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pynetdicom.events import InterventionEvent
from pynetdicom.presentation import PresentationContext

Handler = tuple[InterventionEvent, Callable[..., Any]]


class Service(Protocol):
    """A DIMSE service that pynetdicom dispatches to: its presentation contexts and handlers."""

    def contexts(self) -> Sequence[PresentationContext]:
        """List the presentation contexts to accept."""

    def handlers(self) -> Sequence[Handler]:
        """List pynetdicom events with what answers them.

        A handler runs on its association's thread. It must answer a Fault by its status itself:
        what it raises reaches the peer as "unable to process".
        """
