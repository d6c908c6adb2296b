"""Keep connections to destinations between jobs that follow one another closely.

A PACS is associated with once for many small Series, a token of a web server is asked for once, and
a client of a bucket, which takes longer to make than a small object to send, is made once.
Nobody's connection is held for long: some PACS take the end of an association for the end of what
was sent, and most have few to give.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from config.destinations import DicomDestination, ObjectStoreDestination, StowDestination
from config.model import Settings
from node.destinations import destination
from storage.destinations.base import Destination

IDLE_S: Final = 3.0
"""So long without a job, and a connection is given back."""
_KINDS: Final = (DicomDestination, ObjectStoreDestination, StowDestination)


@dataclass(slots=True)
class Kept:
    """One worker's open destinations. Not shared between threads."""

    settings: Settings
    _idle: dict[str, tuple[Destination, float]] = field(default_factory=dict)

    @contextmanager
    def lend(self, name: str) -> Iterator[Destination]:
        """Give a destination for a block, opened or from before; it is kept if all goes well.

        Raises what opening it raises: ConfigFault when the config no longer has it, or Refused.
        """
        place, _ = self._idle.pop(name, (None, 0.0))
        place = place or destination(self.settings, name)
        try:
            yield place
        except BaseException:  # whatever it was: the next job begins afresh
            place.close()
            raise
        if isinstance(self.settings.destinations[name], _KINDS):
            self._idle[name] = place, time.monotonic()
        else:
            place.close()

    def rest(self, idle_s: float = IDLE_S) -> None:
        """Close what no job has used for so long; called between jobs."""
        before = time.monotonic() - idle_s
        for name, (place, used_at) in list(self._idle.items()):
            if used_at <= before:
                del self._idle[name]
                place.close()

    def close(self) -> None:
        """Close all."""
        self.rest(0)
