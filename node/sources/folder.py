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
from node.sources import reach
from node.sources.place import REJECTED, TAKEN, Changed, Entry, Local, state_of

MOST_WATCHED: Final = 50_000
"""So many files that may still grow are remembered at once; the others wait for their turn."""
DEEPEST: Final = 64
"""Folders in folders; what lies deeper is not looked at."""
_GONE: Final = (FileNotFoundError, NotADirectoryError)
_ON_ITS_WAY: Final = ".penumbra-"
"""Before the name of a file that is about to be deleted."""


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
        self._unseen = 0

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
        self._unseen = 0
        folders = [""]
        while folders:
            yield from self._inside(folders.pop(), folders)

    def unseen(self) -> int:
        """Count the folders that the node's user may not look into, or that lie too deep."""
        return self._unseen

    def find(self, key: str) -> Entry | None:
        """Look at one file."""
        folder, _, name = key.rpartition("/")
        if key.partition("/")[0] in {TAKEN, REJECTED}:
            return None
        with _faults(self._root):
            try:
                with reach.opened(self._root, folder) as inside:
                    facts = reach.look(inside, name)
            except (*_GONE, ValueError):
                return None
        return self._entry(key, facts) if stat.S_ISREG(facts.st_mode) else None

    def wait_for(self, entry: Entry) -> None:
        """Remember since when a file has been as it is."""
        if len(self._next) < MOST_WATCHED:
            known, since = self._watched.get(entry.key, ("", 0.0))
            self._next[entry.key] = entry.state, since if known == entry.state else self._clock()

    def ahead(self, entries: Sequence[Entry]) -> None:
        """Files are here already."""

    @contextlib.contextmanager
    def fetch(self, entry: Entry) -> Iterator[Local]:
        """Give the file itself."""
        self._require(entry)
        yield Local(self._root / entry.key, entry.state)

    def remove(self, entry: Entry) -> None:
        """Delete a file."""
        folder, _, name = entry.key.rpartition("/")
        with self._reached(entry, folder) as inside:
            hidden = reach.unused(inside, _ON_ITS_WAY + reach.cut(name))
            self._rename(entry, (inside, name), (inside, hidden))
            os.unlink(hidden, dir_fd=inside)

    def put_aside(self, entry: Entry, folder: str, reason: str = "") -> None:
        """Move a file, below the same sub-folders; never over another one."""
        inner, _, name = entry.key.rpartition("/")
        aside = f"{folder}/{inner}".rstrip("/")
        with (
            self._reached(entry, inner) as inside,
            reach.opened(self._root, aside, make=True) as target,
        ):
            free = reach.unused(target, name)
            if reason:  # first: whoever finds the file finds why it is there
                reach.write(target, reach.cut(free) + ".reason.txt", reason + "\n")
            self._rename(entry, (inside, name), (target, free))

    def close(self) -> None:
        """Hold nothing open."""

    @contextlib.contextmanager
    def _reached(self, entry: Entry, folder: str) -> Iterator[int]:
        """Open an entry's folder, if it is still what was found."""
        self._require(entry)
        with _faults(self._root):
            try:
                with reach.opened(self._root, folder) as inside:
                    yield inside
            except FileNotFoundError as why:
                raise Changed from why

    def _rename(self, entry: Entry, old: tuple[int, str], new: tuple[int, str]) -> None:
        """Rename a file, and back again if another one had come under its name by then."""
        os.rename(old[1], new[1], src_dir_fd=old[0], dst_dir_fd=new[0])
        if _but_for_change(state_of(reach.look(*new[:2]))) != _but_for_change(entry.state):
            free = reach.unused(*old)
            os.rename(new[1], free, src_dir_fd=new[0], dst_dir_fd=old[0])
            raise Changed

    def _inside(self, folder: str, folders: list[str]) -> Iterator[Entry]:
        """List the files of one folder, and note the folders in it."""
        with contextlib.ExitStack() as held:
            with _faults(self._root):
                try:
                    inside = held.enter_context(reach.opened(self._root, folder))
                    listed = held.enter_context(os.scandir(inside))
                except _GONE:
                    return
                except PermissionError:
                    if not folder:
                        raise
                    self._unseen += 1
                    return
            while True:
                with _faults(self._root):
                    each = next(listed, None)
                    entry = self._of(each, inside, folder, folders) if each else None
                if each is None:
                    break
                if entry is not None:
                    yield entry

    def _of(
        self, each: "os.DirEntry[str]", inside: int, folder: str, folders: list[str]
    ) -> Entry | None:
        key = f"{folder}/{each.name}" if folder else each.name
        if each.is_dir(follow_symlinks=False):
            is_ours = not folder and each.name in {TAKEN, REJECTED}
            if is_ours or each.name.startswith("."):
                return None
            if key.count("/") < DEEPEST:
                folders.append(key)
            else:
                self._unseen += 1
            return None
        try:
            if each.name.startswith(_ON_ITS_WAY):
                self._restore(inside, each.name)
                return None
            facts = each.stat(follow_symlinks=False)
        except _GONE:
            return None
        return self._entry(key, facts) if stat.S_ISREG(facts.st_mode) else None

    def _restore(self, inside: int, name: str) -> None:
        """Give a file its name back: whoever was about to delete it died, and it may be another."""
        free = reach.unused(inside, name.removeprefix(_ON_ITS_WAY) or "unnamed")
        os.rename(name, free, src_dir_fd=inside, dst_dir_fd=inside)

    def _entry(self, key: str, facts: os.stat_result) -> Entry:
        # The time of change too: tools that copy times set them before they have written all,
        # and slices of one size are written within one tick of a coarse clock.
        mark = f"{facts.st_size:x}-{facts.st_mtime_ns:x}-{facts.st_ctime_ns:x}"
        state = state_of(facts)
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


def _but_for_change(state: str) -> str:
    """Leave out the time of change, which renaming sets."""
    return state.rpartition("-")[0]


@contextlib.contextmanager
def _faults(root: Path) -> Iterator[None]:
    """Name the folder and never the file in it."""
    try:
        yield
    except OSError as fault:
        raise StorageFault(f"{root} cannot be used: {fault.strerror}") from fault
