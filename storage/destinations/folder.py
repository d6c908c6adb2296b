"""A folder that receives Part 10 files: written aside, synced, read back, then named."""

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from config.model import FolderDestination
from dicom.errors import Busy, Refused, Unreachable
from storage.destinations.base import Outgoing, Receipt
from storage.keys import conflict_key, object_key


class Folder:
    """A folder on this machine, or one that is mounted."""

    def __init__(self, name: str, settings: FolderDestination) -> None:
        self._name = name
        self._root = settings.path

    def check(self) -> None:
        """Raise Unreachable when the folder cannot be made or written."""
        with _faults(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK):
                raise Unreachable(f"{self._root} cannot be written")

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects in order; see the contract in base.py."""
        for outgoing in objects:
            with _faults(self._root):
                yield self._deliver(outgoing)

    def close(self) -> None:
        """Hold nothing open."""

    def _deliver(self, outgoing: Outgoing) -> Receipt:
        digest, key = outgoing.digest(), object_key(outgoing)
        path = self._root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and _digest(path) != digest:
            path = self._root / conflict_key(key, digest)
        if not path.exists():
            self._write(path, outgoing)
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=str(path.relative_to(self._root)),
            digest_sent=digest,
            digest_read_back=_proven(path, digest),
            proof="read-back",
            delivered_at=time.time(),
        )

    def _write(self, path: Path, outgoing: Outgoing) -> None:
        aside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            with aside.open("wb") as file:
                for chunk in outgoing.chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
            # link, not rename: it never replaces what came there in between
            with contextlib.suppress(FileExistsError):
                os.link(aside, path)
        finally:
            aside.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _proven(path: Path, digest: str) -> str:
    found = _digest(path)
    if found != digest:
        raise Unreachable(f"{path.name} reads back with another digest than was written")
    return found


@contextlib.contextmanager
def _faults(root: Path) -> Iterator[None]:
    try:
        yield
    except PermissionError as fault:
        raise Refused(f"{root}: {fault.strerror}") from fault
    except OSError as fault:
        kind = Busy if fault.errno in {28, 122} else Unreachable  # ENOSPC, EDQUOT
        raise kind(f"{root}: {fault.strerror}") from fault
