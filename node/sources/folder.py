"""A watched folder: what is complete in it, and moving or deleting what is through.

Looked through again and again, which works on every file system, mounted shares too. Links are not
followed, and a file is touched only while it is the one that was found.
"""

import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from dicom.errors import StorageFault
from node.sources.place import REJECTED, TAKEN, Changed, Entry

MOST_WATCHED: Final = 50_000
"""So many files that may still grow are remembered at once; the others wait for their turn."""
_GONE: Final = (FileNotFoundError, NotADirectoryError)
_LONGEST_NAME: Final = 200
"""Bytes; file systems take 255, and a reason's name is longer than its file's."""


class FolderPlace:
    """A folder and those below it."""

    def __init__(
        self, root: Path, quiet_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._root = root
        self._quiet_s = quiet_s
        self._clock = clock
        self._watched: dict[str, tuple[str, float]] = {}
        """Files that may still grow: their state, and since when they have been in it."""
        self._next: dict[str, tuple[str, float]] = {}

    @property
    def where(self) -> str:
        """The folder's path."""
        return f"folder {self._root}"

    def entries(self) -> Iterator[Entry]:
        """List files as the system gives them, folder by folder."""
        with _faults(self._root):
            if not self._root.is_dir():
                raise StorageFault(f"{self._root} is not there: make the folder, or mount it")
        self._watched, self._next = self._next, {}
        yield from self._below("")

    def find(self, key: str) -> Entry | None:
        """Look at one file."""
        with _faults(self._root):
            try:
                facts = os.lstat(self._root / key)
            except (*_GONE, ValueError):
                return None
            is_ours = key.partition("/")[0] in {TAKEN, REJECTED}
            return None if is_ours or not stat.S_ISREG(facts.st_mode) else self._entry(key, facts)

    def wait_for(self, entry: Entry) -> None:
        """Remember since when a file has been as it is."""
        if len(self._next) < MOST_WATCHED:
            known, since = self._watched.get(entry.key, ("", 0.0))
            self._next[entry.key] = entry.state, since if known == entry.state else self._clock()

    def ahead(self, entries: Sequence[Entry]) -> None:
        """Files are here already."""

    @contextlib.contextmanager
    def fetch(self, entry: Entry) -> Iterator[Path]:
        """Give the file itself."""
        self._require(entry)
        yield self._root / entry.key

    def remove(self, entry: Entry) -> None:
        """Delete a file."""
        self._require(entry)
        with _faults(self._root), contextlib.suppress(*_GONE):
            (self._root / entry.key).unlink()

    def put_aside(self, entry: Entry, folder: str, reason: str = "") -> None:
        """Move a file, below the same sub-folders; never over another one."""
        self._require(entry)
        with _faults(self._root):
            target = self._root / folder / entry.key
            target.parent.mkdir(parents=True, exist_ok=True)
            target = _unused(target)
            if reason:  # first: whoever finds the file finds why it is there
                note = target.with_name(_cut(target.name) + ".reason.txt")
                note.write_text(reason + "\n", "utf-8")
            (self._root / entry.key).rename(target)

    def close(self) -> None:
        """Hold nothing open."""

    def _below(self, folder: str) -> Iterator[Entry]:
        folders: list[str] = []
        with _faults(self._root):
            try:
                listed = os.scandir(self._root / folder)
            except _GONE:
                return
        with listed:
            while True:
                with _faults(self._root):
                    each = next(listed, None)
                    entry = self._of(each, folder, folders) if each else None
                if each is None:
                    break
                if entry is not None:
                    yield entry
        for name in folders:
            yield from self._below(name)

    def _of(self, each: "os.DirEntry[str]", folder: str, folders: list[str]) -> Entry | None:
        key = f"{folder}/{each.name}" if folder else each.name
        if each.is_dir(follow_symlinks=False):
            is_ours = not folder and each.name in {TAKEN, REJECTED}
            if not is_ours and not each.name.startswith("."):
                folders.append(key)
            return None
        try:
            facts = each.stat(follow_symlinks=False)
        except _GONE:
            return None
        return self._entry(key, facts) if stat.S_ISREG(facts.st_mode) else None

    def _entry(self, key: str, facts: os.stat_result) -> Entry:
        mark = f"{facts.st_size}-{facts.st_mtime_ns:x}"
        # The time of change too: tools that copy times set them before they have written all.
        state = f"{facts.st_ino}-{mark}-{facts.st_ctime_ns:x}"
        return Entry(key, facts.st_size, mark, state, self._is_quiet(key, state))

    def _is_quiet(self, key: str, state: str) -> bool:
        if not self._quiet_s:
            return True
        known, since = self._watched.get(key, ("", 0.0))
        return known == state and self._clock() - since >= self._quiet_s

    def _require(self, entry: Entry) -> None:
        found = self.find(entry.key)
        if found is None or found.state != entry.state:
            raise Changed


def _cut(name: str) -> str:
    raw = os.fsencode(name)
    return name if len(raw) <= _LONGEST_NAME else os.fsdecode(raw[:_LONGEST_NAME])


def _unused(target: Path) -> Path:
    """Find a name that no file has: the wanted one, or one with a number."""
    number, found = 1, target
    while os.path.lexists(found):
        number += 1
        found = target.with_name(f"{number}-{_cut(target.name)}")
    return found


@contextlib.contextmanager
def _faults(root: Path) -> Iterator[None]:
    """Name the folder and never the file in it."""
    try:
        yield
    except OSError as fault:
        raise StorageFault(f"{root} cannot be used: {fault.strerror}") from fault
