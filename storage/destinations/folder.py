"""A folder that receives Part 10 files: written aside, synced, read back, then named."""

import contextlib
import errno
import hashlib
import os
import secrets
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from config.destinations import FolderDestination
from dicom.errors import Busy, Refused, Unreachable
from storage.destinations.base import Delivered, Outgoing, Proof, Receipt, compared
from storage.keys import conflict_key, object_key

_HERE: Final = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
"""Tells this machine's unfinished files from those of other nodes with the same folder."""
LEFT_S: Final = 3600.0
"""A part that nobody has written to for so long is left over."""
READ_BYTES: Final = 1 << 20
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems without hard links say (some mounts of Windows shares)."""
_FORBIDDEN: Final = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_FOLDER: Final = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
)


class Folder:
    """A folder on this machine, or one that is mounted."""

    def __init__(self, name: str, settings: FolderDestination) -> None:
        self._name = name
        self._root = settings.path
        self._key = settings.key

    def check(self) -> None:
        """Raise Refused when the folder may not be written, Unreachable when it cannot be made."""
        with _faults(self._root):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK | os.X_OK):
                raise Refused(f"{self._root}: may not be written")

    def send(self, objects: Iterable[Outgoing]) -> Iterator[Receipt]:
        """Deliver objects in order; see the contract in base.py."""
        for outgoing in objects:
            with _faults(self._root):
                receipt = self._deliver(outgoing)
            yield receipt

    def prove(self, delivered: Sequence[Delivered]) -> Iterator[Proof]:
        """Read each file again; see the contract in base.py."""
        with _faults(self._root):
            next(self._root.iterdir(), None)  # a mount that is gone is no proof of loss
        for each in delivered:
            with _faults(self._root):
                try:
                    found = _digest(self._root / each.receipt.location)
                except FileNotFoundError:
                    found = ""
            yield compared(each.receipt, found)

    def fetch(self, location: str) -> Iterator[bytes]:
        """Read the file of a receipt's location, piece by piece. Raises as `send` does."""
        with _faults(self._root), (self._root / location).open("rb") as file:
            while piece := file.read(READ_BYTES):
                yield piece

    def replace(self, key: str, content: bytes) -> str:
        """Put a file of the node's own, also where one is, and give its location.

        It was read back whole when this returns. Raises Unreachable, Busy or Refused.
        """
        path = self._root / key
        aside = path.with_name(f".{path.name}.{_HERE}-{os.getpid()}-{secrets.token_hex(4)}.part")
        with _faults(self._root):
            self._make(path.parent)
            _tidy(path)
            try:
                with aside.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                if _digest(aside) != hashlib.sha256(content).hexdigest():
                    raise Unreachable(f"{path.name} reads back with other bytes than were written")
                aside.replace(path)
            finally:
                aside.unlink(missing_ok=True)
            _sync(path.parent)
        return key

    def remove(self, locations: Sequence[str]) -> None:
        """Remove files by their locations; what is not there is removed already."""
        with _faults(self._root):
            for location in locations:
                (self._root / location).unlink(missing_ok=True)

    def close(self) -> None:
        """Hold nothing open."""

    def _deliver(self, outgoing: Outgoing) -> Receipt:
        digest, key = outgoing.digest(), object_key(outgoing, self._key, self._name)
        if not self._place(self._root / key, outgoing, digest):
            key = conflict_key(key, digest)
            if not self._place(self._root / key, outgoing, digest):
                raise Unreachable(f"{key} reads back with another digest than was written")
        return Receipt(
            destination=self._name,
            source_digest=outgoing.source_digest,
            sop_instance_uid=outgoing.sop_instance_uid,
            location=key,
            digest_sent=digest,
            digest_read_back=digest,  # _place compared it with what it read
            proof="read-back",
            delivered_at=time.time(),
        )

    def _place(self, path: Path, outgoing: Outgoing, digest: str) -> bool:
        """Bring a file to its name, for good; False when another has that name."""
        self._make(path.parent)
        is_ours = not path.exists() and self._write(path, outgoing, digest)
        if not is_ours and _digest(path) != digest:
            return False
        _sync(path.parent)  # also for a file that an earlier, killed worker named
        return True

    def _write(self, path: Path, outgoing: Outgoing, digest: str) -> bool:
        """Write, read back and name a file; False when another took the name meanwhile."""
        _tidy(path)
        mine = f"{_HERE}-{os.getpid()}-{secrets.token_hex(4)}"
        aside = path.with_name(f".{path.name}.{mine}.part")
        try:
            with aside.open("xb") as file:
                for chunk in outgoing.chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                # Written, it may leave the cache: what is read back then comes from the disk.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            if _digest(aside) != digest:
                raise Unreachable(f"{path.name} reads back with another digest than was written")
            return _name(aside, path)
        finally:
            aside.unlink(missing_ok=True)

    def _make(self, folder: Path) -> None:
        """Make a folder and those above it, each made known to its parent for good."""
        if folder.is_dir():
            return
        if folder != folder.parent:
            self._make(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _tidy(path: Path) -> None:
    """Remove what a worker that was killed left aside; another node may be writing its own."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        host, _, pid = left.name.split(".")[-2].rpartition("-")[0].partition("-")
        with contextlib.suppress(FileNotFoundError):
            is_dead = host == _HERE and not Path(f"/proc/{pid}").exists()
            if is_dead or time.time() - left.stat().st_mtime > LEFT_S:
                left.unlink()


def _name(aside: Path, path: Path) -> bool:
    """Give a finished file its name; False when another has taken it meanwhile."""
    try:
        # link, not rename: it never replaces what came there in between
        os.link(aside, path)
    except FileExistsError:
        return False
    except OSError as fault:
        if fault.errno not in _NO_LINKS or path.exists():
            raise
        aside.rename(path)
    return True


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def _faults(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        if fault.errno in _FULL:
            raise Busy(f"{root}: {fault.strerror}") from fault
        if fault.errno in _FORBIDDEN | _NO_FOLDER:
            raise Refused(f"{root}: {fault.strerror}") from fault
        raise Unreachable(f"{root}: {fault.strerror}") from fault
