"""Where servers keep their stores while they are measured, on the disk that is measured.

Files are emptied and moved aside, not removed, between measurements: ext4 steps over the numbers
of recently removed files one by one, and every server that creates files would pay for it minutes
later. All of them are removed at the end.
"""

import contextlib
import fcntl
import itertools
import os
import shutil
from pathlib import Path


class InUse(RuntimeError):  # noqa: N818  (a fact about the folder)
    """Another run uses the folder; the message says what to do."""


class Scratch:
    """A folder for stores, of one run at a time; `remove` ends it. Raises InUse."""

    def __init__(self, folder: Path) -> None:
        self._live, self._aside = folder / "stores", folder / "aside"
        self._lock = (folder / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise InUse(
                f"another run measures in {folder}: wait for its end, because two that run at"
                " once spoil each other's numbers"
            ) from None
        self._clear()  # what an interrupted run left
        self._live.mkdir(parents=True)
        self._aside.mkdir()
        self._numbers = itertools.count(1)
        self.file_system = file_system(self._live)

    def empty(self, name: str) -> Path:
        """Make an empty folder for a server."""
        made = self._live / f"{next(self._numbers):04d}-{name}"
        made.mkdir()
        return made

    def retire(self, store: Path) -> None:
        """Give a store's blocks back and move it out of the way; its log stays readable."""
        for file in store.rglob("*"):
            if file.is_file() and file.suffix != ".log":
                with contextlib.suppress(OSError):
                    os.truncate(file, 0)
        store.rename(self._aside / store.name)

    def remove(self) -> None:
        """Remove every store, and let the next run in."""
        self._clear()
        self._lock.close()

    def _clear(self) -> None:
        for folder in (self._live, self._aside):
            shutil.rmtree(folder, ignore_errors=True)


def file_system(folder: Path) -> str:
    """Name the type of the file system that a folder is on, from /proc/mounts."""
    where = str(folder.resolve())
    best = ("", "unknown")
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        inside = where == mount or where.startswith(mount.rstrip("/") + "/")
        if inside and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
