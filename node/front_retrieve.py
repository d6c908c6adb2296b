"""What retrieval consists of in the front, put together from its parts."""

import time
from dataclasses import dataclass

from config.model import Settings
from node.destinations import destination
from node.fetching import Fetching
from node.originals import Originals
from node.retrieving import RetrievalWatcher, Retrieving
from node.services.get import GetService
from node.services.move import MoveService
from node.services.table import Service
from node.transcoding import Transcoding
from storage.index.database import Index
from storage.ledger.ledger import Ledger
from storage.spool.reader import SpoolReader
from storage.spool.spool import Spool


@dataclass(frozen=True, slots=True)
class Retrievals:
    """The parts that C-MOVE, C-GET and DICOMweb retrieve with."""

    originals: Originals
    services: tuple[Service, ...]
    _fetching: Fetching
    _transcoding: Transcoding

    @property
    def transcoding(self) -> Transcoding:
        """What gives objects in other transfer syntaxes."""
        return self._transcoding

    def close(self) -> None:
        """End threads and processes, and give connections back."""
        self.originals.close()
        self._transcoding.close()
        self._fetching.close()


def retrievals(
    settings: Settings,
    ledger: Ledger,
    index: Index,
    spool: tuple[Spool, SpoolReader],
    *,
    watcher: RetrievalWatcher | None = None,
) -> Retrievals:
    """Make them; nothing connects and no process runs until somebody asks."""
    free_bytes, reader = spool[0].free_bytes, spool[1]
    fetching = Fetching(
        settings, ledger.copies, lambda name: destination(settings, name), free_bytes
    )
    originals = Originals(index, reader, ledger.holdings, time.time, fetching)
    transcoding = Transcoding()
    retrieving = Retrieving(
        originals, transcoding, at_once=settings.retrieve.at_once, watcher=watcher
    )
    services = MoveService(settings, retrieving), GetService(settings, retrieving)
    return Retrievals(originals, services, fetching, transcoding)
