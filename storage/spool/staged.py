"""Read what lies in this spool, and what other nodes staged for us in object storage."""

import hashlib
import mmap
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from dicom.entity import Instance, Location
from dicom.errors import Corrupt, StorageFault
from storage.spool.reader import SpoolReader
from storage.spool.sealing import NO_KEYS, SpoolKeys

Fetch = Callable[[Location, BinaryIO], None]
"""Writes the bytes of a place in another node's spool. Raises Elsewhere, or a DeliveryFault."""
KEPT: Final = 8
"""So many objects stay until others come: the next ones are checked while one is being sent."""


class StagedReader(SpoolReader):
    """Fetches what is not in the spool at hand, one object at a time, into a file without a name.

    `view` and `verify` read both; an object is fetched once for the two. Threads may share it.
    """

    def __init__(self, root: Path, keys: SpoolKeys = NO_KEYS, *, fetch: Fetch) -> None:
        super().__init__(root, keys)
        self._fetch = fetch
        self._fetched: dict[Location, memoryview] = {}
        """What was asked for last comes last."""
        self._fetching = threading.Lock()

    def view(self, location: Location) -> memoryview:
        """Give an Instance's Part 10 bytes, read-only. Raises as SpoolReader does, and Fetch."""
        if self.is_here(location):
            return super().view(location)
        with self._fetching:
            whole = self._fetched.pop(location, None)
            if whole is None:
                whole = self._from_elsewhere(location)
            self._fetched[location] = whole
            if len(self._fetched) > KEPT:
                del self._fetched[next(iter(self._fetched))]
            return whole

    def verify(self, instance: Instance) -> None:
        """Read an Instance whole. Raises Corrupt unless its bytes are those that were received."""
        if self.is_here(instance.location):
            super().verify(instance)
            return
        if hashlib.sha256(self.view(instance.location)).hexdigest() != instance.digest:
            with self._fetching:
                self._fetched.pop(instance.location, None)
            uid = instance.arrival.sop_instance_uid
            raise Corrupt(f"{uid}: what was staged does not match its digest")

    def let_go(self) -> None:
        """Keep nothing mapped, and nothing of what was fetched."""
        super().let_go()
        with self._fetching:
            self._fetched.clear()

    def _from_elsewhere(self, location: Location) -> memoryview:
        folder = self.root.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder) as file:
                self._fetch(location, file)
                file.flush()
                if not file.tell():
                    return memoryview(b"")
                return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        except OSError as fault:
            raise StorageFault(f"{folder}: a staged object cannot be kept: {fault.strerror}") from (
                fault
            )
