"""Fetch objects that left the spool from a destination that took them unchanged.

Nothing is given out before all of it was read and its SHA-256 is that of what was received. What
is fetched lies in a file without a name, so that memory stays flat: on the disk of the spool, or in
memory where the spool is encrypted, for nothing may lie on that disk in the clear.
"""

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import structlog

from config.model import Settings
from dicom.entity import Instance
from dicom.errors import Corrupt, Fault, StorageFault
from storage.destinations.base import Destination, Readable
from storage.ledger.copies import Copies, Copy

AWAY_S: Final = 10.0
"""So long a destination that did not answer is not asked again, or each object would wait."""

Open = Callable[[str], Destination]
"""Opens a destination by its name. Raises ConfigFault, Refused."""

log = structlog.get_logger()


class NowhereElse(StorageFault):
    """The bytes left the spool, and no destination gives them back."""

    code = "nowhere-else"


class Fetcher(Protocol):
    """Whoever finds bytes elsewhere: Fetching is one."""

    def fetch(self, instance: Instance) -> BinaryIO:
        """Give the Part 10 bytes as a file that is the caller's own. Raises NowhereElse."""


class Fetching:
    """Reads originals back. Safe to share between threads."""

    def __init__(
        self,
        settings: Settings,
        copies: Copies,
        open_destination: Open,
        free_bytes: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._copies = copies
        self._open = open_destination
        self._free_bytes = free_bytes
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: dict[str, Readable] = {}
        self._away: dict[str, float] = {}

    def fetch(self, instance: Instance) -> BinaryIO:
        """Give the Part 10 bytes of an Instance, proven, as a file at its beginning.

        Raises NowhereElse, which says why, or another StorageFault.
        """
        tried: list[str] = []
        for copy in self._places(instance):
            try:
                return self._from(copy, instance)
            except Fault as fault:
                tried.append(f"{copy.destination}: {fault.code}")
        why = ", ".join(tried) or "no destination of the config took it unchanged"
        raise NowhereElse(f"its bytes are not in the spool, and nowhere else ({why})")

    def close(self) -> None:
        """Give connections back."""
        with self._lock:
            opened, self._opened = self._opened, {}
        for each in opened.values():
            each.close()

    def _places(self, instance: Instance) -> Iterator[Copy]:
        """List where it may be read now; what other nodes staged comes last."""
        for copy in self._copies.of(instance):
            if copy.destination in self._settings.destinations:
                yield copy
        staging = self._settings.staging
        location = self._copies.staged(instance) if staging else None
        if staging and location:
            yield Copy(staging.destination, location)

    def _from(self, copy: Copy, instance: Instance) -> BinaryIO:
        place = self._destination(copy.destination)
        try:
            return self._read(place, copy, instance)
        except Fault as fault:
            if fault.retry:
                self._away[copy.destination] = self._clock() + AWAY_S
            raise

    def _destination(self, name: str) -> Readable:
        if self._away.get(name, 0.0) > self._clock():
            raise StorageFault("did not answer a moment ago")
        with self._lock:
            found = self._opened.get(name)
            if found is None:
                opened = self._open(name)
                if not isinstance(opened, Readable):
                    opened.close()
                    raise StorageFault("gives nothing back")
                found = self._opened[name] = opened
            return found

    def _read(self, place: Readable, copy: Copy, instance: Instance) -> BinaryIO:
        """Read a copy whole. Raises Corrupt unless it is, byte for byte, what was received."""
        length, digest = instance.location.length, hashlib.sha256()
        file = self._scratch(length)
        try:
            for piece in place.fetch(copy.location):
                digest.update(piece)
                file.write(piece)
                if file.tell() > length:
                    break
            _require(digest.hexdigest(), copy, instance)
            file.seek(0)
        except OSError as fault:
            file.close()
            raise StorageFault(f"cannot be kept: {fault.strerror}") from fault
        except BaseException:
            file.close()
            raise
        return file

    def _scratch(self, length: int) -> BinaryIO:
        node = self._settings.node
        if node.spool_key is not None:
            return os.fdopen(os.memfd_create("fetched", os.MFD_CLOEXEC), "w+b")
        if self._free_bytes() - length < node.refuse_mark_mb << 20:
            raise StorageFault("there is no room on the spool's disk to read it into")
        with _as_fault():
            return tempfile.TemporaryFile(dir=_folder(node.data_dir))


def _require(digest: str, copy: Copy, instance: Instance) -> None:
    """Raise Corrupt, and say so in the log, unless a copy is what was received."""
    if digest != instance.digest:
        uid = instance.arrival.sop_instance_uid
        log.error("copy damaged", destination=copy.destination, sop_instance=uid)
        raise Corrupt("holds other bytes than were sent")


def _folder(data_dir: Path) -> Path:
    return data_dir / "spool"


@contextlib.contextmanager
def _as_fault() -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise StorageFault(f"cannot be kept: {fault.strerror}") from fault
