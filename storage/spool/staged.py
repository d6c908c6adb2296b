"""Read what lies in this spool, and what other nodes staged for us in object storage."""

import hashlib
import mmap
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from dicom.entity import Instance, Location
from dicom.errors import Corrupt, StorageFault
from storage.spool.reader import SpoolReader
from storage.spool.sealing import NO_KEYS, SpoolKeys

Fetch = Callable[[Location, BinaryIO], None]
"""Writes the bytes of a place in another node's spool. Raises Elsewhere, or a DeliveryFault."""


class StagedReader(SpoolReader):
    """Fetches what is not in the spool at hand, one object at a time, into a file without a name.

    `view` and `verify` read both; an object is fetched once for the two.
    """

    def __init__(self, root: Path, keys: SpoolKeys = NO_KEYS, *, fetch: Fetch) -> None:
        super().__init__(root, keys)
        self._fetch = fetch
        self._fetched: tuple[Location, memoryview] | None = None

    def view(self, location: Location) -> memoryview:
        """Give an Instance's Part 10 bytes, read-only. Raises as SpoolReader does, and Fetch."""
        if self.is_here(location):
            return super().view(location)
        if self._fetched is None or self._fetched[0] != location:
            self._fetched = None
            self._fetched = location, self._from_elsewhere(location)
        return self._fetched[1]

    def verify(self, instance: Instance) -> None:
        """Read an Instance whole. Raises Corrupt unless its bytes are those that were received."""
        if self.is_here(instance.location):
            super().verify(instance)
            return
        if hashlib.sha256(self.view(instance.location)).hexdigest() != instance.digest:
            self._fetched = None
            uid = instance.arrival.sop_instance_uid
            raise Corrupt(f"{uid}: what was staged does not match its digest")

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
